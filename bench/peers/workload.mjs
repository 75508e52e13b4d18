// What every peer is measured on: matrix products, and the training step S of scripts/bench/sizes.mjs (4 layers, 4 heads, width 128, context 64, 12 rows,
// 65 tokens) with random weights and tokens. Each peer's file gives the library's operations; the clock and the report are here.
import { SIZES } from '../../scripts/bench/sizes.mjs';
import { median } from '../../scripts/bench/statistics.mjs';

export const SHAPE = SIZES.S;
/** m, n, k: cubes and the widest products of a step S and M. */
export const PRODUCTS = [
  [64, 64, 64],
  [256, 256, 256],
  [512, 512, 512],
  [1024, 1024, 1024],
  [768, 512, 128],
  [4096, 1536, 384],
];
const WARM_MS = Number(process.env.PEERS_WARM_MS ?? 600);
const BURSTS = 15;
const BURST_MS = 10;
const STEPS = 12;
const LEAST_STEPS = 3;
const MOST_MS = 15_000;
const WARM_STEPS = 2;

/** Floats from −0.5 to 0.5, the same each time. */
export function numbers(count, scale = 1) {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * scale;
  });
}

/** Token ids below the vocabulary. */
export const tokens = (count) => Int32Array.from(numbers(count), (x) => Math.floor((x + 0.5) * SHAPE.vocabulary));

/** Parameters of the step by name: [shape, initial values]. */
export function parameters() {
  const { layers, width: c, context, vocabulary } = SHAPE;
  const made = {};
  const add = (name, shape, value) => {
    const count = shape.reduce((a, b) => a * b, 1);
    made[name] = [shape, value === undefined ? numbers(count, 0.07) : new Float32Array(count).fill(value)];
  };
  add('wte', [vocabulary, c]);
  add('wpe', [context, c]);
  for (let i = 0; i < layers; i++) {
    add(`h${i}.ln1.w`, [c], 1);
    add(`h${i}.ln1.b`, [c], 0);
    add(`h${i}.qkv.w`, [c, 3 * c]);
    add(`h${i}.qkv.b`, [3 * c], 0);
    add(`h${i}.proj.w`, [c, c]);
    add(`h${i}.proj.b`, [c], 0);
    add(`h${i}.ln2.w`, [c], 1);
    add(`h${i}.ln2.b`, [c], 0);
    add(`h${i}.up.w`, [c, 4 * c]);
    add(`h${i}.up.b`, [4 * c], 0);
    add(`h${i}.down.w`, [4 * c, c]);
    add(`h${i}.down.b`, [c], 0);
  }
  add('lnf.w', [c], 1);
  add('lnf.b', [c], 0);
  return made;
}

async function timeProduct(run) {
  let best = Number.POSITIVE_INFINITY;
  for (const end = performance.now() + WARM_MS; performance.now() < end; ) {
    const started = performance.now();
    await run();
    best = Math.min(best, performance.now() - started);
  }
  const times = Math.max(1, Math.round(BURST_MS / best));
  const bursts = [];
  for (let i = 0; i < BURSTS; i++) {
    const started = performance.now();
    for (let j = 0; j < times; j++) await run();
    bursts.push((performance.now() - started) / times);
  }
  return bursts;
}

/**
 * Measures a library and prints one JSON object. `product(m, n, k)` gives a function that multiplies once and waits for the result; `step()` one that
 * trains once and gives the loss.
 */
export async function measure({ name, version, note, product, step }) {
  const products = [];
  for (const [m, n, k] of PRODUCTS) {
    const bursts = await timeProduct(await product(m, n, k));
    const minMs = Math.min(...bursts);
    products.push({ m, n, k, minMs, medianMs: median(bursts), gflops: (2 * m * n * k) / minMs / 1e6 });
  }
  let training;
  try {
    const run = await step();
    const times = [];
    const losses = [];
    const end = performance.now() + MOST_MS;
    for (let i = 0; i < WARM_STEPS + STEPS && (i < WARM_STEPS + LEAST_STEPS || performance.now() < end); i++) {
      const started = performance.now();
      losses.push(await run());
      if (i >= WARM_STEPS) times.push(performance.now() - started);
    }
    if (!losses.every(Number.isFinite) || losses.at(-1) >= losses[0])
      throw new Error(`the loss must fall, got ${losses.map((l) => l.toFixed(3)).join(' ')}`);
    training = { size: 'S', minMs: Math.min(...times), medianMs: median(times), losses };
  } catch (error) {
    training = { size: 'S', reason: String(error.message).split('\n')[0].slice(0, 300) };
  }
  process.stdout.write(`${JSON.stringify({ name, version, note, node: process.version, products, training })}\n`);
}
