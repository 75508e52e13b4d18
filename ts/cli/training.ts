// One training run as the command line shows it: progress, samples, report, interrupt, the summary at the end. Shared by `train` and `demo`; the training
// itself is the library's Trainer.

import { join } from 'node:path';
import { type Engine, type GPT, Trainer, type TrainerOptions, type TrainingStep } from '../index';
import { snakeCase } from '../options';
import type { RunData } from './data';
import { EXIT } from './exit';
import { formatCount, formatSeconds } from './format';
import { Interrupt } from './interrupt';
import type { Output } from './output';
import { Progress } from './progress';
import { writeReport } from './report';
import { appendSample, truncateSamples, writeRunOptions } from './runFiles';
import { describeEngine } from './session';

/** A run that is ready to start. */
export interface TrainingRun {
  output: Output;
  engine: Engine;
  model: GPT;
  data: RunData;
  /** What goes to the Trainer. */
  training: Omit<TrainerOptions, 'dataset' | 'evalDataset' | 'outputDir'>;
  outputDir: string;
  /** The options that were given, for run.json. */
  given: Record<string, unknown>;
  /** Start of each sample. */
  samplePrompt: string;
}

const SAMPLE_TOKENS = 160;
const SAMPLES_PER_RUN = 10;

/** Trains until the end or the first interrupt; answers the exit code. */
export async function runTraining(run: TrainingRun): Promise<number> {
  const { output, model, data, outputDir } = run;
  const trainer = new Trainer(model, { ...run.training, dataset: data.dataset, evalDataset: data.evalDataset, outputDir });
  const { maxSteps } = trainer.settings;
  const progress = new Progress(output, maxSteps);
  const interrupt = new Interrupt(() => progress.note('interrupted: finishing this step and saving (again to quit at once)')).watch();
  const clock = new Clock();
  introduce(run, maxSteps);
  try {
    let last: TrainingStep | undefined;
    for await (const step of trainer.train()) {
      if (last === undefined) await begin(run, step.step);
      last = step;
      clock.count(step, trainer.settings.batchSize * trainer.settings.gradientAccumulationSteps * model.config.blockSize);
      progress.update(step);
      if (interrupt.requested) break;
      if (isSampleStep(step.step, maxSteps)) await sample(run, progress, step.step);
    }
    progress.end();
    return await conclude(run, trainer, last, clock, interrupt.requested && trainer.step < maxSteps);
  } finally {
    progress.end();
    interrupt.stop();
    await trainer.close();
  }
}

/** Tokens and seconds of the steps alone: evaluation, samples and checkpoints are not the speed of training. */
class Clock {
  tokens = 0;
  seconds = 0;
  readonly #startedAt = performance.now();

  count({ tokensPerSecond }: TrainingStep, tokens: number): void {
    this.tokens += tokens;
    this.seconds += tokens / tokensPerSecond;
  }

  get tokensPerSecond(): number {
    return this.seconds > 0 ? this.tokens / this.seconds : 0;
  }

  get elapsed(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }
}

/** After the first step and then every tenth of the run. */
export function isSampleStep(step: number, maxSteps: number): boolean {
  const tenth = Math.max(1, Math.floor(maxSteps / SAMPLES_PER_RUN));
  return step === 1 || step % tenth === 0 || step === maxSteps;
}

function parameterCount(model: GPT): number {
  let total = 0;
  for (const { shape } of model.parameters.values()) total += shape.reduce((product, size) => product * size, 1);
  return total;
}

function facts({ engine, model, data }: TrainingRun, maxSteps: number): [string, string][] {
  const { nLayer, nHead, nEmbd, blockSize, vocabSize } = model.config;
  const held = data.evalDataset === null ? 'none' : formatCount(data.evalDataset.length);
  return [
    [
      'model',
      `${formatCount(parameterCount(model))} parameters: ${nLayer} layers, ${nHead} heads, width ${nEmbd}, context ${blockSize}, vocabulary ${vocabSize}`,
    ],
    ['data', `${formatCount(data.dataset.length)} tokens to train on, ${held} to evaluate on`],
    ['training', `${formatCount(maxSteps)} step${maxSteps === 1 ? '' : 's'}`],
    ['engine', describeEngine(engine)],
  ];
}

