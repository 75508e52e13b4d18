import { describe, expect, test } from 'vitest';
import { byteAlphabet } from './byteAlphabet';
import { ByteTokenizer } from './byteTokenizer';

describe('ByteTokenizer', () => {
  const tokenizer = new ByteTokenizer();

  test('ids are the bytes of the UTF-8 form', () => {
    expect(Array.from(tokenizer.encode('Aé👋\0'))).toEqual([0x41, 0xc3, 0xa9, 0xf0, 0x9f, 0x91, 0x8b, 0]);
    expect(Array.from(tokenizer.encode('\ufeff'))).toEqual([0xef, 0xbb, 0xbf]);
    expect(Array.from(tokenizer.encode('\ud83d'))).toEqual([0xef, 0xbf, 0xbd]);
    expect(tokenizer.encode('')).toHaveLength(0);
  });

  test('round trip of every kind of text', () => {
    for (const text of ['', '\uFEFFa\r\n\0', 'hello 👋 world 🌍', '“█” __proto__', 'x'.repeat(100_000)]) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  test('the stream decoder never shows half a character and adds up to the whole', () => {
    const valid = tokenizer.encode('aé€👋\uFEFFz');
    const cases = [valid, valid.subarray(0, valid.length - 3), Int32Array.of(0xff, 0xc3, 0x41, 0xf0, 0x9f, 0x80, 0xe2, 0x82)];
    for (const ids of cases) {
      const whole = tokenizer.decode(ids);
      for (let size = 1; size <= ids.length; size++) {
        const decoder = tokenizer.decoder();
        let text = '';
        for (let at = 0; at < ids.length; at += size) {
          const piece = decoder.push(ids.subarray(at, at + size));
          expect(whole.startsWith(text + piece), `pieces of ${size} of [${ids}]`).toBe(true);
          text += piece;
        }
        expect(text + decoder.flush()).toBe(whole);
        expect(decoder.push(0x41), 'after flush it starts anew').toBe('A');
      }
    }
  });

  test('characters come out with their last byte, not before', () => {
    const decoder = tokenizer.decoder();
    expect(Array.from(tokenizer.encode('é👋'), (id) => decoder.push(id))).toEqual(['', 'é', '', '', '', '👋']);
  });

  test('the stream encoder holds half a surrogate pair', () => {
    const encoder = tokenizer.encoder();
    const ids = [...encoder.push('a\ud83d'), ...encoder.push('\udc4b'), ...encoder.push('\ud83d'), ...encoder.flush()];
    expect(ids).toEqual([...tokenizer.encode('a👋'), 0xef, 0xbf, 0xbd]);
  });

  test('ids beyond 255 are typed errors', () => {
    for (const id of [256, -1, 0.5, Number.NaN]) {
      expect(() => tokenizer.decode([id])).toThrowError(expect.objectContaining({ code: 'TOKEN_OUT_OF_RANGE' }));
      expect(() => tokenizer.decoder().push(id)).toThrowError(expect.objectContaining({ code: 'TOKEN_OUT_OF_RANGE' }));
    }
  });

  test('another order of the bytes maps there and back', () => {
    const reversed = new ByteTokenizer(Array.from({ length: 256 }, (_, id) => 255 - id));
    expect(Array.from(reversed.encode('A'))).toEqual([255 - 0x41]);
    expect(reversed.decode(reversed.encode('é👋'))).toBe('é👋');
    expect(reversed.hash).not.toBe(tokenizer.hash);
    expect(() => new ByteTokenizer([1, 2, 3])).toThrowError(expect.objectContaining({ code: 'INVALID_TOKENIZER' }));
    expect(() => new ByteTokenizer(new Uint8Array(256))).toThrowError(expect.objectContaining({ code: 'INVALID_TOKENIZER' }));
  });

  test("GPT-2's alphabet: 256 different characters, space is Ġ, line feed Ċ", () => {
    const alphabet = byteAlphabet();
    expect(new Set(alphabet).size).toBe(256);
    expect([alphabet[0x20], alphabet[0x0a], alphabet[0x41], alphabet[0xad], alphabet[0]]).toEqual(['Ġ', 'Ċ', 'A', 'Ń', 'Ā']);
  });
});
