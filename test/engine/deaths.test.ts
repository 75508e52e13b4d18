// Whatever ends a part of an engine ends all of it, and every pending call hears of it within a second, with the cause; the next engine works.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { PROTOCOL_VERSION } from '../../ts/engine/protocol';
import { closeAll, counter, type EngineHost, increment, livingWorkers, longRun, rejection, sleep, start, trapOn } from './support';

afterEach(closeAll);

/** Starts three calls that will never be answered, lets them run, does the deed, and gives the three errors. */
async function errorsAfter(host: EngineHost, deed: () => unknown): Promise<(Error & { code?: string })[]> {
  const variable = counter();
  await host.allocate([variable], { seed: 1 });
  const handle = await host.load(longRun(20_000));
  const calls = [host.run({ handle }), host.read(variable), host.bytes()].map(rejection);
  await sleep(150);
  const began = performance.now();
  await deed();
  const errors = await Promise.all(calls);
  expect(performance.now() - began).toBeLessThan(1000);
  return errors;
}

/** All died of what `cause` describes, later calls reject at once, no worker is left, and a new engine works with the same variable. */
async function expectDeath(host: EngineHost, errors: (Error & { code?: string })[], cause: RegExp): Promise<void> {
  expect(errors).toHaveLength(3);
  for (const error of errors) {
    expect(error).toMatchObject({ name: 'FerroError', code: 'ENGINE_DIED' });
    expect(String(error.cause)).toMatch(cause);
  }
  expect(host.closed).toBe(true);
  expect(await rejection(host.bytes())).toMatchObject({ code: 'ENGINE_DIED' });
  await host.close();
  await sleep(50);
  expect(livingWorkers()).toHaveLength(0);
  const next = await start({ threads: 3 });
  const variable = counter();
  await next.allocate([variable], { seed: 1 });
  const handle = await next.load(increment(variable));
  expect((await next.run({ handle }))[0].out).toEqual(Float32Array.of(1));
}

describe('an engine dies as a whole', () => {
  it.each([1, 2])('thread %i is terminated in the middle of a step', async (tid) => {
    const host = await start({ threads: 3 });
    const errors = await errorsAfter(host, () => livingWorkers()[tid].terminate());
    await expectDeath(host, errors, new RegExp(`thread ${tid} ended with exit code 1`));
  });

  it('the engine worker is terminated in the middle of a step', async () => {
    const host = await start({ threads: 3 });
    const errors = await errorsAfter(host, () => livingWorkers()[0].terminate());
    await expectDeath(host, errors, /engine worker ended with exit code 1/);
  });

  it('a thread is terminated while the engine is idle', async () => {
    const host = await start({ threads: 2 });
    await livingWorkers()[1].terminate();
    await sleep(100);
    expect(host.closed).toBe(true);
    expect((await rejection(host.bytes())).message).toMatch(/^bytes: the engine has ended, because thread 1 ended with exit code 1/);
  });

  it('a thread calls process.exit instead of joining the step', async () => {
    // A thread script that answers like ours and then exits where ours would work.
    const script = `
      import { parentPort } from 'node:worker_threads';
      parentPort.once('message', ({ port }) => {
        port.onmessage = ({ data }) => {
          if (data.kind === 'memory') port.postMessage({ kind: 'joined' });
          else setTimeout(() => process.exit(9), 500);
        };
      });
      parentPort.postMessage({ kind: 'ready', protocol: ${PROTOCOL_VERSION} });`;
    const host = await start({ threads: 2, threadWorkerUrl: `data:text/javascript,${encodeURIComponent(script)}` });
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(longRun(2000)); // nobody waits for a thread without a tile: a short run would be answered
    const began = performance.now();
    const errors = await Promise.all([host.run({ handle }), host.read(variable), host.bytes()].map(rejection));
    expect(performance.now() - began).toBeLessThan(1500);
    await expectDeath(host, errors, /thread 1 ended with exit code 9/);
  });

  it.each([0, 1, 2])('a kernel traps on thread %i', async (tid) => {
    const host = await start({ threads: 3 });
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(trapOn(tid));
    const began = performance.now();
    const errors = await Promise.all([host.run({ handle }), host.read(variable), host.bytes()].map(rejection));
    expect(performance.now() - began).toBeLessThan(1000);
    for (const error of errors) {
      expect((error.cause as Error).cause).toMatchObject({ name: 'RuntimeError', message: expect.stringMatching(/unreachable/) });
    }
    await expectDeath(host, errors, tid === 0 ? /unreachable/ : new RegExp(`thread ${tid} failed: .*unreachable`));
  });

  it('a sequence that is streaming is rejected too', async () => {
    const host = await start({ threads: 2 });
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(increment(variable));
    let values = 0;
    const sequence = host.runSequence(
      handle,
      Array.from({ length: 100_000 }, () => ({})),
      {
        emit: 'out',
        onValue: () => {
          if (++values === 5) void livingWorkers()[1].terminate();
        },
      },
    );
    expect(await rejection(sequence)).toMatchObject({ code: 'ENGINE_DIED' });
    expect(values).toBeGreaterThanOrEqual(5);
  });

  it('at any moment: 15 kills of a random worker while programs run', async () => {
    let state = 12345; // a fixed sequence, so that a failure can be repeated
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return Math.floor((state / 2147483648) * below);
    };
    for (let i = 0; i < 15; i++) {
      const host = await start({ threads: 3 });
      const variable = counter();
      await host.allocate([variable], { seed: 1 });
      const [short, long] = [await host.load(increment(variable)), await host.load(longRun(20))];
      const calls = Array.from({ length: 200 }, (_, n) => host.run({ handle: n % 2 === 0 ? short : long })).map((work) =>
        work.catch((error) => error),
      );
      const [delay, victim] = [random(200), random(3)];
      await sleep(delay);
      const began = performance.now();
      await livingWorkers()[victim].terminate();
      const outcomes = await Promise.all(calls);
      expect(performance.now() - began, `kill ${i}: worker ${victim} after ${delay} ms`).toBeLessThan(1000);
      for (const outcome of outcomes) if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'ENGINE_DIED' });
      expect(await rejection(host.bytes())).toMatchObject({ code: 'ENGINE_DIED' });
      await host.close();
      expect(livingWorkers()).toHaveLength(0);
    }
  }, 60_000);

  it('close rejects pending calls with ENGINE_CLOSED and ends all workers', async () => {
    const host = await start({ threads: 3 });
    const errors = await errorsAfter(host, () => host.close('the test is over'));
    for (const error of errors)
      expect(error).toMatchObject({ code: 'ENGINE_CLOSED', message: expect.stringMatching(/, but the test is over$/) });
    await host.close();
    await sleep(50);
    expect(livingWorkers()).toHaveLength(0);
  });
});

