// One token per Unicode code point: the tokenizer of small experiments. The vocabulary is the characters of a text in the order of their code
// points, and special tokens behind them if there are any. On disk it is a WordLevel model behind a split into single characters. It never maps an unknown character to
// something else.
import { FerroError } from '../errors';
import { type AddedToken, AddedTokenFinder, addedTokenJson, checkAllowed, noneAllowed, specialToken } from './addedTokens';
import type { SpecialIds } from './specialIds';
import {
  checkId,
  type DecodeOptions,
  type EncodeOptions,
  type StreamingDecoder,
  type StreamingEncoder,
  type Tokenizer,
  tokenizerConfigText,
  tokenizerHash,
  tokenizerJsonText,
  wholeCharacters,
} from './tokenizer';

const CODE_POINTS = 0x110000;
const REPLACEMENT = 0xfffd;

/** The code point at `index`; a lone surrogate counts as U+FFFD. */
function codePointAt(text: string, index: number): number {
  const point = text.codePointAt(index)!;
  return point >= 0xd800 && point <= 0xdfff ? REPLACEMENT : point;
}

/** A character as it is named in messages: itself where it can be shown, and its code point. */
function describeCharacter(point: number): string {
  const hex = `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
  const character = String.fromCodePoint(point);
  return /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character) ? `"${character}" (${hex})` : hex;
}

/** Collects the characters of texts given piece by piece, in constant memory (1.1 MB), and makes the tokenizer of them. */
export class CharVocabulary {
  readonly #seen = new Uint8Array(CODE_POINTS);
  #held = '';

  /** Adds the characters of the next piece of a text; a character may be cut between two pieces. */
  add(text: string): this {
    const piece = this.#held + text;
    const end = wholeCharacters(piece);
    this.#held = piece.slice(end);
    for (let i = 0; i < end; i++) {
      const unit = piece.charCodeAt(i);
      if (unit < 0xd800 || unit > 0xdfff) {
        this.#seen[unit] = 1;
      } else {
        const point = codePointAt(piece, i);
        this.#seen[point] = 1;
        if (point > 0xffff) i++;
      }
    }
    return this;
  }

  /** The tokenizer of all characters added so far. @throws EMPTY_DATA without any. */
  build(): CharTokenizer {
    if (this.#held !== '') this.#seen[REPLACEMENT] = 1;
    this.#held = '';
    const points: number[] = [];
    for (let point = 0; point < CODE_POINTS; point++) if (this.#seen[point] !== 0) points.push(point);
    if (points.length === 0) throw new FerroError('EMPTY_DATA', 'CharTokenizer: the text must have at least one character, got none');
    return new CharTokenizer(points.map((point) => String.fromCodePoint(point)));
  }
}

/** A tokenizer whose tokens are single characters (Unicode code points, not UTF-16 units). */
export class CharTokenizer implements Tokenizer {
  readonly kind = 'char';
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** The special tokens: their ids follow those of the characters. */
  readonly addedTokens: readonly AddedToken[];
  /** The characters by id. */
  readonly characters: readonly string[];
  /** Id by code point, −1 where the vocabulary has none; as long as the greatest code point asks for. */
  readonly #idOf: Int32Array;
  readonly #finder: AddedTokenFinder;
  #hash: string | undefined;

  /**
   * @param characters the vocabulary by id: at least one string, each exactly one code point, none twice.
   * @param specialTokens texts of special tokens, each longer than one character; in a text they count where `allowSpecial` says so
   * @param roles ids of those that begin and end texts and fill batches
   * @throws INVALID_TOKENIZER otherwise.
   */
  constructor(characters: readonly string[], specialTokens: readonly string[] = [], roles: Partial<SpecialIds> = {}) {
    if (characters.length === 0)
      throw new FerroError('INVALID_TOKENIZER', 'CharTokenizer: the vocabulary must not be empty, got 0 characters');
    let greatest = 0;
    for (const [id, character] of characters.entries()) {
      const point = character.codePointAt(0);
      const single = point !== undefined && (point < 0xd800 || point > 0xdfff) && character.length === (point > 0xffff ? 2 : 1);
      if (!single) {
        throw new FerroError(
          'INVALID_TOKENIZER',
          `CharTokenizer: each token must be one character, got ${JSON.stringify(character)} for id ${id}`,
        );
      }
      greatest = Math.max(greatest, point);
    }
    this.#idOf = new Int32Array(greatest + 1).fill(-1);
    for (const [id, character] of characters.entries()) {
      const point = character.codePointAt(0)!;
      if (this.#idOf[point] !== -1) {
        throw new FerroError(
          'INVALID_TOKENIZER',
          `CharTokenizer: a character must have one id, got ${describeCharacter(point)} for ids ${this.#idOf[point]} and ${id}`,
        );
      }
      this.#idOf[point] = id;
    }
    this.characters = Object.freeze([...characters]);
    this.addedTokens = Object.freeze(specialTokens.map((content, i) => specialToken(characters.length + i, content)));
    const wrong = specialTokens.find((content, i) => [...content].length < 2 || specialTokens.indexOf(content) !== i);
    if (wrong !== undefined) {
      throw new FerroError(
        'INVALID_TOKENIZER',
        `CharTokenizer: special tokens must be different texts of more than one character, got ${JSON.stringify(wrong)}`,
      );
    }
    this.#finder = new AddedTokenFinder(this.addedTokens.map((token) => ({ token, text: token.content })));
    this.vocabSize = characters.length + specialTokens.length;
    ({ bosId: this.bosId = null, eosId: this.eosId = null, padId: this.padId = null } = roles);
  }

  /** The tokenizer of a text's characters, sorted by code point. @throws EMPTY_DATA for ''. */
  static fromText(text: string): CharTokenizer {
    return new CharVocabulary().add(text).build();
  }

  /** The same from a text in pieces (see `readText` for files), in memory that does not grow with the text. */
  static async fromStream(pieces: AsyncIterable<string> | Iterable<string>): Promise<CharTokenizer> {
    const vocabulary = new CharVocabulary();
    for await (const piece of pieces) vocabulary.add(piece);
    return vocabulary.build();
  }

  get hash(): string {
    this.#hash ??= tokenizerHash(this.toFiles());
    return this.#hash;
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const allowed = this.#allowed(options);
    if (allowed === noneAllowed) return this.#encode(text, 0);
    return this.#encodeSpecial(text, Number.POSITIVE_INFINITY, 0, allowed).ids;
  }

  encoder(options: EncodeOptions = {}): StreamingEncoder {
    const allowed = this.#allowed(options);
    return allowed === noneAllowed ? this.#plainEncoder() : this.#specialEncoder(allowed);
  }

  #plainEncoder(): StreamingEncoder {
    let held = '';
    let characters = 0;
    return {
      push: (text) => {
        const piece = held + text;
        const end = wholeCharacters(piece);
        const ids = this.#encode(piece.slice(0, end), characters);
        held = piece.slice(end);
        characters += ids.length;
        return ids;
      },
      flush: () => {
        const ids = this.#encode(held, characters);
        held = '';
        characters = 0;
        return ids;
      },
    };
  }

  /** What could be the beginning of a special token is held back. */
  #specialEncoder(allowed: (token: AddedToken) => boolean): StreamingEncoder {
    const longest = Math.max(...this.addedTokens.map(({ content }) => content.length));
    let held = '';
    let characters = 0;
    const take = (end: number): Int32Array => {
      const { ids, taken } = this.#encodeSpecial(held, end, characters, allowed);
      held = held.slice(taken);
      characters += ids.length;
      return ids;
    };
    return {
      push: (text) => {
        held += text;
        return take(wholeCharacters(held.slice(0, Math.max(0, held.length - longest + 1))));
      },
      flush: () => {
        const ids = take(Number.POSITIVE_INFINITY);
        characters = 0;
        return ids;
      },
    };
  }

  /** Ids of what begins before `end`: a special token that does is taken whole. */
  #encodeSpecial(text: string, end: number, before: number, allowed: (token: AddedToken) => boolean): { ids: Int32Array; taken: number } {
    const ids: number[] = [];
    let at = 0;
    for (const section of this.#finder.split(text, allowed)) {
      if (at >= end) break;
      if ('token' in section) {
        ids.push(section.token.id);
        at += section.token.content.length;
        continue;
      }
      const part = section.text.slice(0, end - at);
      for (const id of this.#encode(part, before + ids.length)) ids.push(id);
      at += part.length;
      if (part.length < section.text.length) break;
    }
    return { ids: Int32Array.from(ids), taken: at };
  }

  /** Which special tokens count in a text. @throws INVALID_OPTION for one that there is not */
  #allowed({ allowSpecial = false }: EncodeOptions): (token: AddedToken) => boolean {
    if (typeof allowSpecial === 'boolean') return allowSpecial && this.addedTokens.length > 0 ? () => true : noneAllowed;
    checkAllowed(allowSpecial, this.addedTokens);
    const list = new Set(allowSpecial);
    return list.size === 0 ? noneAllowed : (token) => list.has(token.content);
  }

  decode(ids: ArrayLike<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    // In slices: one string per character of a long text would take many times the text's memory.
    let text = '';
    for (let start = 0; start < ids.length; start += 4096) {
      const slice: string[] = [];
      for (let i = start; i < Math.min(start + 4096, ids.length); i++) {
        checkId('decode', ids[i], this.vocabSize, i);
        slice.push(this.characters[ids[i]] ?? (skipSpecialTokens ? '' : this.#special(ids[i])));
      }
      text += slice.join('');
    }
    return text;
  }

  decoder(options?: DecodeOptions): StreamingDecoder {
    return { push: (ids) => this.decode(typeof ids === 'number' ? [ids] : ids, options), flush: () => '' };
  }

  #special(id: number): string {
    return this.addedTokens[id - this.characters.length].content;
  }

  byteLength(id: number): number {
    checkId('byteLength', id, this.vocabSize, 0);
    if (id >= this.characters.length) return new TextEncoder().encode(this.#special(id)).length;
    const point = this.characters[id].codePointAt(0)!;
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }

  toFiles(options: { modelMaxLength?: number } = {}): Map<string, string> {
    // Object.fromEntries defines own properties, whatever the key; a Map cannot be given to JSON.stringify.
    const vocab = Object.fromEntries(this.characters.map((character, id) => [character, id]));
    const tokenizer = {
      added_tokens: this.addedTokens.map(addedTokenJson),
      pre_tokenizer: { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false },
      post_processor: null,
      decoder: { type: 'Fuse' },
      // The unknown token is deliberately not in the vocabulary: an unknown character is then an error in Python too.
      model: { type: 'WordLevel', vocab, unk_token: '[UNK]' },
    };
    const content = (id: number | null) => (id === null ? null : (this.characters[id] ?? this.#special(id)));
    const roles = { bos: content(this.bosId), eos: content(this.eosId), pad: content(this.padId) };
    return new Map([
      ['tokenizer.json', tokenizerJsonText(tokenizer)],
      ['tokenizer_config.json', tokenizerConfigText(options.modelMaxLength, roles)],
    ]);
  }

  /** `before` characters came in earlier pieces; they count in the message's offset. */
  #encode(text: string, before: number): Int32Array {
    const ids = new Int32Array(text.length);
    let n = 0;
    for (let i = 0; i < text.length; i++) {
      let point = text.charCodeAt(i);
      if (point >= 0xd800 && point <= 0xdfff) {
        point = codePointAt(text, i);
        if (point > 0xffff) i++;
      }
      const id = point < this.#idOf.length ? this.#idOf[point] : -1;
      if (id < 0) {
        throw new FerroError(
          'UNKNOWN_CHARACTER',
          `encode: every character must be in the vocabulary of ${this.vocabSize}, got ${describeCharacter(point)} at character ${before + n}`,
        );
      }
      ids[n++] = id;
    }
    return n === ids.length ? ids : ids.slice(0, n);
  }
}
