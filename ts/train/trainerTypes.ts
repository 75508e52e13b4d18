// What the Trainer takes and gives: its options, what each step tells, what a run ends with. Only types.
import type { Dataset } from '../data';
import type { ComputeMetrics, Scores } from './scores';
import type { TrainerValues } from './settings';
import type { Trainable } from './trainable';

/** What `train()` yields after each update. */
export interface TrainingStep {
  /** Updates done, 1 … maxSteps. */
  step: number;
  /** Mean loss over this update's batch, before the update. */
  loss: number;
  /** Rate of this update. */
  learningRate: number;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** Passes over the training data so far. */
  epoch: number;
  /** Tokens (or examples) trained per second since the last step. */
  tokensPerSecond: number;
  maxSteps: number;
  /** Means of what else the loss tells (`RowLoss.metrics`), where it does. */
  metrics?: Readonly<Record<string, number>>;
  /** Set after an evaluation. */
  evalLoss?: number;
  /** What the loss tells (`RowLoss.metrics`) and what `computeMetrics` gave after it. */
  evalMetrics?: Scores;
  /** Set when this step was saved. */
  checkpoint?: string;
}

/** What a finished or interrupted `train()` gives. */
export interface TrainingResult {
  step: number;
  loss: number;
  evalLoss: number | null;
  bestEvalLoss: number | null;
  /** The best value of `metricForBestModel`; the loss where none is named. */
  bestMetric: number | null;
  tokensPerSecond: number;
  elapsedMs: number;
  stopReason: 'maxSteps' | 'earlyStopping';
  outputDir: string | null;
}

/** Options of `new Trainer(model, options)`; every one is in the option table with its default. */
export interface TrainerOptions extends Partial<Omit<TrainerValues, 'dataset' | 'evalDataset' | 'loss' | 'computeMetrics' | 'extraFiles'>> {
  dataset: Dataset;
  /** `null` trains without evaluation. Default: the last tenth of a token data set. */
  evalDataset?: Dataset | null;
  loss?: Trainable['loss'];
  /** Scores beside the loss, after each evaluation: logged as eval_…, and what `metricForBestModel` can name. */
  computeMetrics?: ComputeMetrics;
  /** Texts by file name that are saved with the model, in every checkpoint and in final/. */
  extraFiles?: Readonly<Record<string, string>>;
}
