// Modules bound to an engine.

export {
  type BindOptions,
  BoundModule,
  bind,
  type ForwardInputs,
  type ForwardOutputs,
  programInputs,
  programScalars,
  type Variant,
} from './boundModule';
export { Parameter } from './parameter';
