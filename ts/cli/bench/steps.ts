// Whole work: training steps of a size, and generating text token by token, through the same calls that users make.

import { type Engine, estimate, GPT, type PresetName } from '../../index';
import { modelOf, randomBatches, SIZES, type SizeName } from './sizes';

/** One size's training step: all times in milliseconds. */
export interface StepTiming {
  size: SizeName;
  medianMs: number;
  minMs: number;
  steps: number;
  tokensPerSecond: number;
  /** Arithmetic of the compiled program per second, of the median step. */
  flopsPerSecond: number;
  loss: number;
}

const WARM_UP = 3;
const LEAST_STEPS = 5;
const SECONDS = 4;

/** Times training steps on random tokens: batch copied in, loss read back, both inside the time. */
export async function timeSteps(engine: Engine, model: GPT, size: SizeName, wanted: number | undefined): Promise<StepTiming> {
  const { batchSize, blockSize } = SIZES[size];
  const step = engine.trainStep(model, { loss: model.loss });
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

/** A model's training step, made and closed here; `during` may use the model while it lives. */
export async function benchStep<T>(
  engine: Engine,
  size: SizeName,
  wanted: number | undefined,
  during: (model: GPT) => Promise<T>,
): Promise<{ timing: StepTiming; during: T }> {
  const model = await GPT.create(engine, modelOf(size));
  try {
    return { timing: await timeSteps(engine, model, size, wanted), during: await during(model) };
  } finally {
    await model.close();
  }
}

/** Generating with the KV cache: milliseconds for each new token. */
export interface DecodeTiming {
  preset: PresetName;
  tokens: number;
  msPerToken: number;
  /** The fastest of the repetitions. */
  minMsPerToken: number;
}

/** Context and vocabulary: GPT-2's own for its sizes. */
const DECODE_SHAPES = { 'gpt-micro': { blockSize: 256, vocabSize: 65 }, gpt2: { blockSize: 256, vocabSize: 50257 } } as const;
const REPETITIONS = 3;

/** The models whose decoding can be measured. */
export type DecodeModel = keyof typeof DECODE_SHAPES;

/** Times `tokens` tokens after a prompt of one, drawn with temperature 1; the prompt counts too. */
export async function benchDecode(engine: Engine, preset: DecodeModel, tokens: number): Promise<DecodeTiming> {
  const model = await GPT.create(engine, { preset, ...DECODE_SHAPES[preset], seed: 1 });
  try {
    const times: number[] = [];
    await model.generate([1], { maxNewTokens: tokens, seed: 1 }); // warms up
    for (let i = 0; i < REPETITIONS; i++) {
      const started = performance.now();
      await model.generate([1], { maxNewTokens: tokens, seed: 2 + i });
      times.push((performance.now() - started) / tokens);
    }
    times.sort((a, b) => a - b);
    return { preset, tokens, msPerToken: times[times.length >> 1], minMsPerToken: times[0] };
  } finally {
    await model.close();
  }
}
