// `ferroformer bench`: how fast this machine is. Training steps of three sizes and single kernels, through the same library that users call. The
// measured arithmetic per second is kept for `plan`.

import type { Command } from 'commander';
import { type Engine, estimate, GPT, type GPTOptions, type HostTensor } from '../index';
import { RandomStream } from '../math';
import { COMMAND_OPTIONS, type OptionValues } from '../options';
import { benchKernels, type KernelResult } from './benchKernels';
import { type ProfileRow, profileStep, profileTable } from './benchProfile';
import { writeCalibration } from './calibration';
import { addFlags, readCommandOptions } from './flags';
import { formatCount, formatScale, formatTable } from './format';
import { Output } from './output';
import { describeEngine, withEngine } from './session';

const NAMES = COMMAND_OPTIONS.bench;

/** The sizes of docs/measurements.md: layers, heads, width, context, batch, vocabulary. */
export const SIZES = {
  S: { nLayer: 4, nHead: 4, nEmbd: 128, blockSize: 64, batchSize: 12, vocabSize: 65 },
  M: { nLayer: 6, nHead: 6, nEmbd: 384, blockSize: 256, batchSize: 16, vocabSize: 65 },
  L: { nLayer: 12, nHead: 12, nEmbd: 768, blockSize: 64, batchSize: 4, vocabSize: 50257 },
} as const;

type SizeName = keyof typeof SIZES;

/** One size's training step: all times in milliseconds. */
interface StepTiming {
  size: SizeName;
  medianMs: number;
  minMs: number;
  steps: number;
  tokensPerSecond: number;
  /** Arithmetic of the compiled program per second. */
  flopsPerSecond: number;
  loss: number;
}

const WARM_UP = 3;
const LEAST_STEPS = 5;
const SECONDS = 4;

/** Adds the command. */
export function addBench(program: Command): void {
  const command = program.command('bench').description('measure this machine: training steps and kernels');
  addFlags(command, NAMES).action(async (parsed) => {
    const { values } = await readCommandOptions('bench', parsed, NAMES);
    await bench(new Output(values.json), values);
  });
}

async function bench(output: Output, values: OptionValues<(typeof NAMES)[number]>): Promise<void> {
  await withEngine(values, output, async (engine) => {
    const { threads, build, fused, runtime } = engine.info;
    output.note(describeEngine(engine));
    const steps: StepTiming[] = [];
    const profiles: Partial<Record<SizeName, ProfileRow[]>> = {};
    for (const size of values.sizes) {
      output.note(`training step, size ${size} …`);
      const model = await GPT.create(engine, modelOf(size));
      steps.push(await timeSteps(engine, model, size, values.benchSteps));
      if (values.profile) profiles[size] = await profileStep(engine.host, model, randomBatches(size)[0]);
      await model.close();
    }
    const kernels = values.kernels ? await benchKernels(engine.host, (name) => output.note(`kernel ${name} …`)) : [];
    const largest = steps.at(-1);
    if (largest !== undefined) await writeCalibration({ flopsPerSecond: largest.flopsPerSecond, threads, build, runtime });
    output.result({ threads, build, fused, runtime, steps, kernels, profiles }, describe(steps, kernels, profiles));
  });
}

/** Times training steps on random tokens: batch copied in, loss read back, both inside the time. */
async function timeSteps(engine: Engine, model: GPT, size: SizeName, wanted: number | undefined): Promise<StepTiming> {
  const { batchSize, blockSize } = SIZES[size];
  const step = engine.trainStep(model, { loss: (_module, batch) => model.loss(model.bound.module, batch) });
  const batches = randomBatches(size);
  const times: number[] = [];
  let loss = Number.NaN;
  const end = performance.now() + SECONDS * 1000;
  for (let i = 0; wanted === undefined ? i < WARM_UP + LEAST_STEPS || performance.now() < end : i < WARM_UP + wanted; i++) {
    const started = performance.now();
    ({ loss } = await step(batches[i % batches.length]));
    if (i >= WARM_UP) times.push(performance.now() - started);
  }
  await step.close();
  times.sort((a, b) => a - b);
  const medianMs = times[times.length >> 1];
  const perSecond = 1000 / medianMs;
  return {
    size,
    medianMs,
    minMs: times[0],
    steps: times.length,
    tokensPerSecond: batchSize * blockSize * perSecond,
    flopsPerSecond: estimate(model.config, { batchSize }).flops.perStep * perSecond,
    loss,
  };
}

function modelOf(size: SizeName): GPTOptions {
  const { batchSize: _rows, ...shape } = SIZES[size];
  return { ...shape, seed: 1 };
}

function randomBatches(size: SizeName): Record<string, HostTensor>[] {
  const { batchSize: rows, blockSize: time, vocabSize } = SIZES[size];
  const random = new RandomStream(0, 'bench');
  const ids = () => Int32Array.from({ length: rows * time }, () => random.below(vocabSize));
  return Array.from({ length: 4 }, () => ({
    inputIds: { data: ids(), shape: [rows, time] },
    labels: { data: ids(), shape: [rows, time] },
  }));
}

function describe(
  steps: readonly StepTiming[],
  kernels: readonly KernelResult[],
  profiles: Partial<Record<SizeName, ProfileRow[]>>,
): string {
  const tables: string[] = [];
  if (steps.length > 0) {
    const rows = steps.map((s) => [
      s.size,
      s.medianMs.toFixed(2),
      s.minMs.toFixed(2),
      formatCount(s.tokensPerSecond),
      formatScale(s.flopsPerSecond),
    ]);
    tables.push(formatTable([['training step', 'median ms', 'min ms', 'tokens/s', 'FLOP/s'], ...rows]));
  }
  if (kernels.length > 0) {
    const rows = kernels.map((k) => [k.name, k.microseconds.toFixed(1), `${formatScale(k.perSecond)}${k.unit}/s`]);
    tables.push(formatTable([['kernel', 'µs', 'rate'], ...rows]));
  }
  for (const [size, rows] of Object.entries(profiles)) tables.push(profileTable(`size ${size}, gradients`, rows));
  return tables.join('\n\n');
}
