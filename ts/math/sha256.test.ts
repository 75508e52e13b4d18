import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createSha256, PlainSha256, sha256Hex } from './sha256';

const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 131 + (i >> 8) * 7 + 3) & 255);

describe('sha256', () => {
  test('published vectors (FIPS 180-4 examples)', () => {
    expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(new PlainSha256().digestHex()).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  test('the TypeScript implementation equals Node for every length around a block', () => {
    for (let n = 0; n <= 200; n++) {
      const data = bytes(n);
      expect(new PlainSha256().update(data).digestHex(), `length ${n}`).toBe(createHash('sha256').update(data).digest('hex'));
    }
  });

  test('pieces of any size give the digest of the whole', () => {
    const data = bytes(10_007);
    const whole = createHash('sha256').update(data).digest('hex');
    for (const piece of [1, 3, 63, 64, 65, 127, 1000]) {
      for (const hasher of [new PlainSha256(), createSha256()]) {
        for (let at = 0; at < data.length; at += piece) hasher.update(data.subarray(at, at + piece));
        expect(hasher.digestHex(), `pieces of ${piece}`).toBe(whole);
      }
    }
  });
});
