// Strict UTF-8 decoding piece by piece: every character is kept as it is (byte order mark, CRLF, NUL included), and the first invalid byte is an error
// that names the file and the offset. Not a guesser of encodings.
import { FerroError } from '../errors';

/**
 * Offset of the first byte that does not begin a well-formed character (Unicode 15, table 3-7); −1 if there is none. With `complete` false, a character
 * that is only cut off by the end is allowed. The same offset as Python's decoder names.
 */
export function firstInvalidByte(bytes: Uint8Array, complete: boolean): number {
  for (let i = 0; i < bytes.length; ) {
    const length = sequenceLength(bytes[i]);
    if (length === 0) return i;
    for (let k = 1; k < length; k++) {
      if (i + k >= bytes.length) return complete ? i : -1;
      const [least, greatest] = k === 1 ? secondByteRange(bytes[i]) : [0x80, 0xbf];
      if (bytes[i + k] < least || bytes[i + k] > greatest) return i;
    }
    i += length;
  }
  return -1;
}

/** Bytes of the character that starts with this byte; 0 if none does. */
function sequenceLength(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

/** The range of the second byte: it keeps out overlong forms, surrogates and what is beyond U+10FFFF. */
function secondByteRange(lead: number): [least: number, greatest: number] {
  if (lead === 0xe0) return [0xa0, 0xbf];
  if (lead === 0xed) return [0x80, 0x9f];
  if (lead === 0xf0) return [0x90, 0xbf];
  if (lead === 0xf4) return [0x80, 0x8f];
  return [0x80, 0xbf];
}

/** Length of `bytes` without a character that has begun at its end and is still well-formed but incomplete. */
function completeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue; // a continuation byte: look further back for the lead
    return sequenceLength(byte) > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Decodes one file's bytes given in pieces. */
export class Utf8Decoder {
  readonly #name: string;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #held = new Uint8Array(0);
  #offset = 0;

  /** @param name the file, for messages */
  constructor(name: string) {
    this.#name = name;
  }

  /** Bytes decoded so far. */
  get byteOffset(): number {
    return this.#offset;
  }

  /** The whole characters of this piece. @throws NOT_UTF8 naming the file and the byte's offset in it. */
  push(piece: Uint8Array): string {
    let bytes = piece;
    if (this.#held.length > 0) {
      bytes = new Uint8Array(this.#held.length + piece.length);
      bytes.set(this.#held);
      bytes.set(piece, this.#held.length);
    }
    const end = completeLength(bytes);
    let text: string;
    try {
      text = this.#decoder.decode(bytes.subarray(0, end));
    } catch (cause) {
      throw this.#error(bytes, firstInvalidByte(bytes, true), cause);
    }
    this.#held = bytes.slice(end);
    this.#offset += end;
    return text;
  }

  /** Ends the file. @throws NOT_UTF8 if it ends inside a character. */
  finish(): void {
    if (this.#held.length > 0) throw this.#error(this.#held, 0, undefined);
  }

  #error(bytes: Uint8Array, at: number, cause: unknown): FerroError {
    const hex = bytes[at]?.toString(16).padStart(2, '0');
    return new FerroError('NOT_UTF8', `${this.#name}: text must be UTF-8, got the byte 0x${hex} at offset ${this.#offset + at}`, { cause });
  }
}
