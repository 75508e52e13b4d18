// Learning rates as pure functions of the update number: Hugging Face's schedules by their names. Nothing here knows an optimizer or keeps a counter.
//
// One difference from Hugging Face, fixed by the design: here update t = 1..maxSteps uses the schedule's value at t, so the first warm-up update
// already moves (peak·1/warmup) and the last update uses the minimum. A Hugging Face scheduler is 0-based: its first update has factor 0 and its
// last one stops a step short of the minimum. In other words: learningRate(t) here = lr_lambda(t) there, where they would use lr_lambda(t − 1).

import { FerroError, show } from '../errors';
import { cosPi } from '../math';
import { checkValue, OPTIONS } from '../options';

/** Names of the schedules, as in Hugging Face's `lr_scheduler_type`. */
export type ScheduleType = 'constant' | 'constant_with_warmup' | 'linear' | 'cosine' | 'cosine_with_min_lr' | 'warmup_stable_decay';

/** What a schedule is made from. */
export interface ScheduleOptions {
  lrSchedulerType: ScheduleType;
  /** The peak, ≥ 0. */
  learningRate: number;
  /** All updates of the run, ≥ 1. */
  maxSteps: number;
  /** Updates with a rising rate; below 1 a ratio of maxSteps (rounded up). Default min(100, ⌊maxSteps / 10⌋), and 0 for `constant`. */
  warmupSteps?: number;
  /** The rate at the last update (`cosine_with_min_lr`, `warmup_stable_decay`). Default a tenth of the peak. */
  minLearningRate?: number;
  /** Updates of decay at the end (`warmup_stable_decay`); below 1 a ratio of maxSteps. Default ⌈maxSteps / 10⌉. */
  numDecaySteps?: number;
}

/** A schedule with every default filled in. `at(t)` is the learning rate of update t. */
export class Schedule {
  readonly lrSchedulerType: ScheduleType;
  readonly learningRate: number;
  readonly maxSteps: number;
  readonly warmupSteps: number;
  readonly minLearningRate: number;
  readonly numDecaySteps: number;

  /** @throws INVALID_OPTION naming the option, the rule and the value; also for an option the schedule does not use. */
  constructor(options: ScheduleOptions) {
    const op = 'schedule';
    checkValue(op, OPTIONS.lrSchedulerType, options.lrSchedulerType);
    checkValue(op, OPTIONS.learningRate, options.learningRate);
    checkValue(op, OPTIONS.maxSteps, options.maxSteps);
    const type = options.lrSchedulerType;
    this.lrSchedulerType = type;
    this.learningRate = options.learningRate;
    this.maxSteps = options.maxSteps;

    const warms = type !== 'constant';
    const toMinimum = type === 'cosine_with_min_lr' || type === 'warmup_stable_decay';
    unused(warms || !options.warmupSteps, 'warmupSteps', options.warmupSteps, type, 'every schedule but constant');
    unused(
      toMinimum || options.minLearningRate === undefined,
      'minLearningRate',
      options.minLearningRate,
      type,
      'cosine_with_min_lr and warmup_stable_decay',
    );
    unused(
      type === 'warmup_stable_decay' || options.numDecaySteps === undefined,
      'numDecaySteps',
      options.numDecaySteps,
      type,
      'warmup_stable_decay',
    );

    this.warmupSteps = warms
      ? steps('warmupSteps', options.warmupSteps ?? Math.min(100, Math.floor(this.maxSteps / 10)), this.maxSteps)
      : 0;
    this.minLearningRate = toMinimum ? (options.minLearningRate ?? this.learningRate / 10) : 0;
    checkValue(op, OPTIONS.minLearningRate, this.minLearningRate);
    if (this.minLearningRate > this.learningRate) {
      throw new FerroError(
        'INVALID_OPTION',
        `${op}: "minLearningRate" must be at most learningRate ${this.learningRate}, got ${this.minLearningRate}`,
      );
    }
    this.numDecaySteps =
      type === 'warmup_stable_decay' ? steps('numDecaySteps', options.numDecaySteps ?? Math.ceil(this.maxSteps / 10), this.maxSteps) : 0;
  }

  /**
   * The learning rate of update `t`, an integer from 1 on: rising by peak/warmupSteps per update, then the schedule's shape. Never below 0; beyond
   * maxSteps it stays where it was at maxSteps.
   */
  at(t: number): number {
    if (!Number.isInteger(t) || t < 1)
      throw new FerroError('INVALID_OPTION', `schedule: the update number must be an integer from 1 on, got ${t}`);
    const step = Math.min(t, this.maxSteps);
    if (step < this.warmupSteps) return (this.learningRate * step) / this.warmupSteps;
    return Math.max(0, this.#afterWarmup(step));
  }

  #afterWarmup(step: number): number {
    const peak = this.learningRate;
    const left = Math.max(1, this.maxSteps - this.warmupSteps);
    const progress = (step - this.warmupSteps) / left; // 0 at the end of the warm-up, 1 at maxSteps
    switch (this.lrSchedulerType) {
      case 'constant':
      case 'constant_with_warmup':
        return peak;
      case 'linear':
        return (peak * (this.maxSteps - step)) / left;
      case 'cosine':
        return between(0, peak, cosineFactor(progress));
      case 'cosine_with_min_lr':
        return between(this.minLearningRate, peak, cosineFactor(progress));
      case 'warmup_stable_decay': {
        const start = Math.max(this.warmupSteps, this.maxSteps - this.numDecaySteps);
        if (step <= start) return peak;
        return between(this.minLearningRate, peak, cosineFactor((step - start) / (this.maxSteps - start)));
      }
    }
  }
}

/** Half a cosine wave from 1 (progress 0) to 0 (progress 1). */
function cosineFactor(progress: number): number {
  return 0.5 * (1 + cosPi(progress));
}

/** low + (high − low)·factor, exactly `low` and `high` at the ends. */
function between(low: number, high: number, factor: number): number {
  return factor === 1 ? high : low + (high - low) * factor;
}

/** A number of updates: an integer, or a ratio of all updates when below 1. */
function steps(name: string, value: number, maxSteps: number): number {
  const whole = Number.isInteger(value) && value >= 0 && value <= 2147483647;
  if (typeof value !== 'number' || (!whole && !(value > 0 && value < 1))) {
    throw new FerroError('INVALID_OPTION', `schedule: "${name}" must be a whole number of updates or a ratio below 1, got ${show(value)}`);
  }
  return whole ? value : Math.ceil(maxSteps * value);
}

function unused(fine: boolean, name: string, value: unknown, type: string, users: string): void {
  if (!fine)
    throw new FerroError('INVALID_OPTION', `schedule: "${name}" is for ${users}, got ${show(value)} with lrSchedulerType "${type}"`);
}
