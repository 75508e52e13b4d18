#!/usr/bin/env node
// Training an adapter beside full fine-tuning: bytes the engine holds and time per step, on the same model and batches. Steps of all ways are interleaved and the fastest of
// each counts, in wall time and in processor time of all threads, so that other work on the machine falls on all alike. On dist/ (npm run build). It checks no numbers of a model: tests do.
import { parseArgs } from 'node:util';
import { Engine, GPT } from '../dist/index.node.js';

const HELP = `usage: node scripts/measure-adapters.mjs [--size M] [--rank 8] [--rounds 12] [--threads 2] [--simd auto] [--ways 0,1,2,3,4]
sizes: S (4 layers, width 128, 12 x 64 tokens), M (6, 384, 16 x 256), L (12, 768, 4 x 64, 50257 words), as in ferroformer bench`;

const SIZES = {
  S: { nLayer: 4, nHead: 4, nEmbd: 128, blockSize: 64, batchSize: 12, vocabSize: 65 },
  M: { nLayer: 6, nHead: 6, nEmbd: 384, blockSize: 256, batchSize: 16, vocabSize: 65 },
  L: { nLayer: 12, nHead: 12, nEmbd: 768, blockSize: 64, batchSize: 4, vocabSize: 50257 },
};

const text = (value) => ({ type: 'string', default: value });
const { values } = parseArgs({
  options: {
    size: text('M'),
    rank: text('8'),
    rounds: text('12'),
    threads: text('2'),
    simd: text('auto'),
    ways: text('0,1,2,3,4'),
    help: { type: 'boolean', default: false },
  },
});
if (values.help || !(values.size in SIZES)) {
  console.error(HELP);
  process.exit(values.help ? 0 : 2);
}
const { batchSize, ...sizes } = SIZES[values.size];
const rank = Number(values.rank);

const WAYS = [
  { name: 'full fine-tuning' },
  { name: 'LoRA on c_attn', adapter: { rank } },
  { name: 'LoRA on all layers', adapter: { rank, targetModules: 'all-linear' } },
  { name: 'LoRA on c_attn, base in bf16', adapter: { rank }, quantize: 'bf16' },
  { name: 'LoRA on c_attn, base in int8', adapter: { rank }, quantize: 'int8' },
];

function batchOf(seed) {
  let state = seed;
  const ids = () =>
    Int32Array.from({ length: batchSize * sizes.blockSize }, () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % sizes.vocabSize;
    });
  const shape = [batchSize, sizes.blockSize];
  return { inputIds: { data: ids(), shape }, labels: { data: ids(), shape } };
}

/** An engine of its own for each way: its arena is that of the largest program loaded. */
async function prepare({ adapter, quantize }) {
  const engine = await Engine.start({ threads: Number(values.threads), simd: values.simd });
  let model = await GPT.create(engine, { ...sizes, seed: 1 });
  if (quantize !== undefined) {
    const plain = model;
    model = await plain.quantize(quantize);
    await plain.close();
  }
  if (adapter !== undefined) await model.addAdapter(adapter);
  const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-4 } });
  return { engine, step, best: Number.POSITIVE_INFINITY, cpu: Number.POSITIVE_INFINITY };
}

const runs = [];
for (const way of values.ways.split(',').map((i) => WAYS[Number(i)])) runs.push({ ...way, ...(await prepare(way)) });
try {
  const batch = batchOf(7);
  for (const { step } of runs) await step(batch); // compiles
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const run of runs) {
      const [started, used] = [performance.now(), process.cpuUsage()];
      await run.step(batch);
      const { user, system } = process.cpuUsage(used);
      run.best = Math.min(run.best, performance.now() - started);
      run.cpu = Math.min(run.cpu, (user + system) / 1000);
    }
  }
  const { threads, build, vectorBits } = runs[0].engine.info;
  console.log(
    `size ${values.size}, rank ${rank}, ${threads} threads, ${build}, ${vectorBits} bits, fastest of ${values.rounds} interleaved steps`,
  );
  const full = { bytes: (await runs[0].engine.info.bytes()).live, ms: runs[0].best, cpu: runs[0].cpu };
  for (const { name, engine, best, cpu } of runs) {
    const { live, arena, regions } = await engine.info.bytes();
    const mb = (bytes) => (bytes / 1e6).toFixed(1);
    console.log(
      `${name.padEnd(30)} ${mb(live).padStart(8)} MB (${(live / full.bytes).toFixed(3)}; activations ${mb(arena)}, weights and state ${mb(regions)})  ` +
        `${best.toFixed(1).padStart(8)} ms (${(best / full.ms).toFixed(3)}), processor ${cpu.toFixed(1)} ms (${(cpu / full.cpu).toFixed(3)})`,
    );
  }
} finally {
  for (const { engine } of runs) await engine.close();
}
