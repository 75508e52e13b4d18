// `bench --profile`: where the time of a training step goes, kernel by kernel. Runs the gradient program that the Trainer would compile, with the engine's
// own timing of instructions; the update is not part of it.

import { decodeProgram, type EngineHost, type GPT, Variable } from '../index';
import { gptLoss } from '../models';
import { type Batch, batchInputs, gradientProgram } from '../nn';
import { formatScale, formatTable } from './format';

/** All instructions of one kernel in one program. */
export interface ProfileRow {
  kernel: string;
  instructions: number;
  /** Milliseconds of one run, all threads together. */
  ms: number;
  /** Of the whole, 0 to 1. */
  share: number;
  flopsPerSecond: number;
}

const RUNS = 10;

/** Times the kernels of the gradient program of a model on one batch; the slowest first. */
export async function profileStep(host: EngineHost, model: GPT, batch: Batch): Promise<ProfileRow[]> {
  const scratch = (name: string, shape: readonly number[]) => new Variable({ name, shape, trainable: false });
  const gradients = new Map(
    Array.from(model.parameters, ([name, { variable }]) => [
      name,
      { parameter: variable, gradient: scratch(`profile.${name}`, variable.shape) },
    ]),
  );
  const targets = { gradients, count: scratch('profile.count', [1]), guard: scratch('profile.guard', [1]) };
  const variables = [...Array.from(gradients.values(), ({ gradient }) => gradient), targets.count, targets.guard];
  const program = gradientProgram(model.bound.module, gptLoss, batchInputs(batch), targets, 'first');
  await host.allocate(variables, { seed: 1 });
  const handle = await host.load(program);
  const inputs = Object.fromEntries(program.inputs.map(({ name }) => [name, batch[name].data]));
  const scalars = Object.fromEntries(program.scalars.map((name) => [name, 0]));
  try {
    await host.run({ handle, inputs, scalars });
    await host.setProfiling(true);
    for (let i = 0; i < RUNS; i++) await host.run({ handle, inputs, scalars, outputs: [] });
    const measured = await host.profile();
    const { instructions } = decodeProgram(program.words);
    return summarise(measured.map(({ instruction, ms, flops }) => ({ kernel: instructions[instruction].spec.name, ms: ms / RUNS, flops })));
  } finally {
    await host.setProfiling(false);
    await host.unload(handle);
    await host.release(variables);
  }
}

/** Adds up the instructions of each kernel. */
export function summarise(rows: readonly { kernel: string; ms: number; flops: number }[]): ProfileRow[] {
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  const byKernel = new Map<string, { instructions: number; ms: number; flops: number }>();
  for (const { kernel, ms, flops } of rows) {
    const sum = byKernel.get(kernel) ?? { instructions: 0, ms: 0, flops: 0 };
    byKernel.set(kernel, { instructions: sum.instructions + 1, ms: sum.ms + ms, flops: sum.flops + flops });
  }
  return Array.from(byKernel, ([kernel, { instructions, ms, flops }]) => ({
    kernel,
    instructions,
    ms,
    share: total > 0 ? ms / total : 0,
    flopsPerSecond: ms > 0 ? (flops / ms) * 1000 : 0,
  })).sort((a, b) => b.ms - a.ms);
}

/** The rows as a table for people. */
export function profileTable(title: string, rows: readonly ProfileRow[]): string {
  const cells = rows.map((row) => [
    row.kernel,
    String(row.instructions),
    row.ms.toFixed(3),
    `${(row.share * 100).toFixed(1)} %`,
    row.flopsPerSecond > 0 ? `${formatScale(row.flopsPerSecond)}FLOP/s` : '',
  ]);
  return formatTable([[title, 'instructions', 'thread ms', 'share', 'per thread'], ...cells]);
}
