// Tokens in compact chunks: 1, 2 or 4 bytes each by the size of the vocabulary, so that 1 GB of text does not become 8 GB. Chunks keep growth free of
// copies and every allocation small. It stores ids; it does not know what they mean.
import { FerroError } from '../errors';
import { createSha256 } from '../math/sha256';

/** Tokens in a full chunk: a power of two, 1–4 MB. */
const CHUNK = 1 << 20;
/** The first chunk starts at this many tokens and doubles, so that a small text takes little. */
const FIRST = 1 << 12;

type Ids = Uint8Array | Uint16Array | Int32Array;

function allocate(vocabSize: number, length: number): Ids {
  if (vocabSize <= 0x100) return new Uint8Array(length);
  return vocabSize <= 0x10000 ? new Uint16Array(length) : new Int32Array(length);
}

/** A growing sequence of tokens below `vocabSize`. */
export class TokenArray {
  readonly vocabSize: number;
  #chunks: Ids[] = [];
  #length = 0;

  /** @param vocabSize 1 to 2^31 */
  constructor(vocabSize: number) {
    if (!Number.isInteger(vocabSize) || vocabSize < 1 || vocabSize > 2 ** 31) {
      throw new FerroError('INVALID_OPTION', `TokenArray: vocabSize must be an integer from 1 to 2^31, got ${vocabSize}`);
    }
    this.vocabSize = vocabSize;
  }

  /** Number of tokens. */
  get length(): number {
    return this.#length;
  }

  /** Bytes held. */
  get sizeBytes(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  /** Appends ids. @throws TOKEN_OUT_OF_RANGE naming the first id outside the vocabulary and its position. */
  push(ids: ArrayLike<number>): void {
    for (let read = 0; read < ids.length; ) {
      const chunk = this.#room();
      const at = this.#length % CHUNK;
      const count = Math.min(chunk.length - at, ids.length - read);
      for (let i = 0; i < count; i++) {
        const id = ids[read + i];
        if (!(id >= 0 && id < this.vocabSize && Number.isInteger(id))) this.#refuse(id, this.#length + i);
        chunk[at + i] = id;
      }
      this.#length += count;
      read += count;
    }
  }

  /** Gives back the unused end of the last chunk. */
  trim(): this {
    const used = this.#length % CHUNK;
    const last = this.#chunks.length - 1;
    if (last >= 0 && used > 0 && this.#chunks[last].length > used) this.#chunks[last] = this.#chunks[last].slice(0, used);
    return this;
  }

  /** The token at `index`, 0 ≤ index < length. */
  at(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= this.#length) {
      throw new FerroError('INVALID_OPTION', `TokenArray: index must be an integer from 0 to ${this.#length - 1}, got ${index}`);
    }
    return this.#chunks[Math.floor(index / CHUNK)][index % CHUNK];
  }

  /** Copies tokens start … start + count − 1 to `out` from `at` on. */
  copyTokens(start: number, count: number, out: Int32Array, at: number): void {
    if (start < 0 || count < 0 || start + count > this.#length) {
      throw new FerroError(
        'INVALID_OPTION',
        `TokenArray: the range must lie within ${this.#length} tokens, got ${start} to ${start + count}`,
      );
    }
    for (const piece of this.#pieces(start, count)) {
      out.set(piece, at);
      at += piece.length;
    }
  }

  /** SHA-256 of tokens start … start + count − 1, each as 1, 2 or 4 little-endian bytes (as they are stored). Lets the event loop turn. */
  async hash(start: number, count: number): Promise<string> {
    const hasher = createSha256();
    let sinceTurn = 0;
    for (const piece of this.#pieces(start, count)) {
      hasher.update(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
      sinceTurn += piece.byteLength;
      if (sinceTurn < 1 << 24) continue;
      sinceTurn = 0;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return hasher.digestHex();
  }

  *#pieces(start: number, count: number): Generator<Ids> {
    for (let done = 0; done < count; ) {
      const chunk = this.#chunks[Math.floor((start + done) / CHUNK)];
      const from = (start + done) % CHUNK;
      const take = Math.min(CHUNK - from, count - done);
      yield chunk.subarray(from, from + take);
      done += take;
    }
  }

  /** The chunk that the next token goes to, with room for at least one. */
  #room(): Ids {
    const used = this.#length % CHUNK;
    if (this.#length === this.#chunks.length * CHUNK) {
      this.#chunks.push(allocate(this.vocabSize, this.#length === 0 ? FIRST : CHUNK));
    }
    const last = this.#chunks[this.#chunks.length - 1];
    if (used < last.length) return last;
    const grown = allocate(this.vocabSize, Math.min(CHUNK, Math.max(FIRST, 2 * last.length)));
    grown.set(last);
    this.#chunks[this.#chunks.length - 1] = grown;
    return grown;
  }

  #refuse(id: number, position: number): never {
    throw new FerroError(
      'TOKEN_OUT_OF_RANGE',
      `tokens: ids must be integers from 0 to ${this.vocabSize - 1}, got ${id} at token ${position}`,
    );
  }
}
