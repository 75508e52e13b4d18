// Reading a configuration's options, alike for all architectures: which belong to which, and sizes with their defaults and limits.

import { FerroError, show } from '../errors';
import { GPT_CONFIG_OPTIONS, type OptionName, type OptionValues, readOptions } from '../options';
import type { ModelType } from './causalLM';
import { PRESETS } from './presets';

// Beyond these a number is a mistake: refused before a loop or an allocation runs with it. Memory is checked apart (estimate.ts).
export const SIZE_LIMITS = {
  nLayer: 4096,
  nHead: 4096,
  nKvHead: 4096,
  headDim: 1 << 16,
  nEmbd: 1 << 20,
  nInner: 1 << 22,
  blockSize: 1 << 24,
  vocabSize: 1 << 28,
} as const;

export type SizeName = keyof typeof SIZE_LIMITS;

/** Options that mean something for one architecture alone. */
const OWN: Readonly<Record<ModelType, readonly OptionName[]>> = {
  gpt2: ['embdPdrop', 'residPdrop', 'attnPdrop', 'bias', 'activationFunction', 'layerNormEpsilon', 'positionEmbedding', 'positionNoise'],
  llama: ['nKvHead', 'headDim', 'rmsNormEps'],
};

/** Checked options with the table's defaults, and their sizes: as given, else derived from others, else the preset's. */
export interface ConfigReader {
  readonly given: OptionValues<(typeof GPT_CONFIG_OPTIONS)[number]>;
  /** The names of those that were given. */
  readonly told: ReadonlySet<string>;
  /** @throws INVALID_OPTION where there is none, or one beyond its limit */
  size(name: SizeName): number;
}

/**
 * @param derived the sizes that follow from others where they are not given
 * @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value
 */
export function readConfig(
  op: string,
  modelType: ModelType,
  options: object,
  derived: Partial<Record<SizeName, (size: ConfigReader['size']) => number>>,
): ConfigReader {
  const given = readOptions(op, options, GPT_CONFIG_OPTIONS);
  const told = readOptions(op, options, GPT_CONFIG_OPTIONS, { defaults: false }) as Record<string, unknown>;
  for (const [owner, names] of Object.entries(OWN)) {
    const foreign = owner === modelType ? undefined : names.find((name) => name in told);
    if (foreign === undefined) continue;
    throw new FerroError('INVALID_OPTION', `${op}: "${foreign}" is for modelType ${owner}, got ${show(told[foreign])} with "${modelType}"`);
  }
  const preset: Partial<Record<SizeName, number>> = given.preset === undefined ? {} : PRESETS[given.preset];
  const size = (name: SizeName): number => {
    const value = given[name] ?? derived[name]?.(size) ?? preset[name];
    if (value === undefined) {
      const rule = name === 'vocabSize' ? 'given, or a tokenizer' : 'given, or a preset';
      throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be ${rule}, got none`);
    }
    if (value > SIZE_LIMITS[name])
      throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be at most ${SIZE_LIMITS[name]}, got ${value}`);
    return value;
  };
  return { given, told: new Set(Object.keys(told)), size };
}
