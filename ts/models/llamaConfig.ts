// The configuration of a Llama: resolved from a user's options, checked before anything is built. What a folder's config.json says is read in ts/io.

import { FerroError } from '../errors';
import type { RotaryScaling } from '../graph';
import { checkHeads } from '../nn/checks';
import { GPT_CONFIG_OPTIONS, type OptionName, readOptions } from '../options';
import type { CausalConfig } from './causalLM';
import { PRESETS, type PresetName } from './presets';

/** A Llama's shape, every field present. */
export interface LlamaConfig extends CausalConfig {
  readonly modelType: 'llama';
  /** Blocks. */
  readonly nLayer: number;
  /** Heads of the queries; a multiple of nKvHead. */
  readonly nHead: number;
  /** Heads of keys and values. */
  readonly nKvHead: number;
  /** Width of a head; even. nHead · headDim need not be nEmbd. */
  readonly headDim: number;
  /** Width of the residual stream. */
  readonly nEmbd: number;
  /** Width of the feed-forward layers. */
  readonly nInner: number;
  /** Longest context, in tokens. */
  readonly blockSize: number;
  /** Token ids run from 0 to vocabSize − 1. */
  readonly vocabSize: number;
  /** Probability of dropping an attention weight in training. */
  readonly dropout: number;
  /** Added to the mean square in every norm. */
  readonly rmsNormEps: number;
  /** Base of the rotary positions. */
  readonly ropeTheta: number;
  /** How the rotary positions are stretched; null: not. */
  readonly ropeScaling: RotaryScaling | null;
  /** The head is the token table; false gives it weights of its own (`lm_head.weight`). */
  readonly tieWordEmbeddings: boolean;
  /** Biases in attention's four projections. */
  readonly attentionBias: boolean;
  /** Biases in the feed-forward layers. */
  readonly mlpBias: boolean;
}

/** What a user may give: a preset's size, its parts, or both (parts win). snake_case keys are accepted. */
export interface LlamaConfigOptions extends Partial<Omit<LlamaConfig, 'ropeScaling' | 'attentionBias' | 'mlpBias'>> {
  readonly preset?: PresetName;
}

// As in config.ts.
const LIMITS = {
  nLayer: 4096,
  nHead: 4096,
  nKvHead: 4096,
  headDim: 1 << 16,
  nEmbd: 1 << 20,
  nInner: 1 << 22,
  blockSize: 1 << 24,
  vocabSize: 1 << 28,
} as const;

type Size = keyof typeof LIMITS;

/** Options that mean nothing for a Llama. */
const FOREIGN: readonly OptionName[] = [
  'embdPdrop',
  'residPdrop',
  'attnPdrop',
  'bias',
  'activationFunction',
  'layerNormEpsilon',
  'positionEmbedding',
  'positionNoise',
];

/** The feed-forward width whose three matrices have about the parameters of two with 4·nEmbd, rounded up to a multiple of 32. */
export function defaultInner(nEmbd: number): number {
  return Math.ceil((8 * nEmbd) / 3 / 32) * 32;
}

/**
 * Fills a configuration in. Defaults: nKvHead as nHead, headDim nEmbd/nHead, nInner 8/3·nEmbd rounded up to 32s, rope θ 10000, eps 1e-5, a tied head, no
 * dropout, no biases, positions not stretched; without a preset nLayer, nHead, nEmbd and blockSize must be given; vocabSize always.
 * @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value
 */
export function resolveLlamaConfig(options: LlamaConfigOptions, op = 'Llama'): LlamaConfig {
  const given = readOptions(op, options, GPT_CONFIG_OPTIONS, { defaults: false }) as Record<string, unknown>;
  const foreign = FOREIGN.find((name) => name in given);
  if (foreign !== undefined) {
    throw new FerroError('INVALID_OPTION', `${op}: "${foreign}" is for modelType gpt2, got ${String(given[foreign])} with "llama"`);
  }
  const filled = readOptions(op, options, GPT_CONFIG_OPTIONS);
  const preset = filled.preset === undefined ? undefined : PRESETS[filled.preset];
  const fallback = (name: Size): number | undefined => {
    if (name === 'nKvHead') return size('nHead');
    if (name === 'headDim') return size('nEmbd') / size('nHead');
    if (name === 'nInner') return defaultInner(size('nEmbd'));
    return name === 'vocabSize' ? undefined : preset?.[name];
  };
  const size = (name: Size): number => {
    const value = filled[name] ?? fallback(name);
    if (value === undefined) {
      const rule = name === 'vocabSize' ? 'given, or a tokenizer' : 'given, or a preset';
      throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be ${rule}, got none`);
    }
    if (value > LIMITS[name]) throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be at most ${LIMITS[name]}, got ${value}`);
    return value;
  };
  if (filled.headDim === undefined) checkHeads(op, size('nEmbd'), size('nHead'));
  return checkLlamaConfig(op, {
    modelType: 'llama',
    nLayer: size('nLayer'),
    nHead: size('nHead'),
    nKvHead: size('nKvHead'),
    headDim: size('headDim'),
    nEmbd: size('nEmbd'),
    nInner: size('nInner'),
    blockSize: size('blockSize'),
    vocabSize: size('vocabSize'),
    dropout: filled.dropout,
    rmsNormEps: filled.rmsNormEps,
    ropeTheta: filled.ropeTheta,
    ropeScaling: null,
    tieWordEmbeddings: filled.tieWordEmbeddings,
    attentionBias: false,
    mlpBias: false,
  });
}

/** A whole configuration checked. @throws INVALID_OPTION */
export function checkLlamaConfig(op: string, config: LlamaConfig): LlamaConfig {
  const fail = (name: string, rule: string, got: unknown) =>
    new FerroError('INVALID_OPTION', `${op}: "${name}" must be ${rule}, got ${String(got)}`);
  for (const name of Object.keys(LIMITS) as Size[]) {
    const value = config[name];
    if (!Number.isSafeInteger(value) || value < 1 || value > LIMITS[name]) throw fail(name, `an integer from 1 to ${LIMITS[name]}`, value);
  }
  for (const name of ['rmsNormEps', 'ropeTheta'] as const) {
    if (!(config[name] > 0 && Number.isFinite(config[name]))) throw fail(name, 'a positive number', config[name]);
  }
  if (!(config.dropout >= 0 && config.dropout < 1)) throw fail('dropout', 'a number from 0 to below 1', config.dropout);
  const { nHead, nKvHead, headDim } = config;
  if (nHead % nKvHead !== 0) throw fail('nHead', 'divisible by nKvHead', `nHead ${nHead} and nKvHead ${nKvHead}`);
  if (headDim % 2 !== 0) throw fail('headDim', 'even', headDim);
  return Object.freeze(config);
}
