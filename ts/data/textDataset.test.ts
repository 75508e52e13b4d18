import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { BpeTokenizer, ByteTokenizer, CharTokenizer } from '../tokenizers';
import { TextDataset } from './textDataset';
import { type ReadProgress, readText } from './textFiles';

const folder = mkdtempSync(join(tmpdir(), 'ferro-data-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const failure = async (run: Promise<unknown>) => {
  try {
    await run;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return `${code}: ${message.replaceAll(folder, 'DIR')}`;
  }
  return 'no error';
};

describe('TextDataset', () => {
  test('from a text: the ids of the text, also beyond one encoding piece and across a surrogate pair at its edge', () => {
    const tokenizer = CharTokenizer.fromText('ab👋');
    const text = `${'a'.repeat((1 << 20) - 1)}👋${'b'.repeat(3)}`;
    const dataset = TextDataset.fromText(text, tokenizer);
    expect(dataset.length).toBe((1 << 20) + 3);
    expect(Array.from(dataset.toIds(dataset.length - 5))).toEqual([0, 2, 1, 1, 1]);
    expect(dataset.vocabSize).toBe(3);
  });

  test('from files: everything is kept exactly, in order, with nothing in between', async () => {
    const parts = ['\uFEFFone\r\n', '\0two\n', '👋'];
    const paths = parts.map((part, i) => file(`part${i}.txt`, part));
    const tokenizer = new ByteTokenizer();
    const dataset = await TextDataset.fromFiles(paths, tokenizer);
    expect(tokenizer.decode(dataset.toIds())).toBe(parts.join(''));
    const blobs = await TextDataset.fromFiles(
      parts.map((part) => new Blob([part])),
      tokenizer,
    );
    expect(await blobs.hash()).toBe(await dataset.hash());
    expect(await TextDataset.fromText(parts.join(''), tokenizer).hash()).toBe(await dataset.hash());
    expect((await TextDataset.fromFiles(paths[0], tokenizer)).length).toBe(8);
  });

  test('a file of several read pieces with characters across their edges', async () => {
    const text = `${'x'.repeat((1 << 20) - 1)}👋${'é'.repeat(1 << 19)}z`;
    const path = file('long.txt', text);
    const tokenizer = await CharTokenizer.fromStream(readText(path));
    expect(tokenizer.characters).toEqual(['x', 'z', 'é', '👋']);
    const dataset = await TextDataset.fromFiles([path], tokenizer);
    expect(dataset.length).toBe([...text].length);
    expect(await dataset.hash()).toBe(await TextDataset.fromText(text, tokenizer).hash());
  });

  test('what is wrong with a file is said with its name', async () => {
    const tokenizer = CharTokenizer.fromText('abc');
    const read = (sources: string | string[]) => failure(TextDataset.fromFiles(sources, tokenizer));
    expect(await read(join(folder, 'none.txt'))).toBe('FILE_NOT_FOUND: DIR/none.txt: the file must exist, got ENOENT');
    expect(await read(folder)).toBe('FILE_ERROR: DIR: must be a file, got a folder');
    expect(await read([])).toBe('EMPTY_DATA: files: at least one file must be given, got none');
    expect(await read([file('a.txt', 'abc'), file('empty.txt', '')])).toBe(
      'EMPTY_DATA: DIR/empty.txt: the file must have text in it, got 0 bytes',
    );
    expect(await read(file('latin.txt', Uint8Array.of(0x61, 0xe9, 0x62)))).toMatch(/^NOT_UTF8: DIR\/latin.txt: .* 0xe9 at offset 1$/);
    expect(await read([file('ok.txt', 'ab'), file('cut.txt', Uint8Array.of(0x61, 0xc3))])).toMatch(
      /^NOT_UTF8: DIR\/cut.txt: .* at offset 1$/,
    );
    expect(await read([file('b.txt', 'ab'), file('c.txt', 'cd')])).toMatch(/^UNKNOWN_CHARACTER: .*"d" \(U\+0064\) at character 3$/);
    expect(await read([''])).toMatch(/^INVALID_OPTION/);
    expect(await failure(TextDataset.fromFiles([5 as unknown as string], tokenizer))).toMatch(/^INVALID_OPTION/);
  });

  test('progress and abort', async () => {
    const paths = [file('p1.txt', 'a'.repeat(3 << 20)), file('p2.txt', 'b')];
    const seen: ReadProgress[] = [];
    const tokenizer = new ByteTokenizer();
    await TextDataset.fromFiles(paths, tokenizer, { onProgress: (progress) => seen.push(progress) });
    expect(seen.map(({ fileIndex, fileCount, bytes }) => [fileIndex, fileCount, bytes])).toEqual([
      [0, 2, 1 << 20],
      [0, 2, 2 << 20],
      [0, 2, 3 << 20],
      [1, 2, (3 << 20) + 1],
    ]);
    const controller = new AbortController();
    const reading = TextDataset.fromFiles(paths, tokenizer, { signal: controller.signal, onProgress: () => controller.abort() });
    expect(await failure(reading)).toMatch(/^ABORTED/);
    expect(await failure(TextDataset.fromFiles(paths, tokenizer, { signal: AbortSignal.abort() }))).toMatch(/^ABORTED/);
  });

  test('a reader that stops early closes its file and its Blob', async () => {
    const path = file('stop.txt', 'a'.repeat(3 << 20));
    for (const source of [path, new Blob(['a'.repeat(3 << 20)])]) {
      for await (const piece of readText(source)) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
    }
  });

  test('from ids', () => {
    const dataset = TextDataset.fromTokens([3, 0, 2], { vocabSize: 4 });
    expect(Array.from(dataset.toIds())).toEqual([3, 0, 2]);
    expect(dataset.tokenizer).toBeNull();
    expect(() => dataset.countBytes()).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => TextDataset.fromTokens([0, 4], { vocabSize: 4 })).toThrowError(expect.objectContaining({ code: 'TOKEN_OUT_OF_RANGE' }));
    expect(() => TextDataset.fromTokens([], { vocabSize: 4 })).toThrowError(expect.objectContaining({ code: 'EMPTY_DATA' }));
    expect(() => TextDataset.fromText('', new ByteTokenizer())).toThrowError(expect.objectContaining({ code: 'EMPTY_DATA' }));
  });

  test('the last tenth is the validation part', async () => {
    const ids = Array.from({ length: 105 }, (_, i) => i);
    const dataset = TextDataset.fromTokens(ids, { vocabSize: 128 });
    const { train, validation } = dataset.split();
    expect([train.length, validation.length]).toEqual([94, 11]);
    expect(Array.from(train.toIds())).toEqual(ids.slice(0, 94));
    expect(Array.from(validation.toIds())).toEqual(ids.slice(94));
    expect(await validation.hash()).toBe(await TextDataset.fromTokens(ids.slice(94), { vocabSize: 128 }).hash());
    const none = dataset.split({ evalFraction: 0 });
    expect([none.train.length, none.validation.length]).toEqual([105, 0]);
    expect(dataset.split({ evalFraction: 0.5 }).train.length).toBe(52);
    for (const evalFraction of [1, -0.1, Number.NaN, Number.POSITIVE_INFINITY, '0.1' as unknown as number]) {
      expect(() => dataset.split({ evalFraction })).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
  });

  test('a slice reads within itself only', () => {
    const slice = TextDataset.fromTokens([0, 1, 2, 3, 4], { vocabSize: 8 }).slice(1, 4);
    const out = new Int32Array(3);
    slice.copyTokens(0, 3, out, 0);
    expect(Array.from(out)).toEqual([1, 2, 3]);
    expect(() => slice.copyTokens(0, 4, out, 0)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => slice.slice(2, 1)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(Array.from(slice.slice(1, 3).toIds())).toEqual([2, 3]);
  });

  test('bytes that tokens stand for', () => {
    const text = 'aé€👋\n';
    for (const tokenizer of [CharTokenizer.fromText(text), new ByteTokenizer()]) {
      const dataset = TextDataset.fromText(text, tokenizer);
      expect(dataset.countBytes()).toBe(new TextEncoder().encode(text).length);
      expect(dataset.countBytes(1)).toBe(new TextEncoder().encode(text).length - 1);
    }
  });
});

test('a byte-level BPE encodes files in pieces as it encodes the whole, and its tokens count the bytes', async () => {
  const text = Array.from({ length: 30_000 }, (_, i) => `${i} the whale’s été 你好 ${'x'.repeat(i % 40)}\n`).join('');
  const tokenizer = await BpeTokenizer.train(text.slice(0, 50_000), { vocabSize: 400 });
  const bytes = new TextEncoder().encode(text);
  const whole = tokenizer.encode(text);
  // A character may not be cut between two files, a word may.
  const cut = [text.slice(0, 400_000), text.slice(400_000)].map((part) => new Blob([part]));
  for (const dataset of [TextDataset.fromText(text, tokenizer), await TextDataset.fromFiles(cut, tokenizer)]) {
    expect(dataset.length).toBe(whole.length);
    expect(dataset.toIds()).toEqual(whole);
    expect(dataset.countBytes()).toBe(bytes.length);
  }
});
