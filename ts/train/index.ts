// Training: one step, the loop, evaluation, and what a run remembers.
export { checkClasses, checkVocabulary, windowOf } from './checkData';
export { type Evaluation, Evaluator } from './evaluate';
export { matchParameters } from './freeze';
export type { LogEntry } from './log';
export { loadSafetensors, moduleToSafetensors } from './ownModule';
export { type ReferenceOptions, withReference } from './preferences';
export { type OpenRunOptions, RunDirectory } from './runDirectory';
export type { ComputeMetrics, Scores } from './scores';
export type { Settings } from './settings';
export { type StepNumbers, type StepResult, TrainStep, type TrainStepOptions } from './step';
export { asTrainable, type Trainable, type TrainableLike } from './trainable';
export { Trainer } from './trainer';
export type { TrainerOptions, TrainingResult, TrainingStep } from './trainerTypes';
