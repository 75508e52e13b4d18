// Optimizers as descriptions, and learning-rate schedules as pure functions. Knows no engine and no loop.

export { AdamW, type AdamWOptions } from './adamw';
export { createOptimizer, type OptimizerOptions } from './create';
export { layerDepths, layerwiseFactors } from './layerwise';
export { clipGradients, type Optimizer, type OptimizerState, type ParameterUpdate, type UpdateNumbers } from './optimizer';
export { Schedule, type ScheduleOptions, type ScheduleType } from './schedules';
export { SGD, type SGDOptions } from './sgd';
