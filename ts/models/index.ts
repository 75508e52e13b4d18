// Pure architectures, their configurations and what they cost. Knows no engine.

export { type GPTConfig, type GPTConfigOptions, resolveConfig } from './config';
export {
  countParameters,
  type Estimate,
  type EstimateOptions,
  estimate,
  type FlopCounts,
  type MemoryCounts,
  type ParameterCounts,
} from './estimate';
export { cacheVariables, GPT, type GPTCache, GPTTrunk, gptLoss } from './gpt';
export { PRESETS, type Preset, type PresetName } from './presets';
