// Byte-level BPE (GPT-2's kind of tokenizer): the tokenizer of a tokenizer.json or of vocab.json and merges.txt, and training one. Splitting a text and
// merging pairs is done by the text kernels; here lie what surrounds them: added tokens, normalizers, special tokens, streams and files.
import { FerroError } from '../errors';
import { sha256Hex } from '../math/sha256';
import {
  type AddedToken,
  AddedTokenFinder,
  addedTokenJson,
  checkAddedTokens,
  checkAllowed,
  noneAllowed,
  type Section,
} from './addedTokens';
import { type BpeFiles, writeBpeFiles } from './bpeFiles';
import { type BpeEncoder, openEncoder } from './bpeKernel';
import type { BpeModel } from './bpeModel';
import { type BpeTrainOptions, trainBpe } from './bpeTrain';
import type { Normalizer } from './normalizers';
import type { Frame } from './postProcessor';
import { type PreTokenizer, withPrefixSpace } from './preTokenizer';
import type { SpecialIds } from './specialIds';
import { type CutFinder, cutFinder } from './streamCut';
import { ByteDecoder, byteTable, decodedBytes } from './tokenBytes';
import type { DecodeOptions, EncodeOptions, StreamingDecoder, StreamingEncoder, Tokenizer } from './tokenizer';

/** Everything that makes a byte-level BPE. */
export interface BpeParts {
  readonly model: BpeModel;
  readonly added: readonly AddedToken[];
  readonly normalizer: Normalizer | null;
  readonly preTokenizer: PreTokenizer;
  /** Special tokens around a text, where they are asked for. */
  readonly frame: Frame;
  readonly special: SpecialIds;
  /** The files it was read from, which are written again as they are; null for one that was made here. */
  readonly files: ReadonlyMap<string, string> | null;
}

const NONE = new Int32Array(0);

/** A byte-level BPE tokenizer. */
export class BpeTokenizer implements Tokenizer {
  readonly kind = 'bpe';
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** The added tokens by id, special ones among them. */
  readonly addedTokens: readonly AddedToken[];
  readonly #parts: BpeParts;
  readonly #encoder: BpeEncoder;
  readonly #decoder: ByteDecoder;
  /** Added tokens looked for in the text as it is, and in the normalized text. */
  readonly #raw: AddedTokenFinder;
  readonly #normalized: AddedTokenFinder;
  readonly #cut: CutFinder;
  #hash: string | undefined;

  private constructor(parts: BpeParts, encoder: BpeEncoder) {
    const { model, added, normalizer, preTokenizer, special } = parts;
    this.#parts = parts;
    this.#encoder = encoder;
    const { parts: bytes, ownText } = decodedBytes(model.tokens, added);
    this.#decoder = new ByteDecoder(byteTable(bytes), ownText, new Set(added.filter((token) => token.special).map(({ id }) => id)));
    this.vocabSize = this.#decoder.vocabSize;
    this.addedTokens = Object.freeze([...added].sort((a, b) => a.id - b.id));
    const apply = (text: string) => normalizer?.apply(text) ?? text;
    const raw = added.filter((token) => !token.normalized).map((token) => ({ token, text: token.content }));
    const normalized = added.filter((token) => token.normalized).map((token) => ({ token, text: apply(token.content) }));
    this.#raw = new AddedTokenFinder(raw);
    this.#normalized = new AddedTokenFinder(normalized);
    this.#cut = cutFinder(preTokenizer, normalizer, [...raw, ...normalized]);
    ({ bosId: this.bosId, eosId: this.eosId, padId: this.padId } = special);
  }

  /** @internal The tokenizer of parts that were read or trained. @throws INVALID_TOKENIZER where they do not agree */
  static async fromParts(parts: BpeParts): Promise<BpeTokenizer> {
    checkAddedTokens(parts.added, parts.model.idOf, parts.model.tokens);
    const size = Math.max(parts.model.tokens.length, ...parts.added.map(({ id }) => id + 1));
    for (const id of [...parts.frame.before, ...parts.frame.after]) {
      if (id < size) continue;
      throw new FerroError('INVALID_TOKENIZER', `tokenizer.json: post_processor: ids must be below ${size}, got ${id}`);
    }
    return new BpeTokenizer(parts, await openEncoder(parts.model, parts.preTokenizer.steps));
  }

  /**
   * Trains a tokenizer: the 256 bytes, then the pairs that are most frequent, then the special tokens. The same texts and options give the same tokenizer.
   * @param texts a text, or texts in an iterable; a word never reaches from one text into the next
   * @throws INVALID_OPTION, EMPTY_DATA, ABORTED
   */
  static async train(texts: string | Iterable<string> | AsyncIterable<string>, options: BpeTrainOptions): Promise<BpeTokenizer> {
    return BpeTokenizer.fromParts(await trainBpe(texts, options));
  }

