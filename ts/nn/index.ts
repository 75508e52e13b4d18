// Layers and the base class of modules. Builds graph; knows no engine.

export { Block, type BlockOptions } from './block';
export { Dropout } from './dropout';
export { Embedding } from './embedding';
export { type GradientTargets, gradientProgram } from './gradient';
export { Head } from './head';
export { GPT2_STD, normal, ones, residualStd, zeros } from './init';
export { LayerNorm, type LayerNormOptions } from './layerNorm';
export { Linear, type LinearOptions } from './linear';
export {
  asRowLoss,
  type Batch,
  batchInputs,
  batchSignature,
  checkHostTensor,
  dtypeOf,
  type HostTensor,
  type Loss,
  type RowLoss,
} from './loss';
export { MLP, type MLPOptions } from './mlp';
export { Module, nameModules, pathOf } from './module';
export {
  type CachePlace,
  type KeyValueCache,
  MultiHeadAttention,
  type MultiHeadAttentionOptions,
  type PlaceInStep,
  type PlacePerRow,
  requireInStep,
} from './multiHeadAttention';
export { LearnedPositions, SinusoidalPositions } from './positions';
export { plainShape, type QuantizedWeight, quantizeModule } from './quantize';
