// The engine in the calling thread on the real kernels, with programs made by hand: what is allocated, run, refused and given back.
// Workers, threads and their deaths need the built package: test/engine.
import { afterEach, describe, expect, it } from 'vitest';
import { dimMul, Extent, Variable } from '../graph';
import { Handmade } from '../graph/testing/handmade';
import { fnv1a64, philox4x32, seedWords } from '../math';
import { probeSimd } from './build';
import { closeAll, start } from './testing/inThread';
import { filled, increment, rejection, trapOn, UNARY } from './testing/programs';

afterEach(closeAll);

/** x [rows, 3] → out = x + 1. */
const rows = new Extent('rows', 4);
function addOne() {
  const p = new Handmade('addOne', { extents: [rows] });
  const x = p.input('x', [rows, 3]);
  const out = p.output('out', [rows, 3]);
  return p.add('unary', [x, out], [dimMul(rows, 3)], [UNARY.addScalar, 1]).program();
}

describe.each(probeSimd().relaxed ? (['portable', 'relaxed'] as const) : (['portable'] as const))(
  'an engine in the calling thread, %s',
  (simd) => {
    it('says what it is', async () => {
      const { info } = await start({ simd });
      expect(info).toMatchObject({ threads: 1, simd, build: simd === 'portable' ? 'simd128' : 'relaxed', worker: false, isolated: true });
      expect(info.kernelHash).toMatch(/^[0-9a-f]{64}$/);
      expect(info.runtime).toBe(`Node ${process.versions.node}`);
      expect(info.memoryLimitBytes).toBe(2 ** 32);
      if (simd === 'portable') expect(info.fused).toBe(false);
      expect(info.vectorBits).toBe(128);
      expect(info.registerTile).toMatch(/^\d+x\d+$/);
      for (const { name, gflops } of info.registerTiles) {
        expect(name).toMatch(/^\d+x\d+$/);
        expect(gflops).toBeGreaterThan(0);
      }
      if (info.registerTiles.length > 0) expect(info.registerTiles.map(({ name }) => name)).toContain(info.registerTile);
    });

    it('a warning function that throws ends the start', async () => {
      const mine = new TypeError('mine');
      const onWarning = () => {
        throw mine;
      };
      expect(await rejection(start({ simd, threads: 2, onWarning }))).toBe(mine);
    });

    it('runs a program for the used part of its extents and copies the outputs', async () => {
      const host = await start({ simd });
      const handle = await host.load(addOne());
      for (const n of [4, 1, 0, 3]) {
        const x = Float32Array.from({ length: n * 3 }, (_, i) => i * 10);
        const [{ out }] = await host.run({ handle, inputs: { x }, extents: { rows: n } });
        expect(out).toEqual(x.map((value) => value + 1));
        expect(out.buffer).toBeInstanceOf(ArrayBuffer);
        expect(x.length).toBe(n * 3); // the caller's array is still theirs
      }
    });

    it('runs a list of calls in order with one answer', async () => {
      const host = await start({ simd });
      const variable = filled('counter', [1], 5);
      await host.allocate([variable], { seed: 1 });
      const handle = await host.load(increment(variable));
      const outputs = await host.run([{ handle }, { handle, outputs: [] }, { handle }]);
      expect(outputs.map(({ out }) => out?.[0])).toEqual([6, undefined, 8]);
      expect(await host.read(variable)).toEqual(Float32Array.of(8));
    });
  },
);

