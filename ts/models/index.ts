// Pure architectures, their configurations and what they cost. Knows no engine.

export type { PlannedAdapter } from './adapterPlan';
export { type CausalCache, type CausalConfig, type CausalLM, cacheVariables, causalLoss, type ModelType, tokenTableName } from './causalLM';
export {
  Classifier,
  type ClassifierConfig,
  type ClassifierHead,
  checkLabels,
  classifierLoss,
  createClassifier,
  GPTClassifier,
  LlamaClassifier,
} from './classifier';
export { type ActivationFunction, describeConfig, type GPTConfig, type GPTConfigOptions, resolveConfig, withDropout } from './config';
export { createModel, type ModelConfig, type ModelConfigOptions, resolveModelConfig } from './create';
export { type EncoderDecoder, type EncoderDecoderCache, type Source, sourceVariables } from './encoderDecoder';
export {
  countParameters,
  type Estimate,
  type EstimateOptions,
  estimate,
  type FlopCounts,
  type MemoryCounts,
  type ParameterCounts,
  parameterNames,
} from './estimate';
export { GPT, GPTTrunk } from './gpt';
export { Llama, LlamaTrunk } from './llama';
export { checkLlamaConfig, type LlamaConfig, type LlamaConfigOptions, resolveLlamaConfig } from './llamaConfig';
export { type DpoOptions, dpoLoss, sequenceLogProbs } from './preferences';
export { PRESETS, type Preset, type PresetName } from './presets';
export { type ContextOptions, type RopeConfig, readRopeScaling, withContext } from './rope';
export { Seq2Seq, type Seq2SeqBatch, type Seq2SeqLossOptions, seq2seqLoss } from './seq2seq';
export { resolveSeq2SeqConfig, type Seq2SeqConfig, type Seq2SeqConfigOptions } from './seq2seqConfig';
export {
  type DecoderCache,
  decoderCacheVariables,
  Transformer,
  TransformerDecoder,
  TransformerEncoder,
  type TransformerMasks,
  type TransformerOptions,
  type TransformerStackOptions,
} from './transformer';
