// What `--columns` means: names in order, with blanks or commas between them, or other names of fields.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadRows } from './rows';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ferro-rows-'));
  await writeFile(join(folder, 'plain.tsv'), 'good\t1\tx\nbad\t0\ty\n');
  await writeFile(join(folder, 'named.tsv'), 'words, spoken\tmark\ngood\t1\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const load = async (file: string, columns: string[]) =>
  (await loadRows([join(folder, file)], { columns }, ['text'])).map(({ fields }) => ({ ...fields }));

test.each([[['text', 'label', '-']], [['text,label,-']], [['text, label, -']]])('names in order: %j', async (columns) => {
  expect(await load('plain.tsv', columns)).toEqual([
    { text: 'good', label: '1' },
    { text: 'bad', label: '0' },
  ]);
});

test('other names of fields, one of them with a comma', async () => {
  expect(await load('named.tsv', ['text=words, spoken', 'label=mark'])).toMatchObject([{ text: 'good', label: '1' }]);
  expect(await load('named.tsv', ['text=words, spoken'])).toMatchObject([{ text: 'good' }]);
  await expect(load('named.tsv', ['text=mark', 'label'])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});
