// The tasks of the command line by name: how each is trained and how each is evaluated.
import type { TaskName } from '../../io';
import { classifyTask, evaluateClassify } from './classify';
import type { EvalContext, TrainContext } from './context';
import { dpoTask, evaluateDpo } from './dpo';
import { evaluateLm } from './evaluateLm';
import { lmTask } from './lm';
import type { Measured } from './measured';
import { evaluateSeq2seq, seq2seqTask } from './seq2seq';
import { evaluateSft, sftTask } from './sft';
import type { TaskRun } from './task';

/** A task. */
export interface Task {
  /** Makes a run of `train`. */
  train(context: TrainContext): Promise<TaskRun>;
  /** Measures a saved model. */
  evaluate(context: EvalContext): Promise<Measured>;
}

const TASKS: Readonly<Record<TaskName, Task>> = {
  lm: { train: lmTask, evaluate: evaluateLm },
  sft: { train: sftTask, evaluate: evaluateSft },
  classify: { train: classifyTask, evaluate: evaluateClassify },
  seq2seq: { train: seq2seqTask, evaluate: evaluateSeq2seq },
  dpo: { train: dpoTask, evaluate: evaluateDpo },
};

/** The task of a name. */
export const taskNamed = (name: TaskName): Task => TASKS[name];
