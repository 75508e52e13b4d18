// `bench --profile`: where the time of a training step goes, instruction by instruction. Runs the two programs of a step (gradients, update) that the
// Trainer would compile, with the engine's own timing of instructions, and next to it the whole time without that timing: what is missing between the
// two is waiting at barriers and handing out work.

import type { InstructionProfile } from '../../engine';
import { BINARY_KINDS, UNARY_KINDS } from '../../graph/opcodes';
import {
  AdamW,
  compile,
  type DecodedInstruction,
  type DecodedProgram,
  decodeProgram,
  type EngineHost,
  type GPT,
  type Program,
  Variable,
} from '../../index';
import { causalLoss } from '../../models';
import { type Batch, batchInputs, gradientProgram } from '../../nn';
import { clipGradients } from '../../optim';
import { randomBatches, type SizeName } from './sizes';

/** All instructions of one kind and shape in a step. */
export interface ProfileRow {
  /** Kernel, form and sizes: `matmul NN 768×384×128 +bias`. */
  name: string;
  kernel: string;
  calls: number;
  /** Milliseconds in one step, all threads together. */
  ms: number;
  /** Of all instructions' time, 0 to 1. */
  share: number;
  /** Operations per second of one thread. */
  flopsPerSecond: number;
  /** Of the register peak of one thread, 0 to 1; undefined where the peak was not measured. */
  shareOfPeak?: number;
  /** Bytes of the operands per second of one thread: what memory must deliver where nothing is in a cache. */
  bytesPerSecond: number;
}

/** A step's profile. */
export interface Profile {
  size: SizeName;
  /** One step without timing of instructions, milliseconds. */
  stepMs: number;
  threads: number;
  /** Threads' time outside instructions, of threads × stepMs, 0 to 1: barriers, handing out work, and what timing itself adds taken off. */
  outside: number;
  instructions: ProfileRow[];
  kernels: ProfileRow[];
}

/** One instruction as measured. */
export interface Measured {
  name: string;
  kernel: string;
  ms: number;
  flops: number;
  bytes: number;
}

const FORMS = ['NN', 'NT', 'TN'];
const ACTIVATIONS = ['', '+gelu', '+gelu erf', '+relu'];

/** Kernel, form and sizes of an instruction, for people. */
export function instructionName(decoded: DecodedProgram, { spec, dims, params, operands }: DecodedInstruction): string {
  const sizes = spec.dims.map((name) => sizeOf(decoded, dims[name]));
  const has = (operand: string) => (operands[operand] === undefined ? '' : `+${operand}`);
  if (spec.name === 'matmul') {
    const shape = (dims.batch !== undefined && sizes[0] === 1 ? sizes.slice(1) : sizes).join('×');
    return words('matmul', FORMS[params.form ?? 0], shape, has('bias'), has('init'), ACTIVATIONS[params.activation ?? 0]);
  }
  const kinds = spec.name === 'binary' ? BINARY_KINDS : spec.name.startsWith('unary') ? UNARY_KINDS : undefined;
  const named = spec.name.startsWith('attention') ? sizes.slice(0, 3) : sizes; // the rest are strides
  const parts = ['mask', 'starts', ...(spec.name.startsWith('layer_norm') ? ['addend'] : [])].map(has);
  return words(spec.name, kinds?.[params.kind ?? 0], named.join('×'), ...parts);
}

const words = (...parts: (string | undefined)[]): string => parts.filter((part) => part !== undefined && part !== '').join(' ');

function sizeOf({ slots, extents }: DecodedProgram, slot: number): number {
  return slots[slot].extents.reduce((product, index) => product * extents[index], slots[slot].factor);
}

/** Bytes of the operands, updated ones twice. */
function bytesOf({ spec, operands }: DecodedInstruction): number {
  return spec.operands.reduce((sum, { name, access }) => sum + (operands[name]?.sizeBytes ?? 0) * (access === 'update' ? 2 : 1), 0);
}

interface Runnable {
  program: Program;
  inputs: Record<string, Float32Array | Int32Array>;
  scalars: Record<string, number>;
}

