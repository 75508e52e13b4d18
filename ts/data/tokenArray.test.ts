import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { TokenArray } from './tokenArray';

const CHUNK = 1 << 20;

describe('TokenArray', () => {
  test('1, 2 or 4 bytes per token by the size of the vocabulary', () => {
    for (const [vocabSize, bytes] of [
      [1, 1],
      [256, 1],
      [257, 2],
      [65536, 2],
      [65537, 4],
    ]) {
      const tokens = new TokenArray(vocabSize);
      tokens.push(new Int32Array(100_000).fill(vocabSize - 1));
      expect(tokens.trim().sizeBytes, `vocabulary of ${vocabSize}`).toBe(100_000 * bytes);
      expect(tokens.at(99_999)).toBe(vocabSize - 1);
    }
  });

  test('lengths around a chunk, pushed in uneven pieces, read back', () => {
    for (const length of [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5]) {
      const all = Int32Array.from({ length }, (_, i) => (i * 7919) % 251);
      const tokens = new TokenArray(251);
      for (let at = 0, step = 1; at < length; at += step, step = Math.min(step * 3, 700_001)) tokens.push(all.subarray(at, at + step));
      tokens.trim();
      expect(tokens.length).toBe(length);
      const out = new Int32Array(length);
      tokens.copyTokens(0, length, out, 0);
      expect(Buffer.compare(Buffer.from(out.buffer), Buffer.from(all.buffer)), `length ${length}`).toBe(0);
      for (const index of [0, length - 1, CHUNK - 1, CHUNK].filter((i) => i >= 0 && i < length)) expect(tokens.at(index)).toBe(all[index]);
    }
  });

  test('ranges across chunks; ranges outside are typed errors', () => {
    const tokens = new TokenArray(65_000);
    const all = Int32Array.from({ length: 2 * CHUNK + 10 }, (_, i) => i % 65_000);
    tokens.push(all);
    const out = new Int32Array(22).fill(-1);
    tokens.copyTokens(CHUNK - 10, 20, out, 1);
    expect(Array.from(out)).toEqual([-1, ...all.subarray(CHUNK - 10, CHUNK + 10), -1]);
    for (const [start, count] of [
      [-1, 2],
      [0, 2 * CHUNK + 11],
      [2 * CHUNK + 10, 1],
      [5, -1],
    ]) {
      expect(() => tokens.copyTokens(start, count, out, 0)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
  });

  test('an id outside the vocabulary is named with its position, and pushing goes on', () => {
    for (const bad of [5, -1, 1.5, Number.NaN, 2 ** 32]) {
      const tokens = new TokenArray(5);
      tokens.push([0, 1, 2]);
      expect(() => tokens.push([3, bad])).toThrowError(
        expect.objectContaining({
          code: 'TOKEN_OUT_OF_RANGE',
          message: `tokens: ids must be integers from 0 to 4, got ${bad} at token 4`,
        }),
      );
      tokens.push([4]);
      expect(tokens.at(tokens.length - 1)).toBe(4);
    }
    const atBoundary = new TokenArray(5);
    atBoundary.push(new Int32Array(CHUNK));
    expect(() => atBoundary.push([9])).toThrowError(expect.objectContaining({ code: 'TOKEN_OUT_OF_RANGE' }));
    atBoundary.push([3, 4]);
    expect([atBoundary.length, atBoundary.at(CHUNK), atBoundary.at(CHUNK + 1)]).toEqual([CHUNK + 2, 3, 4]);
  });

  test('the hash is SHA-256 of the stored bytes, whatever the pieces', async () => {
    const all = Int32Array.from({ length: CHUNK + 100 }, (_, i) => (i * 31) % 1000);
    const expected = createHash('sha256')
      .update(new Uint8Array(Uint16Array.from(all).buffer))
      .digest('hex');
    const once = new TokenArray(1000);
    once.push(all);
    const pieces = new TokenArray(1000);
    for (let at = 0; at < all.length; at += 77_777) pieces.push(all.subarray(at, at + 77_777));
    expect(await once.hash(0, once.length)).toBe(expected);
    expect(await pieces.hash(0, pieces.length)).toBe(expected);
    expect(await pieces.hash(0, 10)).toBe(
      createHash('sha256')
        .update(new Uint8Array(Uint16Array.from(all.subarray(0, 10)).buffer))
        .digest('hex'),
    );
  });

  test('the vocabulary must be a size', () => {
    for (const size of [0, -1, 1.5, Number.NaN, 2 ** 32]) {
      expect(() => new TokenArray(size)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
  });
});
