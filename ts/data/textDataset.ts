// A text as one long sequence of tokens, made from strings, files or ids, and its split into a training and a validation part. It cuts no windows (see
// sampler.ts) and reads no file itself (see textFiles.ts).
import { FerroError, throwIfAborted } from '../errors';
import { checkNames, namesOf } from '../options';
import type { Tokenizer } from '../tokenizers';
import type { TokenDataset } from './dataset';
import { type ReadOptions, readText, type TextSource } from './textFiles';
import { TokenArray } from './tokenArray';

const READ_OPTIONS = namesOf<ReadOptions>({ signal: true, onProgress: true });

/** Characters encoded at once: bounds what encoding needs besides the compact tokens. */
const ENCODE_PIECE = 1 << 20;

/** Tokens start … start + length − 1 of an array that several data sets may share. Immutable. */
export class TextDataset implements TokenDataset {
  readonly length: number;
  readonly vocabSize: number;
  /** What encoded the text; null for a data set made from ids without one. */
  readonly tokenizer: Tokenizer | null;
  readonly #tokens: TokenArray;
  readonly #start: number;
  #hash: Promise<string> | undefined;

  private constructor(tokens: TokenArray, tokenizer: Tokenizer | null, start: number, length: number) {
    this.#tokens = tokens;
    this.#start = start;
    this.tokenizer = tokenizer;
    this.length = length;
    this.vocabSize = tokens.vocabSize;
  }

  /** @throws EMPTY_DATA for '', UNKNOWN_CHARACTER as the tokenizer does. */
  static fromText(text: string, tokenizer: Tokenizer): TextDataset {
    const tokens = new TokenArray(tokenizer.vocabSize);
    const encoder = tokenizer.encoder();
    for (let at = 0; at < text.length; at += ENCODE_PIECE) tokens.push(encoder.push(text.slice(at, at + ENCODE_PIECE)));
    tokens.push(encoder.flush());
    return TextDataset.#whole('fromText', tokens, tokenizer);
  }

  /**
   * Reads one or many UTF-8 files, in order, with nothing between them; memory is about 1, 2 or 4 bytes per token.
   * @param sources paths (Node) or File / Blob objects
   * @throws FILE_NOT_FOUND, FILE_ERROR, EMPTY_DATA, NOT_UTF8, UNKNOWN_CHARACTER, UNKNOWN_OPTION, ABORTED
   */
  static async fromFiles(
    sources: TextSource | Iterable<TextSource>,
    tokenizer: Tokenizer,
    options: ReadOptions = {},
  ): Promise<TextDataset> {
    checkNames('fromFiles', options, READ_OPTIONS);
    throwIfAborted(options.signal, 'fromFiles');
    const tokens = new TokenArray(tokenizer.vocabSize);
    const encoder = tokenizer.encoder();
    for await (const piece of readText(sources, options)) tokens.push(encoder.push(piece));
    tokens.push(encoder.flush());
    return TextDataset.#whole('fromFiles', tokens, tokenizer);
  }

  /**
   * A data set of ids that exist already; they are copied into compact storage.
   * @param options a tokenizer, or a vocabSize above every id
   * @throws EMPTY_DATA, TOKEN_OUT_OF_RANGE naming the id and its position, INVALID_OPTION, UNKNOWN_OPTION
   */
  static fromTokens(ids: ArrayLike<number>, options: { tokenizer: Tokenizer } | { vocabSize: number }): TextDataset {
    checkNames('fromTokens', options, ['tokenizer', 'vocabSize']);
    const tokenizer = 'tokenizer' in options ? options.tokenizer : null;
    const tokens = new TokenArray('vocabSize' in options ? options.vocabSize : options.tokenizer.vocabSize);
    tokens.push(ids);
    return TextDataset.#whole('fromTokens', tokens, tokenizer);
  }

  static #whole(op: string, tokens: TokenArray, tokenizer: Tokenizer | null): TextDataset {
    if (tokens.length === 0) throw new FerroError('EMPTY_DATA', `${op}: the data must have at least one token, got none`);
    return new TextDataset(tokens.trim(), tokenizer, 0, tokens.length);
  }

  /** Tokens from `start` up to `end` (exclusive) as a data set that shares the storage. 0 ≤ start ≤ end ≤ length. */
  slice(start: number, end: number): TextDataset {
    const valid = Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= this.length;
    if (!valid) throw new FerroError('INVALID_OPTION', `slice: the range must lie within 0 to ${this.length}, got ${start} to ${end}`);
    return new TextDataset(this.#tokens, this.tokenizer, this.#start + start, end - start);
  }

  /**
   * The training part and the validation part at the end, ⌊length · (1 − evalFraction)⌋ tokens and the rest.
   * @param options evalFraction in [0, 1), 0.1 by default; with 0 the validation part is empty
   * @throws INVALID_OPTION, UNKNOWN_OPTION
   */
  split(options: { evalFraction?: number } = {}): { train: TextDataset; validation: TextDataset } {
    checkNames('split', options, ['evalFraction']);
    const fraction = options.evalFraction ?? 0.1;
    if (!(typeof fraction === 'number' && fraction >= 0 && fraction < 1)) {
      throw new FerroError('INVALID_OPTION', `split: evalFraction must be a number from 0 up to, not including, 1, got ${fraction}`);
    }
    const end = Math.floor(this.length * (1 - fraction));
    return { train: this.slice(0, end), validation: this.slice(end, this.length) };
  }

  copyTokens(start: number, count: number, out: Int32Array, at: number): void {
    if (start < 0 || count < 0 || start + count > this.length) {
      throw new FerroError(
        'INVALID_OPTION',
        `copyTokens: the range must lie within ${this.length} tokens, got ${start} to ${start + count}`,
      );
    }
    this.#tokens.copyTokens(this.#start + start, count, out, at);
  }

  /** Tokens start … end − 1 as plain ids (all by default). */
  toIds(start = 0, end = this.length): Int32Array {
    const ids = new Int32Array(Math.max(0, end - start));
    this.copyTokens(start, ids.length, ids, 0);
    return ids;
  }

  /** Bytes of UTF-8 that tokens start … end − 1 stand for. @throws INVALID_OPTION for a data set without a tokenizer. */
  countBytes(start = 0, end = this.length): number {
    const { tokenizer } = this;
    if (tokenizer === null)
      throw new FerroError('INVALID_OPTION', 'countBytes: the data set must have a tokenizer, got one made from ids alone');
    const lengthOf = Uint32Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.byteLength(id));
    const piece = new Int32Array(Math.min(ENCODE_PIECE, Math.max(0, end - start)));
    let bytes = 0;
    for (let at = start; at < end; at += piece.length) {
      const count = Math.min(piece.length, end - at);
      this.copyTokens(at, count, piece, 0);
      for (let i = 0; i < count; i++) bytes += lengthOf[piece[i]];
    }
    return bytes;
  }

  hash(): Promise<string> {
    this.#hash ??= this.#tokens.hash(this.#start, this.length);
    return this.#hash;
  }
}
