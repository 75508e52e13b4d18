// Configurations and modules of any architecture: the one place that lists them.

import { GPT_CONFIG_OPTIONS, readOptions } from '../options';
import type { CausalLM } from './causalLM';
import { type GPTConfig, type GPTConfigOptions, resolveConfig } from './config';
import { GPT } from './gpt';
import { Llama } from './llama';
import { type LlamaConfig, type LlamaConfigOptions, resolveLlamaConfig } from './llamaConfig';

/** A configuration of any architecture; `modelType` says which. */
export type ModelConfig = GPTConfig | LlamaConfig;

/** What a user may give: options of the architecture that `modelType` names, 'gpt2' by default. */
export type ModelConfigOptions =
  | GPTConfigOptions
  | (LlamaConfigOptions & {
      readonly modelType: 'llama';
    });

/** Fills a configuration in. @throws as `resolveConfig` and `resolveLlamaConfig` */
export function resolveModelConfig(options: ModelConfigOptions, op: string): ModelConfig {
  const { modelType } = readOptions(op, options, GPT_CONFIG_OPTIONS);
  return modelType === 'llama' ? resolveLlamaConfig(options as LlamaConfigOptions, op) : resolveConfig(options as GPTConfigOptions, op);
}

/** @param config resolved and checked */
export function createModel(config: ModelConfig): CausalLM {
  return config.modelType === 'llama' ? new Llama(config) : new GPT(config);
}
