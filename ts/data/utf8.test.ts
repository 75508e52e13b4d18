import { describe, expect, test } from 'vitest';
import { firstInvalidByte, Utf8Decoder } from './utf8';

/** Decodes in pieces of `size` bytes. */
function decode(bytes: Uint8Array, size: number): string {
  const decoder = new Utf8Decoder('book.txt');
  let text = '';
  for (let at = 0; at < bytes.length; at += size) text += decoder.push(bytes.subarray(at, at + size));
  decoder.finish();
  return text;
}

describe('Utf8Decoder', () => {
  test('text cut anywhere comes back whole: byte order mark, CRLF, NUL, four-byte characters', () => {
    const text = '\uFEFFa\r\n\0é€👋\u{10ffff}\ud7ff\ue000\uffff\uFEFFz';
    const bytes = new TextEncoder().encode(text);
    for (let size = 1; size <= bytes.length; size++) expect(decode(bytes, size), `pieces of ${size}`).toBe(text);
  });

  // Offsets: where the character begins that is not one, as in Python.
  const invalid: [name: string, bytes: number[], offset: number][] = [
    ['a continuation byte alone', [0x41, 0x80, 0x41], 1],
    ['Latin-1 é', [0x63, 0x61, 0x66, 0xe9, 0x20], 3],
    ['FF', [0x41, 0xff], 1],
    ['C0 80 (overlong NUL)', [0xc0, 0x80], 0],
    ['E0 80 80 (overlong)', [0xe0, 0x80, 0x80], 0],
    ['ED A0 80 (a surrogate)', [0x41, 0xed, 0xa0, 0x80], 1],
    ['F4 90 80 80 (beyond U+10FFFF)', [0xf4, 0x90, 0x80, 0x80], 0],
    ['F5', [0xf5, 0x80, 0x80, 0x80], 0],
    ['UTF-16', [0xff, 0xfe, 0x41, 0x00], 0],
    ['cut after the first byte of two', [0x41, 0xc3], 1],
    ['cut after the third byte of four', [0x41, 0x42, 0xf0, 0x9f, 0x91], 2],
  ];
  test.each(invalid)('%s is an error that names file and offset', (_, bytes, offset) => {
    for (let size = 1; size <= bytes.length; size++) {
      const hex = bytes[offset].toString(16).padStart(2, '0');
      expect(() => decode(Uint8Array.from(bytes), size), `pieces of ${size}`).toThrowError(
        expect.objectContaining({
          code: 'NOT_UTF8',
          message: `book.txt: text must be UTF-8, got the byte 0x${hex} at offset ${offset}`,
        }),
      );
    }
  });

  test('firstInvalidByte agrees with TextDecoder on every sequence of up to three interesting bytes', () => {
    const interesting = [
      0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff,
    ];
    const valid = (bytes: Uint8Array): boolean => {
      try {
        new TextDecoder('utf-8', { fatal: true }).decode(bytes);
        return true;
      } catch {
        return false;
      }
    };
    const wrong: string[] = [];
    for (const a of interesting) {
      for (const b of interesting) {
        for (const c of interesting) {
          for (const d of [0x41, 0x80, 0xbf]) {
            const bytes = Uint8Array.of(a, b, c, d);
            const at = firstInvalidByte(bytes, true);
            if ((at === -1) !== valid(bytes)) wrong.push(`${bytes}: ${at}`);
            if (at > 0 && !valid(bytes.subarray(0, at))) wrong.push(`${bytes}: before ${at}`);
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});
