// Modules bound to an engine.

export { BoundModule, bind, type BindOptions, type ForwardInputs, type ForwardOutputs, programInputs, programScalars } from './boundModule';
export { Parameter } from './parameter';
