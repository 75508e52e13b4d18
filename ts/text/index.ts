// The text kernels (BPE, file headers) in this realm: loaded once, with or without an engine, on any thread. It compiles and starts them; what they compute
// is in crates/text.
import { compileText } from '#text-source';
import { FerroError } from '../errors';
import { createText, type TextExports } from '../wasm/text.js';
import type { TextSource } from './source';

export type { Bpe, BpeTrainer, SafetensorsHeader } from '../wasm/text.js';
export type { TextSource } from './source';

/** The exports of the text kernels. */
export type TextKernels = TextExports;

let loading: Promise<TextKernels> | undefined;

/**
 * The text kernels; loaded by the first call in a realm, the same for all others.
 * @param source where they are, if not beside the package's files; only the first call's counts
 * @throws ENGINE_START_FAILED where the file cannot be had or compiled; the next call tries again
 */
export function loadText(source: TextSource = {}): Promise<TextKernels> {
  loading ??= start(source).catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function start(source: TextSource): Promise<TextKernels> {
  try {
    const module = await compileText(source);
    const text = createText();
    text.initSync({ module });
    return text;
  } catch (cause) {
    throw new FerroError('ENGINE_START_FAILED', `loadText: text.wasm must be there and compile, got ${String(cause)}`, { cause });
  }
}
