// Which tokens begin and end texts and fill batches, from the files beside tokenizer.json.
import { type JsonObject, objectOrNull, parseFile } from './json';

/** Ids of the tokens with a role; null where there is none. */
export interface SpecialIds {
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
}

/** Files that may name the tokens, the first that does so counts; then those that name ids. */
const NAMING = ['tokenizer_config.json', 'special_tokens_map.json'] as const;
const NUMBERING = ['generation_config.json', 'config.json'] as const;

const fileOf = (files: ReadonlyMap<string, string>, name: string): JsonObject | null => {
  const text = files.get(name);
  return text === undefined ? null : parseFile(name, text);
};

/** A token's text: plain, or the `content` of an object. */
function contentOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  const content = typeof value === 'object' && value !== null && !Array.isArray(value) ? objectOrNull(value, '')?.get('content') : null;
  return typeof content === 'string' ? content : null;
}

/**
 * The ids of the special tokens.
 * @param idOf the id of a token's text, undefined where there is none (a name without a token counts as none)
 * @param vocabSize ids from there on are no tokens of this tokenizer
 */
export function readSpecialIds(
  files: ReadonlyMap<string, string>,
  idOf: (content: string) => number | undefined,
  vocabSize: number,
): SpecialIds {
  const naming = NAMING.map((name) => fileOf(files, name));
  const numbering = NUMBERING.map((name) => fileOf(files, name));
  const find = (role: 'bos' | 'eos' | 'pad'): number | null => {
    for (const file of naming) {
      const content = contentOf(file?.get(`${role}_token`));
      const id = content === null ? undefined : idOf(content);
      if (id !== undefined) return id;
    }
    for (const file of numbering) {
      const value = file?.get(`${role}_token_id`);
      const id: unknown = Array.isArray(value) ? value[0] : value; // generation ends at several tokens in some models: the first is the tokenizer's
      if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
    }
    return null;
  };
  return { bosId: find('bos'), eosId: find('eos'), padId: find('pad') };
}