/** The gradient and the update program of a model's step, and the variables that they need beyond the model's. */
function programsOf(model: GPT, batch: Batch): { runs: Runnable[]; variables: Variable[] } {
  const scratch = (name: string, shape: readonly number[]) => new Variable({ name: `profile.${name}`, shape, trainable: false });
  const optimizer = new AdamW();
  const updates = Array.from(model.parameters, ([name, { variable }]) => ({
    name,
    parameter: variable,
    gradient: scratch(name, variable.shape),
    state: optimizer.stateFor(`profile.${name}`, variable),
  }));
  const gradients = new Map(updates.map(({ name, parameter, gradient }) => [name, { parameter, gradient }]));
  const targets = { gradients, count: scratch('count', [1]), guard: scratch('guard', [1]) };
  const grad = model.bound.trace(true, () => gradientProgram(model.bound.module, causalLoss, batchInputs(batch), targets, 'first'));
  const clip = clipGradients([...updates.map(({ gradient }) => gradient), targets.guard], targets.count);
  const update = compile({ name: 'update', outputs: { clip }, effects: optimizer.effects(updates, clip) });
  const numbers: Record<string, number> = optimizer.scalars({ learningRate: 1e-6, update: 1, maxGradNorm: 1 });
  const run = (program: Program): Runnable => ({
    program,
    inputs: Object.fromEntries(program.inputs.map(({ name }) => [name, batch[name].data])),
    scalars: Object.fromEntries(program.scalars.map((name) => [name, numbers[name] ?? 0])),
  });
  const moments = updates.flatMap(({ gradient, state }) => [gradient, ...Object.values(state)]);
  return { runs: [run(grad), run(update)], variables: [...moments, targets.count, targets.guard] };
}

/**
 * Times the instructions of the training step of a size, on its model and one batch.
 * @param peak operations per second of one thread
 */
export async function profileStep(host: EngineHost, model: GPT, size: SizeName, peak?: number): Promise<Profile> {
  const { runs, variables } = programsOf(model, randomBatches(size)[0]);
  await host.allocate(variables, { seed: 1 });
  const measured: Measured[] = [];
  let stepMs = 0;
  try {
    for (const { program, inputs, scalars } of runs) {
      const handle = await host.load(program);
      try {
        const call = { handle, inputs, scalars, outputs: [] };
        const plain = await fastest(() => host.run(call));
        stepMs += plain;
        const times = timesFor(plain);
        const profiles: InstructionProfile[][] = [];
        for (let i = 0; i < times; i++) {
          await host.setProfiling(true); // forgets the run before
          await host.run(call);
          profiles.push(await host.profile());
        }
        measured.push(...fastestOfEach(program, profiles));
      } finally {
        await host.setProfiling(false);
        await host.unload(handle);
      }
    }
  } finally {
    await host.release(variables);
  }
  const { threads } = host.info;
  const inside = measured.reduce((sum, { ms }) => sum + ms, 0);
  return {
    size,
    stepMs,
    threads,
    outside: Math.max(0, 1 - inside / (stepMs * threads)),
    instructions: summarise(measured, ({ name }) => name, peak),
    kernels: summarise(measured, ({ kernel }) => kernel, peak),
  };
}

/** Each instruction's fastest run: another process that takes the core away hits some instruction in every run, but none in all. */
function fastestOfEach(program: Program, profiles: readonly InstructionProfile[][]): Measured[] {
  const decoded = decodeProgram(program.words);
  return profiles[0].map(({ instruction, flops }, i) => {
    const entry = decoded.instructions[instruction];
    const ms = Math.min(...profiles.map((profile) => profile[i].ms));
    return { name: instructionName(decoded, entry), kernel: entry.spec.name, ms, flops, bytes: bytesOf(entry) };
  });
}

/** Milliseconds of the fastest of some runs, after as many to warm up. */
async function fastest(run: () => Promise<unknown>): Promise<number> {
  const once = async (): Promise<number> => {
    const started = performance.now();
    await run();
    return performance.now() - started;
  };
  const times = timesFor(await once());
  for (let i = 1; i < times; i++) await once();
  const measured: number[] = [];
  for (let i = 0; i < times; i++) measured.push(await once());
  return Math.min(...measured);
}

/** Runs that take about a second, between 2 and 20. */
const timesFor = (ms: number): number => Math.min(20, Math.max(2, Math.round(1000 / ms)));

/** Adds up instructions with the same key, the slowest first. */
export function summarise(rows: readonly Measured[], keyOf: (row: Measured) => string, peak?: number): ProfileRow[] {
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  const sums = new Map<string, Measured & { calls: number }>();
  for (const row of rows) {
    const sum = sums.get(keyOf(row)) ?? { name: keyOf(row), kernel: row.kernel, calls: 0, ms: 0, flops: 0, bytes: 0 };
    sums.set(keyOf(row), {
      ...sum,
      calls: sum.calls + 1,
      ms: sum.ms + row.ms,
      flops: sum.flops + row.flops,
      bytes: sum.bytes + row.bytes,
    });
  }
  return Array.from(sums.values(), ({ name, kernel, calls, ms, flops, bytes }) => {
    const perSecond = (amount: number) => (ms > 0 ? (amount / ms) * 1000 : 0);
    const flopsPerSecond = perSecond(flops);
    return {
      name,
      kernel,
      calls,
      ms,
      share: total > 0 ? ms / total : 0,
      flopsPerSecond,
      shareOfPeak: peak === undefined ? undefined : flopsPerSecond / peak,
      bytesPerSecond: perSecond(bytes),
    };
  }).sort((a, b) => b.ms - a.ms);
}
