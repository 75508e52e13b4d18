// The differential run itself: random programs on two instances of the kernels, every result compared bit for bit. Which two, and what lies between them,
// is the caller's business (child.mjs: two widths; differential.test.mjs: two builds, which must differ).
import { createHash } from 'node:crypto';
import { CASES } from './cases.mjs';
import { unifyNaN } from './machine.mjs';
import { Batch, CELL_WORDS, POOL_ELEMENTS, POOLS, SCALARS } from './programs.mjs';
import { FLAVOURS, fillFloats, Random } from './random.mjs';

function drawPools(random) {
  const flavour = FLAVOURS[random.below(FLAVOURS.length)];
  const pools = POOL_ELEMENTS.map((elements) => new Uint32Array(elements));
  fillFloats(random, pools[POOLS.any], flavour);
  fillFloats(random, pools[POOLS.result], flavour);
  fillFloats(random, pools[POOLS.positive], 'ordinary');
  const positive = pools[POOLS.positive];
  for (let i = 0; i < positive.length; i++) positive[i] &= 0x7fffffff;
  const half = POOL_ELEMENTS[POOLS.ids] / 2;
  const ids = new Int32Array(pools[POOLS.ids].buffer);
  for (let i = 0; i < ids.length; i++) ids[i] = i < half && random.below(6) === 0 ? -100 : random.below(4);
  for (let i = 0; i < POOL_ELEMENTS[POOLS.mask]; i++) pools[POOLS.mask][i] = random.below(4) === 0 ? 0 : 1;
  for (let i = 0; i < POOL_ELEMENTS[POOLS.counts]; i++) pools[POOLS.counts][i] = 1 + random.below(4);
  const cells = pools[POOLS.cells];
  const scales = new Float32Array(cells.buffer);
  for (let i = 0; i < cells.length; i++) {
    if (i % CELL_WORDS < 64) cells[i] = random.word();
    else scales[i] = Math.abs(random.normal()) / 64;
  }
  // Two numbers to a word: the upper halves of ordinary floats.
  const halves = new Uint16Array(pools[POOLS.halves].buffer);
  const floats = new Uint32Array(halves.length);
  fillFloats(random, floats, 'ordinary');
  for (let i = 0; i < halves.length; i++) halves[i] = floats[i] >>> 16;
  const clip = new Float32Array(pools[POOLS.clip].buffer);
  for (let i = 0; i < clip.length; i += 4) clip.set([random.normal(), 0.1 + random.below(100) / 50, random.below(12) === 0 ? 1 : 0, 3], i);
  const sums = new Float64Array(pools[POOLS.sums].buffer);
  for (let i = 0; i < sums.length; i++) sums[i] = random.below(1000) / 7;
  return pools;
}

function drawScalars(random) {
  const values = {
    lr: random.of(1e-3, 1e-2, 0),
    c1: random.of(0.1, 0.19, 1),
    c2: random.of(0.1, 0.3, 1),
    seed_lo: random.word(),
    seed_hi: random.below(2 ** 21),
    step: 1 + random.below(1000),
    micro: random.below(3),
    max_norm: random.of(0, 0.5, 1),
    temperature: random.of(0, 0.7, 1, 1.3),
    top_k: random.of(0, 1, 5, 40),
    top_p: random.of(1, 0.9, 0.3),
    draw: random.below(1000),
  };
  return Float64Array.from(SCALARS, (name) => values[name]);
}

function drawJob(opcodes, random, number, tiles) {
  const batch = new Batch(opcodes, random);
  while (!batch.full) CASES[random.below(CASES.length)](batch, random);
  return { batch, words: batch.words(), pools: drawPools(random), scalars: drawScalars(random), tile: number % tiles, used: batch.used };
}

/** Instructions whose results differ in any bit. */
function findMismatches(batch, a, b) {
  const wrong = [];
  batch.written.forEach((ranges, i) => {
    if (ranges.some(([from, end]) => a.subarray(from, end).some((word, k) => word !== b[from + k]))) wrong.push(i);
  });
  return wrong;
}

/** Counts what one job came to. */
function note(record, digests, { batch, tile }, wrong, results, number) {
  for (const i of wrong.slice(0, 3))
    if (record.examples.length < 20) record.examples.push({ program: number, instruction: i, kernel: batch.names[i] });
  const isWrong = new Set(wrong);
  batch.names.forEach((name, i) => {
    record.kernels[name] ??= { cases: 0, mismatches: 0 };
    digests[name] ??= createHash('sha256');
    const kernel = record.kernels[name];
    kernel.cases++;
    if (isWrong.has(i)) kernel.mismatches++;
    for (const [from, end] of batch.written[i]) digests[name].update(new Uint8Array(results.buffer, from * 4, (end - from) * 4));
  });
  record.mismatches += wrong.length;
  record.cases += batch.names.length;
  record.programs++;
  record.tiles[tile] = (record.tiles[tile] ?? 0) + batch.names.length;
}

/**
 * Runs at least `cases` random cases (instructions) on `first` and `second`, each after its `before`. Without a second machine only the digests are made.
 * @returns the record: counts, and per kernel its cases, its mismatches and the SHA-256 of the first machine's results
 */
export function compare({ opcodes, first, second, beforeFirst = () => {}, beforeSecond = () => {}, cases, seed }) {
  const tiles = first.kernels.register_tiles();
  const record = {
    cases: 0,
    programs: 0,
    mismatches: 0,
    nanPayloadsDiffer: 0,
    strayWrites: 0,
    faults: 0,
    tiles: {},
    kernels: {},
    examples: [],
  };
  const digests = {};
  for (let number = 0; record.cases < cases; number++) {
    const random = new Random(seed + number);
    const job = drawJob(opcodes, random, number, tiles);
    beforeFirst();
    const a = first.run(job);
    beforeSecond();
    const b = second === undefined ? { results: a.results.slice(), fault: a.fault } : second.run(job);
    record.nanPayloadsDiffer += unifyNaN(a.results, b.results, job.batch.doubles);
    if (a.fault !== b.fault) record.examples.push({ program: number, faults: [a.fault, b.fault] });
    if (a.fault !== '') record.faults++;
    const same = Buffer.compare(Buffer.from(a.results.buffer), Buffer.from(b.results.buffer)) === 0;
    const wrong = same ? [] : findMismatches(job.batch, a.results, b.results);
    if (!same && wrong.length === 0) record.strayWrites++;
    note(record, digests, { batch: job.batch, tile: first.kernels.register_tile_name(job.tile) }, wrong, a.results, number);
  }
  for (const [name, digest] of Object.entries(digests)) record.kernels[name].digest = digest.digest('hex');
  return record;
}
