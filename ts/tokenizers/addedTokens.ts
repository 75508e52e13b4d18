// Added tokens: texts that are one token each whatever stands around them, with the flags of Hugging Face's tokenizers, and the search for them in a text.
// What lies between them is encoded elsewhere.
import { FerroError } from '../errors';
import { asObject, flagOf, idOf, invalid, type JsonObject, listOf, show, textOf } from './json';
import { WHITE_SPACE } from './normalizers';

/** An added token as tokenizer.json lists it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Matches only where no word character touches it. */
  readonly singleWord: boolean;
  /** Takes the white space to its left, or right, with it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Is searched for in the normalized text. */
  readonly normalized: boolean;
  /** Is ordinary text unless it is asked for. */
  readonly special: boolean;
}

/** Part of a text: an added token, or text between two. */
export type Section = { readonly text: string } | { readonly token: AddedToken };

/** A special token without flags. */
export function specialToken(id: number, content: string): AddedToken {
  return { id, content, singleWord: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

function readAddedToken(part: JsonObject, id: number, name: string): AddedToken {
  const special = flagOf(part.get('special'), `${name}.special`, false);
  return {
    id,
    content: textOf(part.get('content'), `${name}.content`),
    singleWord: flagOf(part.get('single_word'), `${name}.single_word`, false),
    lstrip: flagOf(part.get('lstrip'), `${name}.lstrip`, false),
    rstrip: flagOf(part.get('rstrip'), `${name}.rstrip`, false),
    normalized: flagOf(part.get('normalized'), `${name}.normalized`, !special),
    special,
  };
}

/** The added tokens of a tokenizer.json, by id. */
export function readAddedTokens(value: unknown, name: string): AddedToken[] {
  return listOf(value, name).map((item, i) => {
    const part = asObject(item, `${name}[${i}]`);
    return readAddedToken(part, idOf(part.get('id'), `${name}[${i}].id`), `${name}[${i}]`);
  });
}

/** The same from the `added_tokens_decoder` of a tokenizer_config.json: objects by id. */
export function readAddedTokensById(value: unknown, name: string): AddedToken[] {
  if (value === null || value === undefined) return [];
  return Array.from(asObject(value, name), ([key, item]) =>
    readAddedToken(asObject(item, `${name}.${key}`), idOf(Number(key), `${name}.${key}`), `${name}.${key}`),
  );
}

/**
 * Checks that added tokens and vocabulary agree: one id per text, one text per id.
 * @throws INVALID_TOKENIZER otherwise
 */
export function checkAddedTokens(
  added: readonly AddedToken[],
  ids: ReadonlyMap<string, number>,
  tokens: readonly (string | undefined)[],
): void {
  const byId = new Map<number, string>();
  const byContent = new Map<string, number>();
  for (const { id, content } of added) {
    if (content === '') throw invalid(`added_tokens: a token must have text, got "" for id ${id}`);
    const other = byId.get(id) ?? tokens[id];
    if (other !== undefined && other !== content) {
      throw invalid(`added_tokens: an id must belong to one token, got ${id} for ${show(other)} and ${show(content)}`);
    }
    const otherId = byContent.get(content) ?? ids.get(content);
    if (otherId !== undefined && otherId !== id) {
      throw invalid(`added_tokens: a token must have one id, got ${otherId} and ${id} for ${show(content)}`);
    }
    byId.set(id, content);
    byContent.set(content, id);
  }
}

/** As tokenizer.json lists it. */
export function addedTokenJson(token: AddedToken): object {
  const { id, content, singleWord, lstrip, rstrip, normalized, special } = token;
  return { id, content, single_word: singleWord, lstrip, rstrip, normalized, special };
}

// White_Space and the word characters of Rust's regular expressions, which Hugging Face's reader uses here.
const SPACES_AT_START = new RegExp(`^[${WHITE_SPACE}]+`);
const IS_SPACE = new RegExp(`^[${WHITE_SPACE}]$`);
const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d]';
const STARTS_WITH_WORD = new RegExp(`^${WORD}`, 'u');
const IS_WORD = new RegExp(`^${WORD}$`, 'u');

/** The code point that ends at `end`, as text. */
function characterBefore(text: string, end: number): string {
  const low = text.charCodeAt(end - 1);
  const paired = low >= 0xdc00 && low <= 0xdfff && end > 1 && (text.codePointAt(end - 2) ?? 0) > 0xffff;
  return text.slice(paired ? end - 2 : end - 1, end);
}

/** Checks the texts that `allowSpecial` lists. @throws INVALID_OPTION for one that is no special token among `added` */
export function checkAllowed(allowed: Iterable<string>, added: readonly AddedToken[]): void {
  for (const content of allowed) {
    if (added.some((token) => token.special && token.content === content)) continue;
    throw new FerroError(
      'INVALID_OPTION',
      `encode: "allowSpecial" must list special tokens of the tokenizer, got ${JSON.stringify(content)}`,
    );
  }
}

/** Says of every special token that it does not count. */
export const noneAllowed = (): boolean => false;

/** Looks for a set of added tokens in texts: the leftmost first, of several there the longest. */
export class AddedTokenFinder {
  readonly #tokens = new Map<string, AddedToken>();
  readonly #pattern: RegExp | null;
  readonly #onlySpecial: boolean;

  /** @param tokens what to look for, each with the text it has where it is looked for */
  constructor(tokens: readonly { readonly token: AddedToken; readonly text: string }[]) {
    for (const { token, text } of tokens) if (text !== '') this.#tokens.set(text, token);
    this.#onlySpecial = [...this.#tokens.values()].every((token) => token.special);
    const texts = [...this.#tokens.keys()].sort((a, b) => b.length - a.length);
    const escaped = texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
    this.#pattern = texts.length === 0 ? null : new RegExp(escaped.join('|'), 'g');
  }

  /** The sections of a text. `allowed` says which special tokens count; one that does not hides what lies in it, as in Hugging Face's reader. */
  split(text: string, allowed: (token: AddedToken) => boolean): Section[] {
    if (this.#pattern === null || (this.#onlySpecial && allowed === noneAllowed)) return text === '' ? [] : [{ text }];
    const sections: Section[] = [];
    let done = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#tokens.get(match[0])!;
      // A match may begin in the white space that the token before it took: it counts too, as in Hugging Face's reader.
      let start = match.index;
      let end = start + match[0].length;
      if ((token.special && !allowed(token)) || (token.singleWord && touchesWord(text, start, end))) continue;
      if (token.lstrip) while (start > done && IS_SPACE.test(text[start - 1])) start--;
      if (token.rstrip) end += SPACES_AT_START.exec(text.slice(end))?.[0].length ?? 0;
      if (start > done) sections.push({ text: text.slice(done, start) });
      sections.push({ token });
      done = end;
    }
    if (done < text.length) sections.push({ text: text.slice(done) });
    return sections;
  }
}

function touchesWord(text: string, start: number, end: number): boolean {
  return (start > 0 && IS_WORD.test(characterBefore(text, start))) || STARTS_WITH_WORD.test(text.slice(end, end + 2));
}
