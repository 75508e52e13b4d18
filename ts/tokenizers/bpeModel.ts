// The model of a byte-level BPE: which bytes each token stands for and which pairs merge, from the "model" of a tokenizer.json or from vocab.json and
// merges.txt. It encodes nothing (the text kernels do) and knows no added tokens.
import { tokenOfBytes } from './byteAlphabet';
import { asObject, flagOf, idOf, invalid, type JsonObject, listOf, show, textOf, unsupported } from './json';

/** The vocabulary and the merges. */
export interface BpeModel {
  /** Tokens by id as vocabulary files write them; holes where no token has the id. */
  readonly tokens: readonly (string | undefined)[];
  /** Id by token. */
  readonly idOf: ReadonlyMap<string, number>;
  /** left, right, merged: three ids for each merge, the strongest first. */
  readonly merges: Uint32Array;
  /** A word that is a token is that token, whatever the merges say. */
  readonly ignoreMerges: boolean;
}

/** Ids by token. @throws INVALID_TOKENIZER for an id that is none, or that two tokens have */
export function readVocabulary(vocabulary: JsonObject, name: string): { tokens: (string | undefined)[]; idOf: Map<string, number> } {
  const ids = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  for (const [token, value] of vocabulary) {
    const id = idOf(value, `${name}[${show(token)}]`);
    while (tokens.length <= id) tokens.push(undefined);
    if (tokens[id] !== undefined)
      throw invalid(`${name}: an id must belong to one token, got ${id} for ${show(tokens[id])} and ${show(token)}`);
    tokens[id] = token;
    ids.set(token, id);
  }
  return { tokens, idOf: ids };
}

/** The two parts of a merge: a pair, or a text with one space between them. */
function mergeParts(merge: unknown, name: string): [string, string] {
  const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
  if (!Array.isArray(parts) || parts.length !== 2 || typeof parts[0] !== 'string' || typeof parts[1] !== 'string') {
    throw invalid(`${name}: a merge must be two tokens, got ${show(merge)}`);
  }
  return [parts[0], parts[1]];
}

/**
 * Merges as ids. Where a pair is listed twice, the later place counts, as for Hugging Face's reader.
 * @throws INVALID_TOKENIZER for a merge of tokens, or into a token, that the vocabulary lacks
 */
export function readMerges(merges: readonly unknown[], ids: ReadonlyMap<string, number>, name: string): Uint32Array {
  const found = new Uint32Array(3 * merges.length);
  const place = new Map<number, number>();
  let repeated = 0;
  for (const [rank, merge] of merges.entries()) {
    const [left, right] = mergeParts(merge, `${name}[${rank}]`);
    const triple = [ids.get(left), ids.get(right), ids.get(left + right)];
    for (const [i, id] of triple.entries()) {
      if (id === undefined) {
        throw invalid(
          `${name}[${rank}]: the vocabulary must have ${show([left, right, left + right][i])}, got a merge of ${show([left, right])}`,
        );
      }
      found[3 * rank + i] = id;
    }
    const pair = found[3 * rank] * 2 ** 22 + found[3 * rank + 1];
    if (place.has(pair)) repeated++;
    place.set(pair, rank);
  }
  if (repeated === 0) return found;
  const last = [...place.values()].sort((a, b) => a - b);
  const kept = new Uint32Array(3 * last.length);
  for (const [i, rank] of last.entries()) kept.set(found.subarray(3 * rank, 3 * rank + 3), 3 * i);
  return kept;
}

/** Merges of a merges.txt: a line each, after a line `#version` that may be absent. */
export function mergeLines(text: string): string[] {
  return text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#version'));
}

/** The model of a tokenizer.json. @throws INVALID_TOKENIZER; UNSUPPORTED_TOKENIZER for dropout and the like */
export function readBpeModel(model: JsonObject): BpeModel {
  const name = 'tokenizer.json: model';
  const dropout = model.get('dropout') ?? null;
  if (dropout !== null && dropout !== 0)
    throw unsupported(`${name}.dropout: must be null (ids are deterministic here), got ${show(dropout)}`);
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    const affix = model.get(key) ?? '';
    if (affix !== '') throw unsupported(`${name}.${key}: must be empty in a byte-level BPE, got ${show(affix)}`);
  }
  if (flagOf(model.get('byte_fallback'), `${name}.byte_fallback`, false)) {
    throw unsupported(`${name}.byte_fallback: must be false in a byte-level BPE, got true`);
  }
  flagOf(model.get('fuse_unk'), `${name}.fuse_unk`, false);
  const unknown = model.get('unk_token') ?? null;
  if (unknown !== null) textOf(unknown, `${name}.unk_token`);
  const { tokens, idOf } = readVocabulary(asObject(model.get('vocab'), `${name}.vocab`), `${name}.vocab`);
  const merges = readMerges(listOf(model.get('merges'), `${name}.merges`), idOf, `${name}.merges`);
  return { tokens, idOf, merges, ignoreMerges: flagOf(model.get('ignore_merges'), `${name}.ignore_merges`, false) };
}

/** Merges as a tokenizer.json lists them, in pairs. */
export function mergePairs({ tokens, merges }: BpeModel): [string, string][] {
  return Array.from({ length: merges.length / 3 }, (_, i) => [tokens[merges[3 * i]]!, tokens[merges[3 * i + 1]]!]);
}

/** The vocabulary as JSON has it; Object.fromEntries defines own properties, whatever the key. */
export function vocabularyJson(tokens: readonly (string | undefined)[]): Record<string, number> {
  const entries: [string, number][] = [];
  for (const [id, token] of tokens.entries()) if (token !== undefined) entries.push([token, id]);
  return Object.fromEntries(entries);
}

/**
 * The model that training gives.
 * @param byteOrder the bytes of the first 256 ids
 * @param merges left, right, merged for each merge; a merged id that is new is the next one
 */
export function modelOfMerges(byteOrder: Uint8Array, merges: Uint32Array): BpeModel {
  const bytes = Array.from(byteOrder, (byte) => Uint8Array.of(byte));
  for (let i = 0; i < merges.length; i += 3) {
    const [left, right] = [bytes[merges[i]], bytes[merges[i + 1]]];
    const merged = new Uint8Array(left.length + right.length);
    merged.set(left);
    merged.set(right, left.length);
    bytes[merges[i + 2]] = merged;
  }
  const tokens = bytes.map(tokenOfBytes);
  return { tokens, idOf: new Map(tokens.map((token, id) => [token, id])), merges, ignoreMerges: false };
}