describe('a start that fails', () => {
  const failing = 'data:text/javascript,throw new RangeError("mine")';
  it.each([
    ['the worker script is missing', { workerUrl: new URL('./not-there.js', import.meta.url) }, /Cannot find module/],
    ['the worker script throws', { workerUrl: failing }, /engine worker failed: mine/],
    ['the thread script throws', { threads: 2, threadWorkerUrl: failing }, /thread 1 failed: mine/],
    ['the thread script ends', { threads: 2, threadWorkerUrl: 'data:text/javascript,process.exit(4)' }, /thread 1 ended with exit code 4/],
    ['the kernels are missing', { wasmUrl: new URL('./not-there.wasm', import.meta.url) }, /kernels must load/],
    ['the kernels are not wasm', { wasmUrl: new URL(import.meta.url) }, /kernels must load/],
    [
      'the worker is of another version',
      {
        workerUrl:
          'data:text/javascript,import {parentPort} from "node:worker_threads"; parentPort.postMessage({kind:"ready",protocol:999}); parentPort.on("message",()=>{})',
      },
      new RegExp(`protocol ${PROTOCOL_VERSION}, got 999`),
    ],
  ])('%s: a typed error at once, and no worker is left', async (_name, options, text) => {
    const began = performance.now();
    const error = await rejection(start(options));
    expect(error).toMatchObject({ name: 'FerroError', code: 'ENGINE_START_FAILED', message: expect.stringMatching(text) });
    expect(error.cause).toBeInstanceOf(Error);
    expect(performance.now() - began).toBeLessThan(5000);
    await sleep(50);
    expect(livingWorkers()).toHaveLength(0);
  });

  it('a worker that never answers: a typed error after 30 seconds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const script = 'import { parentPort } from "node:worker_threads"; parentPort.on("message", () => {})';
      const starting = rejection(start({ workerUrl: `data:text/javascript,${script}` }));
      while (livingWorkers().length === 0) await new Promise((resolve) => setImmediate(resolve));
      await vi.advanceTimersByTimeAsync(29_000);
      expect(livingWorkers().length).toBeGreaterThan(0);
      await vi.advanceTimersByTimeAsync(1000);
      expect(await starting).toMatchObject({ code: 'ENGINE_START_FAILED', message: expect.stringContaining('must be ready within 30 s') });
    } finally {
      vi.useRealTimers();
    }
    await sleep(50);
    expect(livingWorkers()).toHaveLength(0);
  });

  it('an abort gives up the start', async () => {
    const controller = new AbortController();
    const starting = start({ threads: 2, signal: controller.signal });
    setTimeout(() => controller.abort(), 1);
    expect(await rejection(starting)).toMatchObject({ code: 'ABORTED' });
    await sleep(50);
    expect(livingWorkers()).toHaveLength(0);
  });
});
