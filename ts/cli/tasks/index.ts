// The tasks of the command line by name: how each is trained and how each is evaluated.
import { FerroError } from '../../errors';
import type { TaskName } from '../../io';
import type { EvalContext, TrainContext } from './context';
import { evaluateLm } from './evaluateLm';
import { lmTask } from './lm';
import type { Measured } from './measured';
import { evaluateSft, sftTask } from './sft';
import type { TaskRun } from './task';

/** A task. */
export interface Task {
  /** Makes a run of `train`. */
  train(context: TrainContext): Promise<TaskRun>;
  /** Measures a saved model. */
  evaluate(context: EvalContext): Promise<Measured>;
}

const TASKS: Readonly<Partial<Record<TaskName, Task>>> = {
  lm: { train: lmTask, evaluate: evaluateLm },
  sft: { train: sftTask, evaluate: evaluateSft },
};

/** The task of a name. @throws NOT_BUILT */
export function taskNamed(name: TaskName): Task {
  const task = TASKS[name];
  if (task === undefined) throw new FerroError('NOT_BUILT', `--task: this task is not built yet, got ${name}`);
  return task;
}
