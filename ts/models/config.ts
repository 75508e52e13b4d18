// The configuration of a GPT: resolved from a user's options, checked before anything is built. What a checkpoint's config.json says is read in ts/io.

import { FerroError } from '../errors';
import { checkHeads } from '../nn/checks';
import { GPT_CONFIG_OPTIONS, readOptions } from '../options';
import type { CausalConfig } from './causalLM';
import { PRESETS, type PresetName } from './presets';

/** Hugging Face's names of the activations that a GPT can have. */
export type ActivationFunction = 'gelu_new' | 'gelu_pytorch_tanh' | 'gelu' | 'relu';

/** A GPT's shape, every field present. */
export interface GPTConfig extends CausalConfig {
  readonly modelType: 'gpt2';
  /** Blocks. */
  readonly nLayer: number;
  /** Attention heads of a block; divides nEmbd. */
  readonly nHead: number;
  /** Width of the residual stream. */
  readonly nEmbd: number;
  /** Longest context, in tokens. */
  readonly blockSize: number;
  /** Token ids run from 0 to vocabSize − 1. */
  readonly vocabSize: number;
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
  /** The head is the token table; false gives it weights of its own (`lm_head.weight`). */
  readonly tieWordEmbeddings: boolean;
  readonly positionEmbedding: 'learned' | 'sinusoidal';
  /** Standard deviation of the noise on sinusoidal positions. */
  readonly positionNoise: number;
}

/** What a user may give: a preset, its parts, or both (parts win). snake_case keys are accepted. */
export interface GPTConfigOptions extends Partial<GPTConfig> {
  readonly preset?: PresetName;
}

// Beyond these a number is a mistake: refused before a loop or an allocation runs with it. Memory is checked apart (estimate.ts).
const LIMITS = { nLayer: 4096, nHead: 4096, nEmbd: 1 << 20, nInner: 1 << 22, blockSize: 1 << 24, vocabSize: 1 << 28 } as const;

/** Options that mean nothing for a GPT-2. */
const FOREIGN = ['nKvHead', 'headDim', 'ropeTheta', 'rmsNormEps'] as const;

/**
 * Fills a configuration in. Defaults: dropout 0, biases, learned positions, GPT-2's feed-forward layers, norms and tied head; without a preset nLayer, nHead, nEmbd and blockSize must be given;
 * vocabSize always (GPT.create takes it from the tokenizer).
 * @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value
 */
export function resolveConfig(options: GPTConfigOptions, op = 'GPT'): GPTConfig {
  const given = readOptions(op, options, GPT_CONFIG_OPTIONS);
  const told = readOptions(op, options, GPT_CONFIG_OPTIONS, { defaults: false }) as Record<string, unknown>;
  const foreign = FOREIGN.find((name) => name in told);
  if (foreign !== undefined) {
    throw new FerroError('INVALID_OPTION', `${op}: "${foreign}" is for modelType llama, got ${String(told[foreign])} with "gpt2"`);
  }
  const preset = given.preset === undefined ? undefined : PRESETS[given.preset];
  const size = (name: keyof typeof LIMITS): number => {
    const value = given[name] ?? sizeDefault(name);
    if (value === undefined) {
      const rule = name === 'vocabSize' ? 'given, or a tokenizer' : 'given, or a preset';
      throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be ${rule}, got none`);
    }
    if (value > LIMITS[name]) throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be at most ${LIMITS[name]}, got ${value}`);
    return value;
  };
  const sizeDefault = (name: keyof typeof LIMITS): number | undefined => {
    if (name === 'vocabSize') return undefined;
    return name === 'nInner' ? 4 * size('nEmbd') : preset?.[name];
  };
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
  };
  checkHeads(op, config.nEmbd, config.nHead);
  if (config.positionNoise > 0 && config.positionEmbedding !== 'sinusoidal') {
    throw new FerroError(
      'INVALID_OPTION',
      `${op}: "positionNoise" is for positionEmbedding "sinusoidal", got ${config.positionNoise} with "${config.positionEmbedding}"`,
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
