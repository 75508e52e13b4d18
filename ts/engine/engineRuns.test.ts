// Long runs and sequences in the calling thread on the real kernels: slices, aborts, the end of an engine, streams of values.
import { afterEach, describe, expect, it } from 'vitest';
import { Extent } from '../graph';
import { Handmade } from '../graph/testing/handmade';
import { closeAll, start } from './testing/inThread';
import { counter, increment, longRun, rejection, sleep } from './testing/programs';

afterEach(closeAll);

const rows = new Extent('rows', 4);

describe('abort and close', () => {
  it('an abort stops a run between slices, not an atomic one; state is that of whole programs', async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const [handle, short] = [await host.load(longRun(600, variable)), await host.load(increment(variable))];
    const began = performance.now();
    await host.run({ handle });
    const whole = performance.now() - began;
    expect(whole).toBeGreaterThan(100); // else the following proves nothing
    const abortSoon = () => {
      const controller = new AbortController();
      setTimeout(() => controller.abort('enough'), 30);
      return controller.signal;
    };
    const started = performance.now();
    const error = await rejection(host.run([{ handle: short }, { handle }, { handle: short }], { signal: abortSoon() }));
    expect(error).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    expect(performance.now() - started).toBeLessThan(30 + 170);
    expect(await host.read(variable)).toEqual(Float32Array.of(2)); // 1 from the whole run before, 1 from the first short one
    await host.run([{ handle, atomic: true }], { signal: abortSoon() });
    expect(await host.read(variable)).toEqual(Float32Array.of(3));
    expect(
      await rejection(
        host.run(
          [
            { handle, atomic: true },
            { handle: short, atomic: true },
          ],
          { signal: abortSoon() },
        ),
      ),
    ).toMatchObject({ code: 'ABORTED' });
    expect(await host.read(variable)).toEqual(Float32Array.of(4));
    expect(await rejection(host.run({ handle: short }, { signal: AbortSignal.abort() }))).toMatchObject({ code: 'ABORTED' });
  }, 60_000);

  it('a long run lets the event loop turn every 50 ms or so', async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(longRun(600, variable));
    const began = performance.now();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await host.run({ handle });
    clearInterval(timer);
    const elapsed = performance.now() - began;
    expect(elapsed).toBeGreaterThan(100); // else the following proves nothing
    expect(turns).toBeGreaterThan(elapsed / 150);
  }, 60_000);

  it('close rejects pending and later calls, twice is fine', async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(longRun(600, variable));
    const pending = [host.run({ handle }), host.read(variable)].map(rejection);
    await sleep(60);
    await host.close();
    await host.close();
    for (const error of await Promise.all(pending)) expect(error).toMatchObject({ code: 'ENGINE_CLOSED' });
    expect(await rejection(host.bytes())).toMatchObject({
      code: 'ENGINE_CLOSED',
      message: 'bytes: the engine must be open, but it was closed',
    });
    expect(host.closed).toBe(true);
    expect(host.owns(variable)).toBe(true); // until another engine takes it
  });
});

describe('sequences', () => {
  const setUp = async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    return { host, variable, handle: await host.load(increment(variable)) };
  };
  const times = (n: number) => Array.from({ length: n }, () => ({}));

  it('hand out each value in order and stop at a stop value', async () => {
    const { host, handle } = await setUp();
    const seen: [number, number][] = [];
    const onValue = (value: ArrayLike<number>, index: number) => void seen.push([index, value[0]]);
    expect(await host.runSequence(handle, times(3), { emit: 'out', onValue })).toBe(3);
    expect(await host.runSequence(handle, times(100), { emit: 'out', stopValues: [99, 5], onValue })).toBe(2);
    expect(await host.runSequence(handle, [], { emit: 'out', onValue })).toBe(0);
    expect(seen).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
      [0, 4],
      [1, 5],
    ]);
  });

  it('give each step its own extents and scalars', async () => {
    const host = await start();
    const p = new Handmade('sampled', { extents: [rows], scalars: ['temperature', 'topK', 'topP', 'seedLo', 'seedHi', 'draw'] });
    const logits = p.constant(Float32Array.from({ length: 40 }, (_, i) => (i % 10 === Math.floor(i / 10) + 3 ? 9 : 0)));
    const scalars = { temperature: 0, topK: 0, topP: 1, seedLo: 1, seedHi: 0, draw: 0 };
    const operands = [logits, undefined, undefined, undefined, undefined, undefined, p.output('ids', [rows], 'i32'), undefined];
    const params = [...Object.keys(scalars), '', '', '', '', '', ''];
    const handle = await host.load(p.add('sample', operands, [rows, 10, 10, 0, 2], params).program());
    const seen: number[][] = [];
    const runs = [1, 4, 0, 2].map((n) => ({ extents: { rows: n }, scalars }));
    await host.runSequence(handle, runs, { emit: 'ids', onValue: (value) => void seen.push([...value]) });
    expect(seen).toEqual([[3], [3, 4, 5, 6], [], [3, 4]]);
    const onValue = () => {};
    const four = { extents: { rows: 4 }, scalars };
    // Of [3, 4, 5, 6] only the elements 0 and 2 decide.
    expect(await host.runSequence(handle, [four, four], { emit: 'ids', stopValues: [3, 5], stopEvery: 2, onValue })).toBe(1);
    expect(await host.runSequence(handle, [four, four], { emit: 'ids', stopValues: [3, 5], onValue })).toBe(2);
  });

  it('what the callback throws ends them', async () => {
    const { host, handle, variable } = await setUp();
    const mine = new TypeError('mine');
    let calls = 0;
    const onValue = () => {
      if (++calls === 2) throw mine;
    };
    expect(await rejection(host.runSequence(handle, times(100_000), { emit: 'out', onValue }))).toBe(mine);
    expect(calls).toBe(2);
    expect((await host.read(variable))[0]).toBeLessThan(100_000);
  });

  it('an abort ends them', async () => {
    const { host, handle } = await setUp();
    const controller = new AbortController();
    const onValue = (_: unknown, index: number) => {
      if (index === 3) controller.abort();
    };
    const error = await rejection(host.runSequence(handle, times(100_000), { emit: 'out', onValue, signal: controller.signal }));
    expect(error).toMatchObject({ code: 'ABORTED' });
    expect(await rejection(host.runSequence(handle, times(1), { emit: 'nothing', onValue }))).toMatchObject({ code: 'UNKNOWN_OPTION' });
  });
});