describe('variables', () => {
  it('begin as their init says', async () => {
    const host = await start();
    const variables = [
      new Variable({ name: 'z', shape: [5] }),
      new Variable({ name: 'o', shape: [2, 2], init: { kind: 'ones' } }),
      filled('c', [3], -2.5),
      new Variable({ name: 'i', shape: [2], dtype: 'i32', init: { kind: 'constant', value: 7 } }),
      new Variable({ name: 'io', shape: [2], dtype: 'i32', init: { kind: 'ones' } }),
      new Variable({ name: 'd', shape: [2], init: { kind: 'data', data: Float32Array.of(1.5, Number.NaN) } }),
      new Variable({ name: 'di', shape: [2], dtype: 'i32', init: { kind: 'data', data: Int32Array.of(-1, 2 ** 31 - 1) } }),
    ];
    await host.allocate(variables, { seed: 3 });
    expect(await Promise.all(variables.map((variable) => host.read(variable)))).toEqual([
      new Float32Array(5),
      Float32Array.of(1, 1, 1, 1),
      Float32Array.of(-2.5, -2.5, -2.5),
      Int32Array.of(7, 7),
      Int32Array.of(1, 1),
      Float32Array.of(1.5, Number.NaN),
      Int32Array.of(-1, 2 ** 31 - 1),
    ]);
  });

  it('random ones depend on seed and name alone', async () => {
    const make = (name: string) => new Variable({ name, shape: [100, 100], init: { kind: 'normal', mean: 1, std: 0.5 } });
    const draw = async (name: string, seed: number, before: number) => {
      const host = await start();
      const variable = make(name);
      const others = Array.from({ length: before }, (_, i) => make(`other${i}`));
      await host.allocate([...others, variable], { seed });
      return (await host.read(variable)) as Float32Array;
    };
    const first = await draw('w', 42, 0);
    expect(await draw('w', 42, 2)).toEqual(first);
    expect(await draw('w', 42 + 2 ** 32, 0)).not.toEqual(first); // the seed's high word counts too
    expect(await draw('v', 42, 0)).not.toEqual(first);
    const mean = first.reduce((sum, x) => sum + x, 0) / first.length;
    const variance = first.reduce((sum, x) => sum + (x - mean) ** 2, 0) / first.length;
    expect(Math.abs(mean - 1)).toBeLessThan(0.02); // 4 standard errors
    expect(Math.abs(Math.sqrt(variance) - 0.5)).toBeLessThan(0.015);
  });

  it('uniform ones are words of Philox between low and high', async () => {
    const host = await start();
    const [seed, name] = [42 + 2 ** 33, 'encoder.weight'];
    const variable = new Variable({ name, shape: [3, 5], init: { kind: 'uniform', low: -0.25, high: 0.5 } });
    await host.allocate([variable], { seed });
    const last = 0xffffffff; // step and micro of initial values
    const key = philox4x32(seedWords(seed), [last, last, ...fnv1a64(name)], new Uint32Array(4));
    const words = Array.from({ length: 4 }, (_, block) => [...philox4x32(key, [block, 0, 0, 0], new Uint32Array(4))]).flat();
    expect(await host.read(variable)).toEqual(Float32Array.from({ length: 15 }, (_, i) => -0.25 + 0.75 * (words[i] / 2 ** 32)));
  });

  it('sinusoidal ones are the table of sines and cosines', async () => {
    const host = await start();
    const variable = new Variable({ name: 'pe', shape: [50, 16], init: { kind: 'sinusoidal', noise: 0 } });
    await host.allocate([variable], { seed: 3 });
    const table = await host.read(variable);
    for (let pos = 0; pos < 50; pos++) {
      for (let i = 0; i < 8; i++) {
        const angle = pos / 10000 ** ((2 * i) / 16);
        expect(Math.abs(table[pos * 16 + 2 * i] - Math.sin(angle))).toBeLessThan(1e-6);
        expect(Math.abs(table[pos * 16 + 2 * i + 1] - Math.cos(angle))).toBeLessThan(1e-6);
      }
    }
  });

  it('are written and read as copies', async () => {
    const host = await start();
    const variable = filled('w', [3]);
    await host.allocate([variable], { seed: 1 });
    const data = Float32Array.of(1, 2, 3);
    const writing = host.write(variable, data);
    data[0] = 99;
    await writing;
    const read = await host.read(variable);
    expect(read).toEqual(Float32Array.of(1, 2, 3));
    read[1] = 99;
    expect(await host.read(variable)).toEqual(Float32Array.of(1, 2, 3));
    expect(await rejection(host.write(variable, new Float32Array(2)))).toMatchObject({ code: 'INVALID_SHAPE' });
    expect(await rejection(host.write(variable, new Int32Array(3)))).toMatchObject({ code: 'INVALID_DTYPE' });
  });

  it('keep their numbers when the memory grows', async () => {
    const host = await start();
    const first = filled('first', [1000], 1.25);
    await host.allocate([first], { seed: 1 });
    const reading = host.read(first);
    const big = [1, 2].map((i) => filled(`big${i}`, [8 * 2 ** 20], i)); // 32 MiB each
    await host.allocate(big, { seed: 1 });
    expect((await host.bytes()).live).toBeGreaterThan(2 ** 26);
    for (const values of [await reading, await host.read(first)]) expect(values.every((value) => value === 1.25)).toBe(true);
    expect((await host.read(big[1])).every((value) => value === 2)).toBe(true);
    await host.write(first, new Float32Array(1000).fill(-7));
    expect((await host.read(first)).every((value) => value === -7)).toBe(true);
  });

  it('belong to one engine', async () => {
    const [a, b] = [await start(), await start()];
    const variable = filled('w', [1]);
    expect(await rejection(a.read(variable))).toMatchObject({ code: 'UNBOUND_VARIABLE' });
    await a.allocate([variable], { seed: 1 });
    expect(a.owns(variable)).toBe(true);
    expect(b.owns(variable)).toBe(false);
    expect(await rejection(b.read(variable))).toMatchObject({ code: 'WRONG_ENGINE' });
    expect(await rejection(b.load(increment(variable)))).toMatchObject({ code: 'WRONG_ENGINE' });
    expect(await rejection(b.allocate([variable], { seed: 1 }))).toMatchObject({ code: 'WRONG_ENGINE' });
    expect(await rejection(a.allocate([variable], { seed: 1 }))).toMatchObject({ code: 'INVALID_OPTION' });
    const handle = await a.load(increment(variable));
    expect(await rejection(b.run({ handle }))).toMatchObject({ code: 'WRONG_ENGINE' });
    await a.close();
    await b.allocate([variable], { seed: 1 }); // its engine has ended, so it is free
    expect(await b.read(variable)).toEqual(Float32Array.of(0));
  });
});

