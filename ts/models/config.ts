// The configuration of a GPT: resolved from a user's options, checked before anything is built. What a checkpoint's config.json says is read in ts/io.

import { FerroError, show } from '../errors';
import { checkHeads } from '../nn/checks';
import type { RopeScalingOption } from '../options';
import type { CausalConfig } from './causalLM';
import type { PresetName } from './presets';
import { ROPE_THETA, type RopeConfig, readRopeScaling } from './rope';
import { readConfig } from './sizes';

/** Hugging Face's names of the activations that a GPT can have. */
export type ActivationFunction = 'gelu_new' | 'gelu_pytorch_tanh' | 'gelu' | 'relu';

/** A GPT's shape, every field present: what all models have, and what is GPT-2's. */
export interface GPTConfig extends CausalConfig, Partial<RopeConfig> {
  readonly modelType: 'gpt2';
  /** Attention heads of a block; divides nEmbd. */
  readonly nHead: number;
  /** Probability of dropping an activation in training, where none of the next three says otherwise. */
  readonly dropout: number;
  /** Dropout after the embeddings. */
  readonly embdPdrop: number;
  /** Dropout after both branches of a block. */
  readonly residPdrop: number;
  /** Dropout of attention weights. */
  readonly attnPdrop: number;
  /** Biases in linear layers and norms. */
  readonly bias: boolean;
  /** Width of the feed-forward layers. */
  readonly nInner: number;
  /** Activation of the feed-forward layers: `gelu_new` and `gelu_pytorch_tanh` are its tanh form, `gelu` is exact. */
  readonly activationFunction: ActivationFunction;
  /** Added to the variance in every norm. */
  readonly layerNormEpsilon: number;
  /** With 'rotary', which is not GPT-2's, ropeTheta and ropeScaling are there as well; a head's width is even. */
  readonly positionEmbedding: 'learned' | 'sinusoidal' | 'rotary';
  /** Standard deviation of the noise on sinusoidal positions. */
  readonly positionNoise: number;
}

/** What a user may give: a preset, its parts, or both (parts win). snake_case keys are accepted. */
export interface GPTConfigOptions extends Partial<Omit<GPTConfig, 'ropeScaling'>> {
  readonly ropeScaling?: RopeScalingOption;
  readonly preset?: PresetName;
}

/**
 * Fills a configuration in. Defaults: dropout 0, biases, learned positions, GPT-2's feed-forward layers, norms and tied head;
 * without a preset nLayer, nHead, nEmbd and blockSize must be given; vocabSize always (GPT.create takes it from the tokenizer).
 * @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value
 */
export function resolveConfig(options: GPTConfigOptions, op = 'GPT'): GPTConfig {
  const { given, told, size } = readConfig(op, 'gpt2', options, { nInner: (size) => 4 * size('nEmbd') });
  const rotary = given.positionEmbedding === 'rotary';
  const config: GPTConfig = {
    modelType: 'gpt2',
    nLayer: size('nLayer'),
    nHead: size('nHead'),
    nEmbd: size('nEmbd'),
    blockSize: size('blockSize'),
    vocabSize: size('vocabSize'),
    dropout: given.dropout,
    embdPdrop: given.embdPdrop ?? given.dropout,
    residPdrop: given.residPdrop ?? given.dropout,
    attnPdrop: given.attnPdrop ?? given.dropout,
    bias: given.bias,
    nInner: size('nInner'),
    activationFunction: given.activationFunction,
    layerNormEpsilon: given.layerNormEpsilon,
    tieWordEmbeddings: given.tieWordEmbeddings,
    positionEmbedding: given.positionEmbedding,
    positionNoise: given.positionNoise,
    ...(rotary ? { ropeTheta: given.ropeTheta ?? ROPE_THETA, ropeScaling: readRopeScaling(given.ropeScaling) } : {}),
  };
  checkHeads(op, config.nEmbd, config.nHead);
  if (config.positionNoise > 0 && config.positionEmbedding !== 'sinusoidal') {
    throw new FerroError(
      'INVALID_OPTION',
      `${op}: "positionNoise" is for positionEmbedding "sinusoidal", got ${config.positionNoise} with "${config.positionEmbedding}"`,
    );
  }
  const rope = rotary ? undefined : (['ropeTheta', 'ropeScaling'] as const).find((name) => told.has(name));
  if (rope !== undefined) {
    throw new FerroError(
      'INVALID_OPTION',
      `${op}: "${rope}" is for positionEmbedding "rotary", got ${show(given[rope])} with "${config.positionEmbedding}"`,
    );
  }
  if (rotary && (config.nEmbd / config.nHead) % 2 !== 0) {
    throw new FerroError(
      'INVALID_OPTION',
      `${op}: "nEmbd" must be an even number of times nHead with rotary positions, got ${config.nEmbd} and ${config.nHead}`,
    );
  }
  return Object.freeze(config);
}

/** A configuration as run.json keeps it: what every GPT-2 has is left out, so that runs begun before it could differ can be resumed. */
export function describeConfig(config: CausalConfig): Record<string, unknown> {
  const { dropout, nEmbd } = config;
  const usual: Record<string, unknown> = {
    embdPdrop: dropout,
    residPdrop: dropout,
    attnPdrop: dropout,
    nInner: 4 * nEmbd,
    activationFunction: 'gelu_new',
    layerNormEpsilon: 1e-5,
    tieWordEmbeddings: true,
  };
  return Object.fromEntries(Object.entries(config).filter(([key, value]) => config.modelType !== 'gpt2' || usual[key] !== value));
}

/** The configuration with another dropout in all places. */
export function withDropout<C extends CausalConfig>(config: C, dropout: number): C {
  const places = 'embdPdrop' in config ? { embdPdrop: dropout, residPdrop: dropout, attnPdrop: dropout } : {};
  return { ...config, dropout, ...places };
}
