// Starts the engine for a command and ends it whatever happens; tells warnings and hints on standard error.

import { defaultSimd } from '../engine';
import { Engine, type GPT } from '../index';
import type { Output } from './output';

/** The flags about the machine. */
export interface MachineOptions {
  threads?: number;
  simd?: 'auto' | 'portable' | 'relaxed' | 'auto256';
  maxMemoryBytes?: number;
}

/** What `--simd` is where it is not given; a hint is told. */
function chooseSimd(output: Output): MachineOptions['simd'] {
  const { simd, hint } = defaultSimd();
  if (hint !== undefined) output.note(`hint: ${hint}`);
  return simd;
}

/** Runs `work` with an engine of these options; the engine is closed after it. */
export async function withEngine<T>(
  { threads, simd, maxMemoryBytes }: MachineOptions,
  output: Output,
  work: (engine: Engine) => Promise<T>,
): Promise<T> {
  simd ??= chooseSimd(output);
  const engine = await Engine.start({ threads, simd, maxMemoryBytes, onWarning: ({ message }) => output.note(`warning: ${message}`) });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** Tells which tensors of a folder were left out, as transformers does: a model that is not what its file holds should not go unnoticed. */
export function noteUnexpected(output: Output, { loadReport }: Pick<GPT, 'loadReport'>): void {
  const names = loadReport?.unexpected ?? [];
  if (names.length === 0) return;
  const rest = names.length > 10 ? ` and ${names.length - 10} more` : '';
  output.note(`warning: tensors without a place in this model were left out: ${names.slice(0, 10).join(', ')}${rest}`);
}

/** The engine in a few words: "2 threads, relaxed kernels, 256-bit vectors, register tile 6x16, Node 24.1.0". */
export function describeEngine({ info }: Engine): string {
  return `${info.threads} thread${info.threads === 1 ? '' : 's'}, ${info.build} kernels, ${info.vectorBits}-bit vectors, register tile ${info.registerTile}, ${info.runtime}`;
}
