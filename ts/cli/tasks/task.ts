// What a task is to the `train` command: something that turns the options into a model and data, shows a sample now and then, and scores the result. One file per task beside
// this one; the loop that runs them is ../training.ts. No task is named here.
import type { Dataset } from '../../data';
import type { TrainerOptions } from '../../index';
import type { Trainable } from '../../train';
import type { ReportTable, Sample } from '../report';

/** What an evaluation at the end found. */
export interface Conclusion {
  /** For --json and for people: numbers by name. */
  scores: Record<string, number>;
  tables: ReportTable[];
}

/** A task that is ready to be trained. */
export interface TaskRun {
  model: Trainable;
  dataset: Dataset;
  /** null where there is nothing to evaluate on. */
  evalDataset: Dataset | null;
  /** What the task adds to the Trainer's options. */
  trainer?: Pick<TrainerOptions, 'loss' | 'computeMetrics' | 'extraFiles' | 'labelSmoothing'>;
  /** What the speed counts: what one row of a batch is worth, and in what. */
  rowUnits: number;
  unit: 'tokens' | 'examples';
  /** Name and value, for people: the model, the data. */
  facts: readonly (readonly [string, string])[];
  /** What the model makes of something, after a step. */
  sample(step: number): Promise<Sample>;
  /** Scores the trained model; absent where the loss says all there is. */
  conclude?(): Promise<Conclusion>;
  /** Lines of the summary: what can be done with the model now. */
  next(paths: { run: string; model: string }): readonly (readonly [string, string])[];
}
