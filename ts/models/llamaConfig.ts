// The configuration of a Llama: resolved from a user's options, checked before anything is built. What a folder's config.json says is read in ts/io.

import { FerroError, show } from '../errors';
import { checkHeads } from '../nn/checks';
import type { RopeScalingOption } from '../options';
import type { CausalConfig } from './causalLM';
import type { PresetName } from './presets';
import { ROPE_THETA, type RopeConfig, readRopeScaling } from './rope';
import { readConfig, SIZE_LIMITS, type SizeName } from './sizes';

/** A Llama's shape, every field present: what all models have, and what is Llama's. */
export interface LlamaConfig extends CausalConfig, RopeConfig {
  readonly modelType: 'llama';
  /** Heads of the queries; a multiple of nKvHead. */
  readonly nHead: number;
  /** Heads of keys and values. */
  readonly nKvHead: number;
  /** Width of a head; even. nHead · headDim need not be nEmbd. */
  readonly headDim: number;
  /** Width of the feed-forward layers. */
  readonly nInner: number;
  /** Probability of dropping an attention weight in training. */
  readonly dropout: number;
  /** Added to the mean square in every norm. */
  readonly rmsNormEps: number;
  /** Biases in attention's four projections. */
  readonly attentionBias: boolean;
  /** Biases in the feed-forward layers. */
  readonly mlpBias: boolean;
}

/** What a user may give: a preset's size, its parts, or both (parts win). snake_case keys are accepted. */
export interface LlamaConfigOptions extends Partial<Omit<LlamaConfig, 'ropeScaling' | 'attentionBias' | 'mlpBias'>> {
  readonly ropeScaling?: RopeScalingOption;
  readonly preset?: PresetName;
}

/** The feed-forward width whose three matrices have about the parameters of two with 4·nEmbd, rounded up to a multiple of 32. */
function defaultInner(nEmbd: number): number {
  return Math.ceil((8 * nEmbd) / 3 / 32) * 32;
}

/**
 * Fills a configuration in. Defaults: nKvHead as nHead, headDim nEmbd/nHead, nInner 8/3·nEmbd rounded up to 32s, rope θ 10000, eps 1e-5, a tied head, no
 * dropout, no biases, positions not stretched; without a preset nLayer, nHead, nEmbd and blockSize must be given; vocabSize always.
 * @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value
 */
export function resolveLlamaConfig(options: LlamaConfigOptions, op = 'Llama'): LlamaConfig {
  const { given, size } = readConfig(op, 'llama', options, {
    nKvHead: (size) => size('nHead'),
    headDim: (size) => size('nEmbd') / size('nHead'),
    nInner: (size) => defaultInner(size('nEmbd')),
  });
  if (given.headDim === undefined) checkHeads(op, size('nEmbd'), size('nHead'));
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
    dropout: given.dropout,
    rmsNormEps: given.rmsNormEps,
    ropeTheta: given.ropeTheta ?? ROPE_THETA,
    ropeScaling: readRopeScaling(given.ropeScaling),
    tieWordEmbeddings: given.tieWordEmbeddings,
    attentionBias: false,
    mlpBias: false,
  });
}

/** A whole configuration checked. @throws INVALID_OPTION */
export function checkLlamaConfig(op: string, config: LlamaConfig): LlamaConfig {
  const fail = (name: string, rule: string, got: unknown) =>
    new FerroError('INVALID_OPTION', `${op}: "${name}" must be ${rule}, got ${show(got)}`);
  for (const name of Object.keys(SIZE_LIMITS) as SizeName[]) {
    const value = config[name];
    if (!Number.isSafeInteger(value) || value < 1 || value > SIZE_LIMITS[name])
      throw fail(name, `an integer from 1 to ${SIZE_LIMITS[name]}`, value);
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
