// The engine in a real Chromium page, with and without cross-origin isolation: threads or one, slices and aborts, deaths with their cause, starts that fail,
// and the calling thread. What it computes is in train.test.ts.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { counter, increment, longRun, trapOn } from '../../ts/engine/testing/programs';
import type { Program } from '../../ts/graph';
import { launchChromium } from '../support/chromium';
import { serve, type TestServer } from '../support/server';

const ROOT = new URL('../../', import.meta.url).pathname;

const plain = (program: Program) => ({ ...program, words: [...program.words] });
const PROGRAMS = { long: plain(longRun(5000)), increment: plain(increment(counter())), trap1: plain(trapOn(1)), trap0: plain(trapOn(0)) };

/** Runs in the page before each test's own lines: `start`, `caught`, and P, the programs, whose variables are all `variable`. */
const PRELUDE = `
  const { EngineHost, Variable } = await import('/dist/index.browser.js');
  const variable = new Variable({ name: 'counter', shape: [1] });
  const P = ${JSON.stringify(PROGRAMS)};
  for (const program of Object.values(P)) {
    program.words = Uint32Array.from(program.words);
    program.bindings = program.bindings.map((binding) => (binding.kind === 'variable' ? { kind: 'variable', variable } : binding));
  }
  const warnings = [];
  const start = (options) => EngineHost.start({ onWarning: ({ code }) => warnings.push(code), ...options });
  const caught = (work) => work.then(() => 'resolved', ({ code, message, cause }) => ({ code, message, cause: String(cause?.message ?? cause) }));
`;

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(() => browser?.close());

describe.each([
  { name: 'isolated', isolated: true, threads: 3 },
  { name: 'not isolated', isolated: false, threads: 1 },
])('an engine in a page that is $name', ({ isolated, threads }) => {
  let server: TestServer;
  let page: Page;

  beforeAll(async () => {
    server = await serve(ROOT, { isolated });
    page = await browser.newPage();
    await page.goto(`${server.url}/test/browser/page.html`);
  });

  afterAll(async () => {
    await page?.close();
    await server?.close();
  });

  // biome-ignore lint/suspicious/noExplicitAny: whatever the page returns
  const inPage = (lines: string): Promise<any> => page.evaluate(`(async () => {${PRELUDE}${lines}})()`);

  it('has the threads that the page allows and says why when they are fewer', async () => {
    const { info, seen, bytes } = await inPage(`
      const host = await start({ threads: 3 });
      const result = { info: host.info, seen: warnings, bytes: await host.bytes() };
      await host.close();
      return result;`);
    expect(info).toMatchObject({ threads, isolated, worker: true });
    expect(bytes.workers).toBe(threads);
    expect(seen).toEqual(isolated ? [] : ['SINGLE_THREAD']);
    expect(info.reasons).toEqual(isolated ? [] : [expect.stringContaining('not cross-origin isolated')]);
  });

  it('runs, streams, and hears an abort between slices', async () => {
    const result = await inPage(`
      const host = await start({ threads: 3 });
      await host.allocate([variable], { seed: 1 });
      const handle = await host.load(P.increment);
      const outputs = (await host.run([{ handle }, { handle }])).map(({ out }) => out[0]);
      const streamed = [];
      await host.runSequence(handle, [{}, {}, {}, {}, {}], { emit: 'out', stopValues: [5], onValue: (value) => streamed.push(value[0]) });
      const long = await host.load(P.long);
      const began = performance.now();
      const controller = new AbortController();
      setTimeout(() => controller.abort('enough'), 100);
      const error = await caught(host.run({ handle: long }, { signal: controller.signal }));
      const ms = performance.now() - began;
      const after = (await host.run({ handle }))[0].out[0];
      await host.close();
      return { outputs, streamed, error, ms, after };`);
    expect(result).toMatchObject({ outputs: [1, 2], streamed: [3, 4, 5], error: { code: 'ABORTED', cause: 'enough' }, after: 6 });
    expect(result.ms).toBeLessThan(1000);
  });

  it.each(isolated ? [0, 1] : [0])('a trap on thread %i rejects every call with its cause; a new engine works', async (tid) => {
    const { errors, ms, again } = await inPage(`
      const host = await start({ threads: 3 });
      await host.allocate([variable], { seed: 1 });
      const trap = await host.load(P.trap${tid});
      const began = performance.now();
      const errors = await Promise.all([host.run({ handle: trap }), host.read(variable), host.bytes()].map(caught));
      const ms = performance.now() - began;
      const next = await start({ threads: 2 });
      await next.allocate([variable], { seed: 1 });
      const again = (await next.run({ handle: await next.load(P.increment) }))[0].out[0];
      await next.close();
      return { errors, ms, again };`);
    expect(errors).toHaveLength(3);
    for (const error of errors) expect(error).toMatchObject({ code: 'ENGINE_DIED', cause: expect.stringContaining('unreachable') });
    expect(ms).toBeLessThan(1000);
    expect(again).toBe(1);
  });

  it('a script or kernels that do not load: a typed error, no hang', async () => {
    const errors = await inPage(`
      return Promise.all([
        caught(start({ threads: 1, workerUrl: '/not-there.js' })),
        caught(start({ threads: 1, wasmUrl: '/not-there.wasm' })),
        caught(start({ threads: 1, wasmUrl: '/package.json' })),
      ]);`);
    for (const error of errors) expect(error).toMatchObject({ code: 'ENGINE_START_FAILED' });
    expect(errors[0].message).toContain('its script did not load');
    expect(errors[1].message).toContain('HTTP status 404');
  });

  it('runs on the page itself with worker: false, still hearing an abort', async () => {
    const result = await inPage(`
      const host = await start({ worker: false });
      await host.allocate([variable], { seed: 1 });
      const handle = await host.load(P.increment);
      const outputs = (await host.run([{ handle }, { handle }])).map(({ out }) => out[0]);
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 100);
      const error = await caught(host.run({ handle: await host.load(P.long) }, { signal: controller.signal }));
      const { info } = host;
      await host.close();
      return { outputs, error, threads: info.threads, worker: info.worker };`);
    expect(result).toMatchObject({ outputs: [1, 2], error: { code: 'ABORTED' }, threads: 1, worker: false });
  });

  it('20 engines one after the other start and close', async () => {
    const counts = await inPage(`
      const counts = [];
      for (let i = 0; i < 20; i++) {
        const host = await start({ threads: 2 });
        counts.push((await host.bytes()).workers);
        await host.close();
      }
      return counts;`);
    expect(counts).toEqual(Array.from({ length: 20 }, () => Math.min(2, threads)));
  }, 60_000);
});
