// One token per byte of a text's UTF-8 form: 256 ids, id = byte, no text is unknown. On disk it is a byte-level BPE without merges, written in the
// printable alphabet that GPT-2 gives to bytes.
import { FerroError } from '../errors';
import { byteAlphabet } from './byteAlphabet';
import {
  bpeModelJson,
  checkId,
  type StreamingDecoder,
  type StreamingEncoder,
  type Tokenizer,
  textDecoder,
  tokenizerFiles,
  tokenizerHash,
  wholeCharacters,
} from './tokenizer';

/** A tokenizer whose tokens are the 256 bytes. */
export class ByteTokenizer implements Tokenizer {
  readonly kind = 'byte';
  readonly vocabSize = 256;
  readonly bosId = null;
  readonly eosId = null;
  readonly padId = null;
  /** Byte by id, and id by byte. */
  readonly #bytes: Uint8Array;
  readonly #idOf: Uint8Array;
  readonly #ordered: boolean;
  #hash: string | undefined;

  /**
   * @param bytes which byte each id stands for (a permutation of 0..255); without it id = byte, as this library writes it.
   * @throws INVALID_TOKENIZER if a byte is missing.
   */
  constructor(bytes?: ArrayLike<number>) {
    this.#bytes = Uint8Array.from(bytes ?? Array.from({ length: 256 }, (_, byte) => byte));
    this.#idOf = new Uint8Array(256);
    for (const [id, byte] of this.#bytes.entries()) this.#idOf[byte] = id;
    const different = new Set(this.#bytes).size;
    if (this.#bytes.length !== 256 || different !== 256) {
      throw new FerroError(
        'INVALID_TOKENIZER',
        `ByteTokenizer: each of the 256 bytes must have one id, got ${different} bytes for ${this.#bytes.length} ids`,
      );
    }
    this.#ordered = this.#bytes.every((byte, id) => byte === id);
  }

  get hash(): string {
    this.#hash ??= tokenizerHash(this.toFiles());
    return this.#hash;
  }

  encode(text: string): Int32Array {
    return this.#ids(new TextEncoder().encode(text));
  }

  encoder(): StreamingEncoder {
    let held = '';
    return {
      push: (text) => {
        const piece = held + text;
        const end = wholeCharacters(piece);
        held = piece.slice(end);
        return this.encode(piece.slice(0, end));
      },
      flush: () => {
        const ids = this.encode(held);
        held = '';
        return ids;
      },
    };
  }

  decode(ids: ArrayLike<number>): string {
    return textDecoder().decode(this.#toBytes(ids));
  }

  decoder(): StreamingDecoder {
    let utf8 = textDecoder();
    return {
      push: (ids) => utf8.decode(this.#toBytes(typeof ids === 'number' ? [ids] : ids), { stream: true }),
      flush: () => {
        const rest = utf8.decode();
        utf8 = textDecoder();
        return rest;
      },
    };
  }

  byteLength(id: number): number {
    checkId('byteLength', id, 256, 0);
    return 1;
  }

  toFiles(options: { modelMaxLength?: number } = {}): Map<string, string> {
    const alphabet = byteAlphabet();
    const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
    const tokenizer = {
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: bpeModelJson(Object.fromEntries(Array.from(this.#bytes, (byte, id) => [alphabet[byte], id])), [], false),
    };
    return tokenizerFiles(tokenizer, options.modelMaxLength);
  }

  #ids(bytes: Uint8Array): Int32Array {
    const ids = new Int32Array(bytes);
    if (!this.#ordered) for (let i = 0; i < ids.length; i++) ids[i] = this.#idOf[ids[i]];
    return ids;
  }

  #toBytes(ids: ArrayLike<number>): Uint8Array {
    const bytes = new Uint8Array(ids.length);
    for (let i = 0; i < ids.length; i++) {
      checkId('decode', ids[i], 256, i);
      bytes[i] = this.#bytes[ids[i]];
    }
    return bytes;
  }
}
