// The bytes that each id of a vocabulary stands for, side by side in one array, and decoding with them. No text is encoded here.
import { FerroError } from '../errors';
import type { AddedToken } from './addedTokens';
import { bytesOfToken } from './byteAlphabet';
import { type DecodeOptions, type StreamingDecoder, textDecoder } from './tokenizer';

/** Bytes by id: those of id lie at offsets[id] … offsets[id + 1] − 1. */
export interface ByteTable {
  readonly bytes: Uint8Array;
  readonly offsets: Uint32Array;
}

const utf8 = new TextEncoder();

/** What an id without a token stands for: one array for all, as a vocabulary with one large id has millions. */
export const NO_BYTES = new Uint8Array(0);

/** Puts lists of bytes side by side. */
export function byteTable(parts: readonly Uint8Array[]): ByteTable {
  const offsets = new Uint32Array(parts.length + 1);
  for (let i = 0; i < parts.length; i++) offsets[i + 1] = offsets[i] + parts[i].length;
  const bytes = new Uint8Array(offsets[parts.length]);
  for (let i = 0; i < parts.length; i++) if (parts[i].length > 0) bytes.set(parts[i], offsets[i]);
  return { bytes, offsets };
}

/**
 * What each token of a byte-level vocabulary decodes to; a token with characters that stand for no byte is its own text, as for Hugging Face's decoder.
 * Added tokens are exactly their own text, letters of the byte alphabet among it. Where such a text is a token of the vocabulary too, with one id for both
 * (`Ö`, say, which stands for the byte 0xD6), the table has the vocabulary's bytes; what it may mean as well is in `ownText`.
 */
export function decodedBytes(
  tokens: readonly (string | undefined)[],
  added: readonly AddedToken[],
): { parts: Uint8Array[]; ownText: Map<number, Uint8Array> } {
  const parts = Array.from(tokens, (token) => (token === undefined ? NO_BYTES : (bytesOfToken(token) ?? utf8.encode(token))));
  const ownText = new Map<number, Uint8Array>();
  for (const { id, content } of added) {
    while (parts.length <= id) parts.push(NO_BYTES);
    const text = utf8.encode(content);
    if (tokens[id] === undefined) parts[id] = text;
    else if (!isText(parts[id])) ownText.set(id, text);
  }
  return { parts, ownText };
}

/** Whether bytes are whole characters. */
function isText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

const continues = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x80 && byte < 0xc0;

/** How many bytes the character at the end of `bytes` (of which `end` are used) still lacks. */
function lacking(bytes: Uint8Array, end: number): number {
  for (let back = 1; back <= Math.min(3, end); back++) {
    const byte = bytes[end - back];
    if (continues(byte)) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    return Math.max(0, length - back);
  }
  return 0;
}

/** Decodes ids of one vocabulary. */
export class ByteDecoder {
  readonly #table: ByteTable;
  readonly #ownText: ReadonlyMap<number, Uint8Array>;
  readonly #special: ReadonlySet<number>;

  /**
   * @param ownText texts of added tokens whose ids also stand for parts of characters
   * @param special ids of special tokens
   */
  constructor(table: ByteTable, ownText: ReadonlyMap<number, Uint8Array>, special: ReadonlySet<number>) {
    this.#table = table;
    this.#ownText = ownText;
    this.#special = special;
  }

  get vocabSize(): number {
    return this.#table.offsets.length - 1;
  }

  /** Bytes of an id, 0 where no token has it. */
  byteLength(id: number): number {
    this.#check('byteLength', id, 0, true);
    return this.#table.offsets[id + 1] - this.#table.offsets[id];
  }

  /** Invalid UTF-8 becomes U+FFFD; a byte order mark is text like any other. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return textDecoder().decode(this.#bytesOf(this.#shown(ids, options), new Uint8Array(0)));
  }

  decoder(options: DecodeOptions = {}): StreamingDecoder {
    let decoder = textDecoder();
    let held: number[] = []; // an id whose meaning the next one decides
    let before = new Uint8Array(0); // the last bytes of what came before
    const push = (ids: ArrayLike<number>, last: boolean) => {
      const list = [...held, ...this.#shown(ids, options)];
      held = !last && list.length > 0 && this.#ownText.has(list[list.length - 1]) ? list.splice(-1) : [];
      const bytes = this.#bytesOf(list, before, held[0]);
      before = Uint8Array.from([...before, ...bytes.slice(-3)].slice(-3));
      return decoder.decode(bytes, { stream: !last });
    };
    return {
      push: (ids) => push(typeof ids === 'number' ? [ids] : ids, false),
      flush: () => {
        const rest = push([], true);
        decoder = textDecoder();
        before = new Uint8Array(0);
        return rest;
      },
    };
  }

  /** The ids to decode, checked. */
  #shown(ids: ArrayLike<number>, { skipSpecialTokens = false }: DecodeOptions): ArrayLike<number> & Iterable<number> {
    for (let i = 0; i < ids.length; i++) this.#check('decode', ids[i], i, false);
    const list = Int32Array.from(ids);
    return skipSpecialTokens ? list.filter((id) => !this.#special.has(id)) : list;
  }

  /** @param before the bytes that came before; `next` the id that comes after, where it is known */
  #bytesOf(ids: ArrayLike<number>, before: Uint8Array, next?: number): Uint8Array {
    const { bytes, offsets } = this.#table;
    let length = before.length;
    for (let i = 0; i < ids.length; i++) {
      length += Math.max(offsets[ids[i] + 1] - offsets[ids[i]], this.#ownText.get(ids[i])?.length ?? 0);
    }
    const out = new Uint8Array(length);
    out.set(before);
    let at = before.length;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i];
      const own = this.#ownText.get(id);
      if (own !== undefined && !this.#joins(id, out, at, i + 1 < ids.length ? ids[i + 1] : next)) {
        out.set(own, at);
        at += own.length;
        continue;
      }
      for (let from = offsets[id]; from < offsets[id + 1]; from++) out[at++] = bytes[from];
    }
    return out.subarray(before.length, at);
  }

  /** Whether an id's bytes are part of a character with those before or after it. */
  #joins(id: number, out: Uint8Array, at: number, next: number | undefined): boolean {
    const { bytes, offsets } = this.#table;
    if (lacking(out, at) > 0 && continues(bytes[offsets[id]])) return true;
    const open = lacking(bytes.subarray(offsets[id], offsets[id + 1]), offsets[id + 1] - offsets[id]) > 0;
    return open && next !== undefined && continues(bytes[offsets[next]]);
  }

  #check(op: string, id: number, position: number, holes: boolean): void {
    const { offsets } = this.#table;
    if (Number.isInteger(id) && id >= 0 && id < this.vocabSize && (holes || offsets[id + 1] > offsets[id])) return;
    const hole = Number.isInteger(id) && id >= 0 && id < this.vocabSize ? ' that a token has' : '';
    throw new FerroError(
      'TOKEN_OUT_OF_RANGE',
      `${op}: ids must be integers from 0 to ${this.vocabSize - 1}${hole}, got ${id} at position ${position}`,
    );
  }
}
