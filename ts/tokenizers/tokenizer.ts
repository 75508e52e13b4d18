// What every tokenizer offers: text to token ids and back, whole or piece by piece, and its form on disk. Not a tokenizer itself.
import { FerroError } from '../errors';
import { sha256Hex } from '../math/sha256';

/** The kinds of tokenizer there are; 'huggingface' are those that the optional package `@huggingface/tokenizers` runs. */
export type TokenizerKind = 'char' | 'byte' | 'bpe' | 'huggingface';

/** How a text is encoded. Neither option changes anything for a tokenizer without special tokens. */
export interface EncodeOptions {
  /** Adds what the post-processor adds around a text (Llama's beginning-of-text token, say), as transformers does by default. False by default. */
  addSpecialTokens?: boolean;
  /** Special tokens that are recognised in the text: all (true) or those listed. By default none: in a text they are ordinary text. */
  allowSpecial?: boolean | readonly string[];
}

/** How ids are decoded. */
export interface DecodeOptions {
  /** Leaves special tokens out of the text. False by default. */
  skipSpecialTokens?: boolean;
}

/** Encodes a text given in pieces; the ids of all pieces together equal those of the whole text. */
export interface StreamingEncoder {
  /** Ids that are certain after this piece (a character cut between two pieces is held back). */
  push(text: string): Int32Array;
  /** Ids of what was held back; the encoder then starts a new text. */
  flush(): Int32Array;
}

/** Decodes ids given in pieces; the texts of all pieces together equal the decoded whole, and no piece ever shows half a character. */
export interface StreamingDecoder {
  /** Text that is certain after these ids; '' while a character is incomplete. */
  push(ids: number | ArrayLike<number>): string;
  /** Text of what was held back (an incomplete character becomes U+FFFD); the decoder then starts anew. */
  flush(): string;
}

/** A tokenizer: immutable, no engine needed, usable on any thread. Ids run from 0 to vocabSize − 1. */
export interface Tokenizer {
  readonly kind: TokenizerKind;
  /** Number of different ids. */
  readonly vocabSize: number;
  /** Ids of the beginning-of-text, end-of-text and padding tokens; null where the tokenizer has none. */
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** SHA-256 (hexadecimal) of its tokenizer.json: equal hashes mean equal ids for every text. */
  readonly hash: string;
  /**
   * Ids of a text. A lone surrogate counts as U+FFFD, as in every UTF-8 encoder.
   * @throws UNKNOWN_CHARACTER where the vocabulary lacks a character.
   */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** Text of ids. @throws TOKEN_OUT_OF_RANGE for an id that is not an integer from 0 to vocabSize − 1, or that no token has. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  encoder(options?: EncodeOptions): StreamingEncoder;
  decoder(options?: DecodeOptions): StreamingDecoder;
  /** UTF-8 bytes that a token stands for (bits per byte are computed from it). */
  byteLength(id: number): number;
  /** `tokenizer.json` and `tokenizer_config.json`, as Python's tokenizers and transformers read them. */
  toFiles(options?: { modelMaxLength?: number }): Map<string, string>;
}

/** Checks one id; `position` is where it stands among the ids decoded, for the message. */
export function checkId(op: string, id: number, vocabSize: number, position: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
  throw new FerroError('TOKEN_OUT_OF_RANGE', `${op}: ids must be integers from 0 to ${vocabSize - 1}, got ${id} at position ${position}`);
}

/** A piece's length without the high surrogate at its end, whose other half may be in the next piece. */
export function wholeCharacters(text: string): number {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length;
}

/** Invalid UTF-8 becomes U+FFFD (a sampled byte sequence need not be valid); a byte order mark is text like any other. */
export function textDecoder(): TextDecoder {
  return new TextDecoder('utf-8', { ignoreBOM: true });
}

/** The parts of a tokenizer.json that differ between the tokenizers made here. */
export interface TokenizerJson {
  readonly added_tokens?: readonly object[];
  readonly pre_tokenizer: object;
  readonly post_processor: object | null;
  readonly decoder: object;
  readonly model: object;
}

/** Texts of the special tokens with a role. */
export interface RoleTokens {
  readonly bos?: string | null;
  readonly eos?: string | null;
  readonly pad?: string | null;
}

const indented = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** The text of a tokenizer.json. */
export function tokenizerJsonText({ added_tokens = [], ...parts }: TokenizerJson): string {
  return indented({ version: '1.0', truncation: null, padding: null, added_tokens, normalizer: null, ...parts });
}

/** The text of a tokenizer_config.json. */
export function tokenizerConfigText(modelMaxLength: number | undefined, { bos = null, eos = null, pad = null }: RoleTokens = {}): string {
  return indented({
    tokenizer_class: 'PreTrainedTokenizerFast',
    clean_up_tokenization_spaces: false,
    bos_token: bos,
    eos_token: eos,
    pad_token: pad,
    unk_token: null,
    ...(modelMaxLength === undefined ? {} : { model_max_length: modelMaxLength }),
  });
}

/** The two files of a tokenizer without special tokens. */
export function tokenizerFiles(tokenizer: TokenizerJson, modelMaxLength: number | undefined): Map<string, string> {
  return new Map([
    ['tokenizer.json', tokenizerJsonText(tokenizer)],
    ['tokenizer_config.json', tokenizerConfigText(modelMaxLength)],
  ]);
}

/** The "model" of a byte-level BPE in tokenizer.json. */
export function bpeModelJson(vocab: Record<string, number>, merges: readonly (readonly [string, string])[], ignoreMerges: boolean): object {
  return {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: ignoreMerges,
    vocab,
    merges,
  };
}

/** The hash of a tokenizer: of its tokenizer.json as this library writes it. */
export function tokenizerHash(files: ReadonlyMap<string, string>): string {
  return sha256Hex(files.get('tokenizer.json') ?? '');
}
