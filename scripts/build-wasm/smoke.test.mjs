// The built kernels by themselves, without ts/engine: each build instantiates over a shared memory, runs a small program on one, two
// and three threads with the same bits, refuses what it must, and gets out of a trap.

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { createKernels } from '../../ts/wasm/kernels.js';
import { checkBinary } from './binary.mjs'; // turns relaxed SIMD on where it is behind a flag
import { checkManifest } from './manifest.mjs';

const NONE = 0xffffffff;
const bits = (x) => new Uint32Array(new Float32Array([x]).buffer)[0];
const rigs = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end();
});

/** An engine of this build with its threads in workers. */
async function start(build, threads, initial = 256) {
  const module = new WebAssembly.Module(readFileSync(new URL(`../../ts/wasm/kernels.${build}.wasm`, import.meta.url)));
  const memory = new WebAssembly.Memory({ initial, maximum: 65536, shared: true });
  const kernels = createKernels();
  kernels.initSync({ module, memory });
  kernels.engine_init(threads);
  const ended = [];
  const workers = [];
  for (let tid = 1; tid < threads; tid++) {
    const worker = new Worker(new URL('./smoke-thread.mjs', import.meta.url), {
      workerData: { module, memory, tid },
      execArgv: [], // V8's flags hold for the whole process; a worker refuses them
    });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    ended.push(new Promise((resolve) => worker.once('message', (message) => resolve(message.ended))));
    workers.push(worker);
  }
  const end = async () => {
    kernels.shutdown();
    const texts = await Promise.all(ended);
    await Promise.all(workers.map((worker) => worker.terminate()));
    return texts;
  };
  const floats = (id, n) => new Float32Array(memory.buffer, kernels.region_ptr(id), n);
  const rig = { kernels, memory, floats, end };
  rigs.push(rig);
  return rig;
}

/** Words of a program from its parts; instructions are [opcode, operands, dims, params], one list per stage. */
function program({ extents = [], slots, banks = [], bindings, operands, stages }) {
  const instructions = stages.flat();
  const ranges = stages.map((stage, i) => [stages.slice(0, i).flat().length, stage.length]);
  const encoded = instructions.map(([opcode, ...lists]) => [opcode, ...lists.map((list) => list.length), ...lists.flat()]);
  const counts = [extents.length, 0, slots.length, banks.length, bindings.length, operands.length, instructions.length, stages.length];
  const words = [0x47504646, 1, ...counts, 0, extents, slots, banks, bindings, operands, encoded, ranges].flat(2);
  words[10] = words.length;
  return Uint32Array.from(words);
}

const ROWS = 96;
const WIDTH = 160;
const HIDDEN = 320;

/** gelu(x·w + b)·v, softmax of it, for up to ROWS rows. */
const layers = program({
  extents: [ROWS],
  slots: [
    [1, NONE, NONE, NONE],
    [1, 0, NONE, NONE],
    [WIDTH, NONE, NONE, NONE],
    [HIDDEN, NONE, NONE, NONE],
  ],
  banks: [ROWS * HIDDEN * 8 + ROWS * WIDTH * 4],
  bindings: [ROWS * WIDTH * 4, WIDTH * HIDDEN * 4, HIDDEN * 4, HIDDEN * WIDTH * 4, ROWS * WIDTH * 4],
  operands: [
    [1, 0, 0, ROWS * WIDTH * 4, 0],
    [1, 1, 0, WIDTH * HIDDEN * 4, 0],
    [1, 2, 0, HIDDEN * 4, 0],
    [1, 3, 0, HIDDEN * WIDTH * 4, 0],
    [1, 4, 0, ROWS * WIDTH * 4, 0],
    [0, 0, 0, ROWS * HIDDEN * 4, 0],
    [0, 0, ROWS * HIDDEN * 4, ROWS * HIDDEN * 4, 0],
    [0, 0, ROWS * HIDDEN * 8, ROWS * WIDTH * 4, 0],
  ],
  stages: [
    [[1, [0, 1, NONE, 2, 5, 6], [0, 1, 3, 2], [0, 1]]],
    [[1, [6, 3, NONE, NONE, 7, NONE], [0, 1, 2, 3], [0, 0]]],
    [[9, [7, 4], [1, 2], [0]]],
  ],
});

/** Thread `tid` dies between two fills. */
const trap = (tid) =>
  program({
    slots: [[1000, NONE, NONE, NONE]],
    bindings: [4000],
    operands: [[1, 0, 0, 4000, 0]],
    stages: [[[8, [0], [0], [bits(1)]]], [[35, [], [], [tid]]], [[8, [0], [0], [bits(2)]]]],
  });

function loadLayers({ kernels }) {
  const sizes = [ROWS * WIDTH, WIDTH * HIDDEN, HIDDEN, HIDDEN * WIDTH, ROWS * WIDTH];
  const regions = sizes.map((n) => kernels.region_alloc(n * 4));
  for (const [i, id] of regions.entries()) kernels.region_fill_normal(id, 0, i === 0 ? 1 : 0.1, 42, 0, i, 0);
  return { id: kernels.program_load(layers, Uint32Array.from(regions)), output: regions[4], regions };
}

function run(kernels, id, extents, budgetMs) {
  kernels.run_begin(id, Uint32Array.from(extents), new Float64Array(0));
  let slices = 1;
  while (kernels.run_slice(budgetMs) === 1) slices++;
  return slices;
}

it('the committed files are those that were built (whether the sources have changed since is asked by --check)', () => {
  for (const part of ['kernels', 'text']) expect(checkManifest(part) ?? '').not.toContain('ts/wasm/');
});