describe('bytes', () => {
  it('return to the beginning after release and unload', async () => {
    const host = await start();
    const before = await host.bytes();
    for (let round = 0; round < 3; round++) {
      const variables = [filled('a', [1000]), filled('b', [1], 1)];
      await host.allocate(variables, { seed: 1 });
      const [handle, other] = [await host.load(increment(variables[1])), await host.load(addOne())];
      await host.run({ handle });
      const during = await host.bytes();
      expect(during).toMatchObject({ regions: 4004, programsLoaded: 2, workers: 0 });
      expect(during.live).toBeGreaterThan(before.live + 4004);
      await host.unload(other);
      await host.unload(other);
      await host.release(variables);
      expect(await rejection(host.run({ handle }))).toMatchObject({ code: 'UNBOUND_VARIABLE' });
      expect(await host.bytes()).toEqual(before);
    }
  });

  it('are refused beyond the limit before anything is allocated', async () => {
    const host = await start({ maxMemoryBytes: 10_000_000 });
    const before = await host.bytes();
    const parts = [filled('a', [1_000_000]), filled('b', [2_000_000])];
    const error = await rejection(host.allocate(parts, { seed: 1 }));
    expect(error).toMatchObject({ code: 'OUT_OF_MEMORY' });
    expect((error as Error).message).toMatch(/^allocate: needs 12000000 bytes more, but \d+ of 10000000 bytes are in use$/);
    expect(await host.bytes()).toEqual(before);
    expect(parts.map((variable) => host.owns(variable))).toEqual([false, false]);
    await host.allocate(parts.slice(0, 1), { seed: 1 });
  });

  it('beyond 4 GiB are refused by default', async () => {
    const host = await start();
    const parts = Array.from({ length: 5 }, (_, i) => filled(`part${i}`, [2 ** 28]));
    expect(await rejection(host.allocate(parts, { seed: 1 }))).toMatchObject({ code: 'OUT_OF_MEMORY' });
    expect((await host.bytes()).regions).toBe(0);
  });

  it('programs beyond 64 are evicted and loaded again when they are run', async () => {
    const host = await start();
    const variable = filled('counter', [1]);
    await host.allocate([variable], { seed: 1 });
    const handles = [];
    for (let i = 0; i < 70; i++) handles.push(await host.load(increment(variable)));
    expect((await host.bytes()).programsLoaded).toBe(64);
    const outputs = await host.run(handles.map((handle) => ({ handle })));
    expect(outputs.map(({ out }) => out[0])).toEqual(handles.map((_, i) => i + 1));
    expect((await host.bytes()).programsLoaded).toBe(64);
  });
});