function introduce(run: TrainingRun, maxSteps: number): void {
  for (const [name, text] of facts(run, maxSteps)) run.output.note(`${name.padEnd(8)}  ${text}`);
  run.output.note(`${'run'.padEnd(8)}  ${run.outputDir}`);
}

/** The run directory exists now: put the options and the report there, drop what a resumed run will write again. */
async function begin(run: TrainingRun, firstStep: number): Promise<void> {
  const options = Object.fromEntries(Object.entries(run.given).map(([key, value]) => [snakeCase(key), value]));
  await writeRunOptions(run.outputDir, options);
  await truncateSamples(run.outputDir, firstStep - 1);
}

async function sample(run: TrainingRun, progress: Progress, step: number): Promise<void> {
  const { model, output, outputDir, samplePrompt } = run;
  const { text } = await model.generate(samplePrompt, { maxNewTokens: SAMPLE_TOKENS, temperature: 0.8, seed: step });
  await appendSample(outputDir, { step, prompt: samplePrompt, text });
  await report(run, run.training.maxSteps ?? step);
  progress.note(`--- step ${step} ---`);
  output.note(`${samplePrompt}${text}\n---`);
}

async function report(run: TrainingRun, maxSteps: number): Promise<string> {
  return writeReport(run.outputDir, `Training run ${run.outputDir}`, facts(run, maxSteps));
}

async function conclude(
  run: TrainingRun,
  trainer: Trainer,
  last: TrainingStep | undefined,
  clock: Clock,
  interrupted: boolean,
): Promise<number> {
  const { output, outputDir } = run;
  let checkpoint: string | undefined;
  if (interrupted) {
    checkpoint = join(outputDir, `checkpoint-${trainer.step}`);
    await trainer.save(checkpoint);
  }
  const page = await report(run, trainer.settings.maxSteps);
  const evalLoss = [...trainer.log].reverse().find((entry) => entry.eval_loss !== undefined)?.eval_loss;
  const summary = {
    step: trainer.step,
    maxSteps: trainer.settings.maxSteps,
    interrupted,
    loss: last?.loss,
    evalLoss,
    tokensPerSecond: Math.round(clock.tokensPerSecond),
    seconds: Math.round(clock.elapsed * 1000) / 1000,
    outputDir,
    model: checkpoint ?? join(outputDir, 'final'),
    report: page,
  };
  output.result(summary, interrupted ? interruptedText(summary) : finishedText(run, summary));
  return interrupted ? EXIT.interrupted : EXIT.ok;
}

interface Summary {
  step: number;
  maxSteps: number;
  loss?: number;
  evalLoss?: number;
  tokensPerSecond: number;
  seconds: number;
  outputDir: string;
  model: string;
  report: string;
}

function speedLine({ step, maxSteps, loss, evalLoss, tokensPerSecond, seconds }: Summary): string {
  const losses = `${loss === undefined ? '' : `, loss ${loss.toFixed(4)}`}${evalLoss === undefined ? '' : `, eval loss ${evalLoss.toFixed(4)}`}`;
  return `${formatCount(step)} of ${formatCount(maxSteps)} steps in ${formatSeconds(seconds)}${losses}, ${formatCount(tokensPerSecond)} tokens/s`;
}

function interruptedText(summary: Summary): string {
  return [
    `stopped   ${speedLine(summary)}`,
    `saved     ${summary.model}`,
    `report    ${summary.report}`,
    `continue  npx ferroformer train --resume --out ${quote(summary.outputDir)}`,
  ].join('\n');
}

function finishedText({ samplePrompt }: TrainingRun, summary: Summary): string {
  return [
    `done      ${speedLine(summary)}`,
    `report    ${summary.report}`,
    `next      npx ferroformer generate --model ${quote(summary.outputDir)} --prompt ${quote(samplePrompt)}`,
    `python    from transformers import GPT2LMHeadModel; model = GPT2LMHeadModel.from_pretrained(${JSON.stringify(summary.model)})`,
  ].join('\n');
}

/** A word as a shell takes it. */
export function quote(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `"${word.replace(/(["\\$`])/g, '\\$1')}"`;
}