for (const build of ['simd128', 'relaxed']) {
  describe(build, () => {
    it('is valid, small, and names no path of the machine it was built on', () => {
      const bytes = readFileSync(new URL(`../../ts/wasm/kernels.${build}.wasm`, import.meta.url));
      expect(checkBinary(build, bytes, [process.cwd()]).gzipBytes).toBeGreaterThan(10_000);
    });

    it('gives the same bits on 1, 2 and 3 threads, in one slice or many, and smaller extents use the front', async () => {
      let want;
      for (const threads of [1, 2, 3]) {
        const rig = await start(build, threads);
        const { id, output } = loadLayers(rig);
        expect(run(rig.kernels, id, [ROWS], 1e9)).toBe(1);
        expect(run(rig.kernels, id, [ROWS], 0)).toBeGreaterThan(2);
        const got = rig.floats(output, ROWS * WIDTH).slice();
        want ??= got;
        expect(got).toEqual(want);
        run(rig.kernels, id, [5], 1e9);
        expect(rig.floats(output, 5 * WIDTH)).toEqual(want.subarray(0, 5 * WIDTH));
        expect(await rig.end()).toEqual(Array(threads - 1).fill('shutdown'));
        rigs.pop();
      }
      for (let row = 0; row < ROWS; row++) {
        const sum = want.subarray(row * WIDTH, (row + 1) * WIDTH).reduce((a, b) => a + b, 0);
        expect(sum).toBeCloseTo(1, 5);
      }
    });

    it('an idle engine burns no processor time, a busy one counts its bytes', async () => {
      const rig = await start(build, 3);
      const { kernels } = rig;
      const { id, regions } = loadLayers(rig);
      run(kernels, id, [ROWS], 1e9);
      const live = kernels.live_bytes();
      for (let i = 0; i < 50; i++) run(kernels, id, [ROWS], 1e9);
      expect(kernels.live_bytes()).toBe(live);
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1000).toBeLessThan(100); // of 1500 ms that three threads could have burnt
      kernels.program_free(id);
      expect(kernels.arena_bytes()).toBe(0);
      for (const region of regions) kernels.region_free(region);
      expect(kernels.live_bytes()).toBe(0);
    });

    it('a trap on any thread ends the run with POISONED, and everyone leaves', async () => {
      for (const tid of [1, 2]) {
        const rig = await start(build, 3);
        const region = rig.kernels.region_alloc(4000);
        const id = rig.kernels.program_load(trap(tid), Uint32Array.of(region));
        const started = performance.now();
        expect(() => run(rig.kernels, id, [], 1e9)).toThrow(/^POISONED: /);
        expect(performance.now() - started).toBeLessThan(1000);
        expect(rig.floats(region, 1000).every((v) => v === 1)).toBe(true);
        expect(() => rig.kernels.region_alloc(4)).toThrow(/^POISONED: /);
        const texts = await rig.end();
        rigs.pop();
        expect(texts[tid - 1]).toMatch(/^RuntimeError: unreachable/);
        expect(texts[2 - tid]).toMatch(/^Error: POISONED: /);
      }
      const rig = await start(build, 1);
      const id = rig.kernels.program_load(trap(0), Uint32Array.of(rig.kernels.region_alloc(4000)));
      expect(() => run(rig.kernels, id, [], 1e9)).toThrow(WebAssembly.RuntimeError);
      rig.kernels.poison(3);
      expect(() => run(rig.kernels, id, [], 1e9)).toThrow('POISONED: engine: all threads must be alive, got code 3');
      expect(rig.kernels.panic_text()).toBe(''); // a plain trap has no text
    });

    it('refuses with a code, and goes on', async () => {
      const { kernels } = await start(build, 1);
      expect(() => kernels.engine_init(1)).toThrow(/^BAD_PROGRAM: engine_init: /);
      expect(() => kernels.region_alloc(2 ** 31)).toThrow(/^OUT_OF_MEMORY: .* needs 2147483648 bytes/);
      expect(() => kernels.region_alloc(2 ** 33)).toThrow(/^OUT_OF_MEMORY: /);
      kernels.set_memory_limit(3e6);
      expect(() => kernels.region_alloc(4e6)).toThrow(/^OUT_OF_MEMORY: .* the limit is 3000000$/);
      expect(() => kernels.program_load(new Uint32Array(20), new Uint32Array(0))).toThrow(/^BAD_PROGRAM: program: must start with/);
      expect(() => kernels.run_slice(1)).toThrow(/^BAD_PROGRAM: /);
      expect(() => kernels.thread_main(1)).toThrow(/^BAD_PROGRAM: thread_main: /);
      expect(kernels.fault()).toEqual(new Int32Array(0));
      const { id } = loadLayers({ kernels });
      run(kernels, id, [1], 1e9);
    });

    it('addresses regions beyond 2 GiB', async () => {
      const { kernels, floats } = await start(build, 1, 33_000); // a memory that has grown to 2.01 GiB before
      const region = kernels.region_alloc(4096);
      expect(kernels.region_ptr(region)).toBeGreaterThan(2 ** 31);
      kernels.region_fill(region, 2.5);
      expect(floats(region, 1024).every((v) => v === 2.5)).toBe(true);
      expect(() => kernels.region_alloc(2 ** 31 - 64)).toThrow(/^OUT_OF_MEMORY: .* needs 2147483584 bytes more than the 4096 in use/);
      const { id } = loadLayers({ kernels });
      run(kernels, id, [ROWS], 1e9);
    });

    it('says whether multiply-add is fused', async () => {
      const { kernels } = await start(build, 1);
      expect(typeof kernels.madd_is_fused()).toBe('boolean');
      if (build === 'simd128') expect(kernels.madd_is_fused()).toBe(false);
    });
  });
}
