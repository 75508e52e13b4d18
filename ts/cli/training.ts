// One training run as the command line shows it: progress, samples, report, interrupt, the summary at the end. Shared by `train` and `demo`; the training
// itself is the library's Trainer.

import { join } from 'node:path';
import { type Engine, Trainer, type TrainerOptions, type TrainingStep } from '../index';
import { snakeCase } from '../options';
import { EXIT } from './exit';
import { formatCount, formatScore, formatSeconds } from './format';
import { Interrupt } from './interrupt';
import type { Output } from './output';
import { Progress } from './progress';
import { type ReportTable, writeReport } from './report';
import { appendSample, truncateSamples, writeRunOptions } from './runFiles';
import { describeEngine } from './session';
import type { Conclusion, TaskRun } from './tasks/task';

/** A run that is ready to start. */
export interface TrainingRun {
  output: Output;
  engine: Engine;
  task: TaskRun;
  /** What goes to the Trainer. */
  training: Omit<TrainerOptions, 'dataset' | 'evalDataset' | 'outputDir'>;
  outputDir: string;
  /** The options that were given, for run.json. */
  given: Record<string, unknown>;
}

const SAMPLES_PER_RUN = 10;

/** Trains until the end or the first interrupt; answers the exit code. */
export async function runTraining(run: TrainingRun): Promise<number> {
  const { output, task, outputDir } = run;
  const { model, dataset, evalDataset } = task;
  const trainer = new Trainer(model, { ...run.training, ...task.trainer, dataset, evalDataset, outputDir });
  const { maxSteps } = trainer.settings;
  const progress = new Progress(output, maxSteps, undefined, task.unit);
  const interrupt = new Interrupt(() => progress.note('interrupted: finishing this step and saving (again to quit at once)')).watch();
  const clock = new Clock();
  introduce(run, maxSteps);
  try {
    let last: TrainingStep | undefined;
    for await (const step of trainer.train()) {
      if (last === undefined) await begin(run, step.step);
      last = step;
      clock.count(step, trainer.settings.batchSize * trainer.settings.gradientAccumulationSteps * task.rowUnits);
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

function facts({ engine, task }: TrainingRun, maxSteps: number): [string, string][] {
  return [
    ...task.facts.map(([name, text]): [string, string] => [name, text]),
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
  const { task, output, outputDir } = run;
  const made = await task.sample(step);
  await appendSample(outputDir, made);
  await report(run, run.training.maxSteps ?? step);
  progress.note(`--- step ${step} ---`);
  output.note(`${made.prompt}${made.text}\n---`);
}

async function report(run: TrainingRun, maxSteps: number, tables: readonly ReportTable[] = []): Promise<string> {
  return writeReport(run.outputDir, `Training run ${run.outputDir}`, facts(run, maxSteps), { tables, unit: run.task.unit });
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
  const conclusion = interrupted ? undefined : await run.task.conclude?.();
  const page = await report(run, trainer.settings.maxSteps, conclusion?.tables);
  const evalLoss = [...trainer.log].reverse().find((entry) => entry.eval_loss !== undefined)?.eval_loss;
  const summary = {
    step: trainer.step,
    maxSteps: trainer.settings.maxSteps,
    interrupted,
    loss: last?.loss,
    evalLoss,
    ...conclusion?.scores,
    [speedKey(run)]: Math.round(clock.tokensPerSecond),
    seconds: Math.round(clock.elapsed * 1000) / 1000,
    outputDir,
    model: checkpoint ?? join(outputDir, 'final'),
    report: page,
  };
  const speed = `${formatCount(clock.tokensPerSecond)} ${run.task.unit}/s`;
  output.result(summary, interrupted ? interruptedText(summary, speed) : finishedText(run, summary, speed, conclusion));
  return interrupted ? EXIT.interrupted : EXIT.ok;
}

/** The speed's name in --json. */
const speedKey = ({ task }: TrainingRun): string => (task.unit === 'tokens' ? 'tokensPerSecond' : 'examplesPerSecond');

interface Summary {
  step: number;
  maxSteps: number;
  loss?: number;
  evalLoss?: number;
  seconds: number;
  outputDir: string;
  model: string;
  report: string;
}

function speedLine({ step, maxSteps, loss, evalLoss, seconds }: Summary, speed: string): string {
  const losses = `${loss === undefined ? '' : `, loss ${loss.toFixed(4)}`}${evalLoss === undefined ? '' : `, eval loss ${evalLoss.toFixed(4)}`}`;
  return `${formatCount(step)} of ${formatCount(maxSteps)} steps in ${formatSeconds(seconds)}${losses}, ${speed}`;
}

function interruptedText(summary: Summary, speed: string): string {
  return [
    `stopped   ${speedLine(summary, speed)}`,
    `saved     ${summary.model}`,
    `report    ${summary.report}`,
    `continue  npx ferroformer train --resume --out ${quote(summary.outputDir)}`,
  ].join('\n');
}

function finishedText({ task }: TrainingRun, summary: Summary, speed: string, conclusion: Conclusion | undefined): string {
  const scores = Object.entries(conclusion?.scores ?? {}).map(
    ([name, value]) => `${snakeCase(name).replaceAll('_', ' ')} ${formatScore(value)}`,
  );
  const lines: (readonly [string, string])[] = [
    ['done', speedLine(summary, speed)],
    ...(scores.length > 0 ? [['scores', scores.join(', ')] as const] : []),
    ['report', summary.report],
    ...task.next({ run: summary.outputDir, model: summary.model }),
  ];
  return lines.map(([name, text]) => `${name.padEnd(8)}  ${text}`).join('\n');
}

/** A word as a shell takes it. */
export function quote(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `"${word.replace(/(["\\$`])/g, '\\$1')}"`;
}