describe('faults', () => {
  const vocab = 10;
  function lookUp() {
    const p = new Handmade('lookUp', { extents: [rows] });
    const table = p.constant(Float32Array.from({ length: vocab }, (_, i) => i * 2));
    return p.add('embedding', [table, p.input('ids', [rows], 'i32'), p.output('out', [rows])], [rows, 1, vocab]).program();
  }
  function loss() {
    const p = new Handmade('loss');
    const logits = p.constant(new Float32Array(2 * vocab));
    const operands = [logits, p.input('labels', [2], 'i32'), p.output('loss', [2]), p.arena(2)];
    return p.add('cross_entropy', operands, [2, vocab], [-100]).program();
  }

  it('name the value and the position, and the engine goes on', async () => {
    const host = await start();
    const handle = await host.load(lookUp());
    const run = (...ids: number[]) => host.run({ handle, inputs: { ids: Int32Array.from(ids) }, extents: { rows: ids.length } });
    expect(await rejection(run(1, 2, 10))).toMatchObject({
      code: 'TOKEN_OUT_OF_RANGE',
      message: expect.stringContaining('got 10 at position 2'),
    });
    expect(await rejection(run(-1))).toMatchObject({
      code: 'TOKEN_OUT_OF_RANGE',
      message: expect.stringContaining('got -1 at position 0'),
    });
    expect((await run(9, 0))[0].out).toEqual(Float32Array.of(18, 0));
    const losses = await host.load(loss());
    const labels = (...values: number[]) => host.run({ handle: losses, inputs: { labels: Int32Array.from(values) } });
    expect(await rejection(labels(3, -4))).toMatchObject({
      code: 'LABEL_OUT_OF_RANGE',
      message: expect.stringContaining('got -4 at position 1'),
    });
    expect((await labels(3, -100))[0].loss[1]).toBe(0);
  });

  it('a malformed program is refused at load and leaves nothing', async () => {
    const host = await start();
    const before = await host.bytes();
    const program = addOne();
    program.words[0] = 1;
    expect(await rejection(host.load(program))).toMatchObject({ code: 'BAD_PROGRAM' });
    expect(await host.bytes()).toEqual(before);
  });

  it('a trap rejects every call with its cause; a new engine works', async () => {
    const host = await start();
    const variable = filled('w', [1]);
    await host.allocate([variable], { seed: 1 });
    const handle = await host.load(trapOn(0));
    const results = await Promise.all([host.run({ handle }), host.read(variable), host.bytes()].map(rejection));
    for (const error of results) {
      expect(error).toMatchObject({ code: 'ENGINE_DIED', name: 'FerroError' });
      expect(String((error as Error).cause)).toMatch(/unreachable/);
    }
    expect(host.closed).toBe(true);
    expect(await rejection(host.read(variable))).toMatchObject({ code: 'ENGINE_DIED' });
    const next = await start();
    await next.allocate([variable], { seed: 1 });
    expect(await next.read(variable)).toEqual(Float32Array.of(0));
  });
});
