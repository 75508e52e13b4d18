// A training run in a real Chromium page, with and without cross-origin isolation, under a strict content security policy. With portable kernels its
// losses, parameters and text are those of Node, bit for bit.
import * as ferroformer from 'ferroformer';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium';
import { serve, type TestServer } from '../support/server';
import { type TrainingJob, type TrainingOutcome, train } from '../support/trainingJob';

const ROOT = new URL('../../', import.meta.url).pathname;
const JOB: TrainingJob = { steps: 50, simd: 'portable' };

let browser: Browser;
let inNode: TrainingOutcome;

beforeAll(async () => {
  browser = await launchChromium();
  inNode = await train(ferroformer, { ...JOB, threads: 1 });
});

afterAll(() => browser?.close());

describe.each([
  { name: 'isolated', isolated: true, threads: 2 },
  { name: 'not isolated', isolated: false, threads: 1 },
])('a page that is $name', ({ isolated, threads }) => {
  let server: TestServer;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    server = await serve(ROOT, { isolated });
    page = await browser.newPage();
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    await page.goto(`${server.url}/test/browser/page.html`);
    await page.waitForSelector('html[data-ready]', { state: 'attached' }); // waitForFunction needs eval, which the policy forbids
  });

  afterAll(async () => {
    await page?.close();
    await server?.close();
  });

  const run = (job: TrainingJob): Promise<TrainingOutcome> => page.evaluate(`run(${JSON.stringify(job)})`);

  it('trains and writes as Node does, bit for bit', async () => {
    const outcome = await run({ ...JOB, threads: 2 });
    expect(outcome).toMatchObject({ threads, isolated, build: 'simd128' });
    expect(outcome.losses).toEqual(inNode.losses);
    expect(outcome.evalLoss).toBe(inNode.evalLoss);
    expect(outcome.hash).toBe(inNode.hash);
    expect(outcome.text).toBe(inNode.text);
    expect(outcome.generated).toBe(inNode.generated);
    expect(outcome.warnings).toEqual(isolated ? [] : ['SINGLE_THREAD']);
  });

  it('learns with the kernels that are chosen automatically', async () => {
    const { losses } = await run({ steps: 20, threads: 2 });
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses[19]).toBeLessThan(losses[0] - 0.5);
  });

  it('reports no error on the page', () => {
    expect(problems).toEqual([]);
  });
});
