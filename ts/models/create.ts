// The module of a configuration, whatever its architecture.

import type { CausalLM } from './causalLM';
import type { GPTConfig } from './config';
import { GPT } from './gpt';

/** A configuration of any architecture; `modelType` says which. */
export type ModelConfig = GPTConfig;

/** @param config resolved and checked */
export function createModel(config: ModelConfig): CausalLM {
  return new GPT(config);
}
