// Layers and the base class of modules. Builds graph; knows no engine.

export { Block, type BlockOptions } from './block';
export { type CachePlace, type KeyValueCache, type PlaceInStep, type PlacePerRow, positionOf, withKeyCounts } from './cache';
export { checkSize } from './checks';
export { Dropout } from './dropout';
export { Embedding } from './embedding';
export { addMetrics, type GradientTargets, gradientProgram, metricOutputs } from './gradient';
export { GroupedQueryAttention, type GroupedQueryAttentionOptions } from './groupedQueryAttention';
export { GPT2_STD, linearUniform, normal, ones, residualStd, uniform, xavierUniform, zeros } from './init';
export { smoothedCrossEntropy } from './labelSmoothing';
export { LayerNorm, type LayerNormOptions } from './layerNorm';
export { Linear, type LinearOptions } from './linear';
export { LlamaBlock, type LlamaBlockOptions } from './llamaBlock';
export {
  addBranch,
  isLoraLayer,
  LoraBranch,
  type LoraBranchOptions,
  type LoraLayer,
  loraLayers,
  matchPaths,
  replaceVariables,
} from './lora';
export { adaptableLayers, targetPaths } from './loraTargets';
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
export { MultiHeadAttention, type MultiHeadAttentionOptions } from './multiHeadAttention';
export type { Packing } from './packing';
export { type Pooling, poolSequences } from './pooling';
export { LearnedPositions, SinusoidalPositions } from './positions';
export { Projection, type ProjectionOptions } from './projection';
export { plainShape, type Quantization, type QuantizedWeight, quantizeModule } from './quantize';
export { RMSNorm } from './rmsNorm';
export { type RotaryOptions, RotaryPositions } from './rotary';
export { SwiGLUMLP, type SwiGLUMLPOptions } from './swigluMLP';
export {
  type AttentionMasks,
  additiveMask,
  checkSequence,
  type DecoderLayerCache,
  type DecoderMasks,
  LAYER_OPTIONS,
  type MemoryPlace,
  MISSING_MEMORY,
  TransformerAttention,
  type TransformerAttentionOptions,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
} from './transformer';
