// The engine in its worker, on the build and the number of threads that this test run is about.
import { afterEach, describe, expect, it } from 'vitest';
import { PROTOCOL_VERSION } from '../../ts/engine/protocol';
import { Extent, Variable } from '../../ts/graph';
import { Handmade } from '../../ts/graph/testing/handmade';
import { closeAll, counter, increment, livingWorkers, longRun, rejection, SIMD, sleep, start, THREADS } from './support';

afterEach(closeAll);

describe('an engine in a worker', () => {
  it('says what it is', async () => {
    const { info } = await start();
    expect(info).toMatchObject({ threads: THREADS, simd: SIMD, worker: true, isolated: true, reasons: [] });
    expect(info.build).toBe(SIMD === 'relaxed' ? 'relaxed' : 'simd128');
  });

  it('goes on with one thread, says why and warns, where the memory cannot be given to threads', async () => {
    const script = `
      import { parentPort } from 'node:worker_threads';
      parentPort.once('message', ({ port }) => {
        port.onmessage = () => port.postMessage({ kind: 'refused', error: { name: 'Error', message: 'not here' } });
      });
      parentPort.postMessage({ kind: 'ready', protocol: ${PROTOCOL_VERSION} });`;
    const warnings: unknown[] = [];
    const options = { threads: 3, threadWorkerUrl: `data:text/javascript,${encodeURIComponent(script)}` };
    const host = await start({ ...options, onWarning: (warning) => warnings.push(warning) });
    expect(host.info).toMatchObject({ threads: 1, reasons: ['a thread could not join (not here)'] });
    expect(warnings).toEqual([{ code: 'SINGLE_THREAD', message: 'running on one thread: a thread could not join (not here)' }]);
    expect((await host.bytes()).workers).toBe(1);
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    expect((await host.run({ handle: await host.load(increment(variable)) }))[0].out).toEqual(Float32Array.of(1));
    expect(livingWorkers()).toHaveLength(1);
  });

  it('computes the same bits with any number of threads', async () => {
    const size = 193;
    const make = () => {
      const p = new Handmade('product');
      const [a, b] = [p.input('a', [size, size]), p.input('b', [size, size])];
      return p
        .add('matmul', [a, b, undefined, undefined, p.output('out', [size, size]), undefined], [1, size, size, size], [0, 0])
        .program();
    };
    const values = (seed: number) =>
      Float32Array.from({ length: size * size }, (_, i) => Math.fround(((i * 7919 + seed) % 1009) / 1009 - 0.5));
    const inputs = { a: values(1), b: values(2) };
    const results = [];
    for (const threads of [1, 2, 3, 4]) {
      const host = await start({ threads });
      results.push((await host.run({ handle: await host.load(make()), inputs }))[0].out);
    }
    for (const result of results.slice(1)) expect(result).toEqual(results[0]);
    let exact = 0;
    for (let k = 0; k < size; k++) exact += inputs.a[5 * size + k] * inputs.b[k * size + 7];
    expect(Math.abs(results[0][5 * size + 7] - exact)).toBeLessThan(1e-4);
  });

  it('copies inputs, never detaches them, and takes a part of a larger or shared buffer', async () => {
    const host = await start();
    const p = new Handmade('copy');
    const handle = await host.load(p.add('unary', [p.input('x', [4]), p.output('out', [4])], [4], [0, 0]).program());
    const whole = new Float32Array(new SharedArrayBuffer(4000)).map((_, i) => i);
    for (const x of [Float32Array.of(1, 2, 3, 4), whole.subarray(10, 14), whole.slice().subarray(100, 104)]) {
      const running = host.run({ handle, inputs: { x } });
      const expected = Float32Array.from(x);
      x[0] = -1; // too late to matter
      expect((await running)[0].out).toEqual(expected);
      expect(x.length).toBe(4);
    }
  });

  it('queues calls in the order they are made', async () => {
    const host = await start();
    const variable = counter();
    const allocating = host.allocate([variable], { seed: 1 });
    const loading = host.load(increment(variable));
    await allocating;
    const handle = await loading;
    const outputs = await Promise.all([host.run({ handle }), host.read(variable), host.run([{ handle }, { handle }]), host.read(variable)]);
    expect(outputs).toEqual([
      [{ out: Float32Array.of(1) }],
      Float32Array.of(1),
      [{ out: Float32Array.of(2) }, { out: Float32Array.of(3) }],
      Float32Array.of(3),
    ]);
  });

  it('an abort stops a run between slices and leaves the queue in order', async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const [handle, short] = [await host.load(longRun(20_000, variable)), await host.load(increment(variable))];
    const controller = new AbortController();
    const running = rejection(host.run([{ handle: short }, { handle }], { signal: controller.signal }));
    const waiting = rejection(host.run([{ handle: short }], { signal: controller.signal }));
    const after = host.run({ handle: short });
    await sleep(120);
    const aborted = performance.now();
    controller.abort(new Error('enough'));
    const error = await running;
    expect(performance.now() - aborted).toBeLessThan(300);
    expect(error).toMatchObject({ code: 'ABORTED', cause: new Error('enough') });
    expect(await waiting).toMatchObject({ code: 'ABORTED' });
    expect((await after)[0].out).toEqual(Float32Array.of(2)); // one before the abort, one after; the long run's own never came
  });

  it('an atomic run is not interrupted', async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(longRun(500, variable));
    const controller = new AbortController();
    const running = host.run({ handle, atomic: true }, { signal: controller.signal });
    await sleep(60);
    controller.abort();
    await running;
    expect(await host.read(variable)).toEqual(Float32Array.of(1));
  });

  it('streams a sequence of a thousand values in order', async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(increment(variable));
    const seen: number[] = [];
    const runs = Array.from({ length: 1000 }, () => ({}));
    expect(await host.runSequence(handle, runs, { emit: 'out', onValue: (value) => void seen.push(value[0]) })).toBe(1000);
    expect(seen).toEqual(runs.map((_, i) => i + 1));
    const more = await host.runSequence(handle, runs, { emit: 'out', stopValues: [1005], onValue: (value) => void seen.push(value[0]) });
    expect(more).toBe(5);
    expect(seen.slice(1000)).toEqual([1001, 1002, 1003, 1004, 1005]);
  });

  it('errors keep class, code and text across the worker', async () => {
    const host = await start({ maxMemoryBytes: 20_000_000 });
    const variable = new Variable({ name: 'w', shape: [10_000_000] });
    const error = await rejection(host.allocate([variable], { seed: 1 }));
    expect(error).toMatchObject({
      name: 'FerroError',
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/^allocate: needs 40000000 bytes more/),
    });
    const rows = new Extent('rows', 2);
    const p = new Handmade('lookUp', { extents: [rows] });
    const operands = [p.constant(new Float32Array(10)), p.input('ids', [rows], 'i32'), p.output('out', [rows])];
    const handle = await host.load(p.add('embedding', operands, [rows, 1, 10]).program());
    const run = (...ids: number[]) => host.run({ handle, inputs: { ids: Int32Array.from(ids) }, extents: { rows: ids.length } });
    expect(await rejection(run(3, 10))).toMatchObject({
      code: 'TOKEN_OUT_OF_RANGE',
      message: expect.stringContaining('got 10 at position 1'),
    });
    expect((await run(3))[0].out).toEqual(Float32Array.of(0));
  });

  it('what cannot be posted rejects with the reason, and the engine goes on', async () => {
    const host = await start();
    const variable = counter();
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(increment(variable));
    const error = await rejection(host.run({ handle, atomic: (() => true) as never, outputs: [Symbol('x')] as never }));
    expect(error).toBeInstanceOf(Error);
    expect((await host.run({ handle }))[0].out).toEqual(Float32Array.of(1));
  });

  it('two engines live side by side', async () => {
    const [a, b] = [await start(), await start({ simd: 'portable', threads: 1 })];
    const [va, vb] = [counter(), counter()];
    await Promise.all([a.allocate([va], { seed: 1 }), b.allocate([vb], { seed: 1 })]);
    const [ha, hb] = [await a.load(increment(va)), await b.load(increment(vb))];
    await Promise.all([a.run([{ handle: ha }, { handle: ha }]), b.run({ handle: hb })]);
    expect([await a.read(va), await b.read(vb)]).toEqual([Float32Array.of(2), Float32Array.of(1)]);
    await a.close();
    await b.run({ handle: hb });
    expect(await b.read(vb)).toEqual(Float32Array.of(2));
  });

  it('profiles instructions', async () => {
    const host = await start();
    const handle = await host.load(longRun(3));
    expect(await host.profile()).toEqual([]);
    await host.setProfiling(true);
    await host.run([{ handle }, { handle }]);
    const profile = await host.profile();
    expect(profile.map(({ instruction }) => instruction)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(profile.reduce((sum, { ms }) => sum + ms, 0)).toBeGreaterThan(0);
  });
});
