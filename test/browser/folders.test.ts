// Model folders in a real Chromium page, under a strict content security policy: from a URL, from File objects and from a directory handle (the origin's
// private file system, written from `toFiles`).
import { readdir, stat } from 'node:fs/promises';
import * as ferroformer from 'ferroformer';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium';
import type { LoadingJob, LoadingOutcome } from '../support/loadingJob';
import { serve } from '../support/server';
import { hashParameters } from '../support/trainingJob';

const ROOT = new URL('../../', import.meta.url).pathname;
const NAME = 'test/golden/gpt2/bf16-untied-sharded';

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser?.close());

it('a page loads and saves folders as Node does', async () => {
  const engine = await ferroformer.Engine.start({ threads: 1, simd: 'portable' });
  const inNode = await hashParameters(await ferroformer.GPT.fromPretrained(engine, `${ROOT}${NAME}`));
  await engine.close();
  const server = await serve(ROOT, { isolated: true });
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  try {
    await page.goto(`${server.url}/test/browser/page.html`);
    await page.waitForSelector('html[data-ready]', { state: 'attached' });
    const files = await readdir(`${ROOT}${NAME}`);
    const job: LoadingJob = { url: `${server.url}/${NAME}`, files, nothing: `${server.url}/test/browser/page.html?` };
    const outcome: LoadingOutcome = await page.evaluate(`load(${JSON.stringify(job)})`);
    expect(outcome.hashes).toEqual({ url: inNode, files: inNode, handle: inNode });
    const sizes = await Promise.all(files.map(async (file) => (await stat(`${ROOT}${NAME}/${file}`)).size));
    const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
    expect(outcome.progress).toEqual({ loadedBytes: totalBytes, totalBytes });
    expect(outcome.errors).toEqual(['FILE_NOT_FOUND', 'FILE_NOT_FOUND', 'UNSUPPORTED_RUNTIME']);
    expect(outcome.liveBytes[1]).toBe(outcome.liveBytes[0]);
    expect(problems).toEqual([]);
  } finally {
    await page.close();
    await server.close();
  }
});