  get hash(): string {
    this.#hash ??= hashOf(this.#parts);
    return this.#hash;
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const { before, after } = this.#frame(options);
    const parts = this.#encodeSections(text, this.#allowed(options));
    return concatenate(before.length + after.length === 0 ? parts : [Int32Array.from(before), ...parts, Int32Array.from(after)]);
  }

  encoder(options: EncodeOptions = {}): StreamingEncoder {
    const allowed = this.#allowed(options);
    const frame = this.#frame(options);
    let held = '';
    let started = false;
    const begin = () => {
      const ids = started ? NONE : Int32Array.from(frame.before);
      started = true;
      return ids;
    };
    return {
      push: (text) => {
        const from = Math.max(0, held.length - 1);
        held += text;
        const cut = this.#cut(held, from);
        if (cut === 0) return NONE;
        const ids = concatenate([begin(), ...this.#encodeSections(held.slice(0, cut), allowed)]);
        held = held.slice(cut);
        return ids;
      },
      flush: () => {
        const ids = concatenate([begin(), ...this.#encodeSections(held, allowed), Int32Array.from(frame.after)]);
        held = '';
        started = false;
        return ids;
      },
    };
  }

  decode(ids: ArrayLike<number>, options?: DecodeOptions): string {
    return this.#decoder.decode(ids, options);
  }

  decoder(options?: DecodeOptions): StreamingDecoder {
    return this.#decoder.decoder(options);
  }

  byteLength(id: number): number {
    return this.#decoder.byteLength(id);
  }

  /** The id of a token's text: an added token, or a token as the vocabulary file writes it. */
  tokenId(content: string): number | undefined {
    return this.addedTokens.find((token) => token.content === content)?.id ?? this.#parts.model.idOf.get(content);
  }

  /** @param options vocabAndMerges adds vocab.json and merges.txt, which older readers take */
  toFiles(options: BpeFiles = {}): Map<string, string> {
    return writeBpeFiles(this.#parts, options);
  }

  #frame({ addSpecialTokens = false }: EncodeOptions): Frame {
    return addSpecialTokens ? this.#parts.frame : { before: [], after: [] };
  }

  /** Which special tokens count in a text. @throws INVALID_OPTION for one that there is not */
  #allowed({ allowSpecial = false }: EncodeOptions): (token: AddedToken) => boolean {
    if (typeof allowSpecial === 'boolean') return allowSpecial ? () => true : noneAllowed;
    const list = new Set(allowSpecial);
    checkAllowed(list, this.addedTokens);
    return (token) => list.has(token.content);
  }

  #encodeSections(text: string, allowed: (token: AddedToken) => boolean): Int32Array[] {
    const { normalizer } = this.#parts;
    const normalize = (section: Section): Section[] =>
      'token' in section ? [section] : this.#normalized.split(normalizer?.apply(section.text) ?? section.text, allowed);
    return this.#raw
      .split(text, allowed)
      .flatMap(normalize)
      .map((section) => ('token' in section ? Int32Array.of(section.token.id) : this.#encodeText(section.text)));
  }

  #encodeText(text: string): Int32Array {
    return this.#encoder.encode(this.#parts.preTokenizer.addPrefixSpace ? withPrefixSpace(text) : text);
  }
}

function concatenate(parts: readonly Int32Array[]): Int32Array {
  if (parts.length === 1) return parts[0];
  const ids = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return ids;
}

/** What decides the ids of a text, whatever the file looks like. */
function hashOf({ model, added, normalizer, preTokenizer, frame }: BpeParts): string {
  const tokens = Array.from(model.tokens, (token) => token ?? null);
  // Whether an added token is also listed in the vocabulary changes nothing where merges make all words.
  if (!model.ignoreMerges) for (const { id, content } of added) tokens[id] = content;
  const sorted = [...added].sort((a, b) => a.id - b.id).map((token) => Object.values(addedTokenJson(token)));
  const { steps, addPrefixSpace } = preTokenizer;
  const splits = steps.map(({ pattern, behavior, invert }) => [pattern, behavior, invert]);
  const rest = [
    Array.from(model.merges),
    model.ignoreMerges,
    normalizer?.description ?? [],
    splits,
    addPrefixSpace,
    frame.before,
    frame.after,
  ];
  return sha256Hex(JSON.stringify(['bpe', tokens, sorted, ...rest]));
}
