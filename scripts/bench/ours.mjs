// Our side of a comparison with PyTorch: training steps of the model, weights and batches of a workload folder (workload.mjs), through the built package.
// Speaks the lines of scripts/torch_step.py: {"ready": …}, then {"ms": […], "losses": […]} for each number of steps read from standard input.
//   echo 20 | node scripts/bench/ours.mjs FOLDER --threads 2 --simd auto
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Engine, GPT } from '../../dist/index.node.js';
import { batchOf } from './workload.mjs';

const { values, positionals } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, simd: { type: 'string', default: 'auto' } },
  allowPositionals: true,
});
const [folder] = positionals;
const { shape, learningRate } = JSON.parse(await readFile(join(folder, 'workload.json'), 'utf8'));
const bytes = await readFile(join(folder, 'tokens.i32'));
const tokens = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const perBatch = shape.rows * (shape.context + 1);
const batches = tokens.length / perBatch;

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const warnings = [];
const options = { threads: Number(values.threads), simd: values.simd, onWarning: ({ message }) => warnings.push(message) };
const engine = await Engine.start(options).catch((error) => {
  say({ failed: `${error.code}: ${error.message}` }); // what this runtime lacks is an answer, not a failure of the benchmark
  process.exit(0);
});
const model = await GPT.fromPretrained(engine, folder);
const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate, adamBeta2: 0.99, weightDecay: 0.1 } });
const { bytes: _bytes, ...info } = engine.info;
say({ ready: { ...info, node: process.version, v8: process.versions.v8, warnings } });
let done = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const ms = [];
  const losses = [];
  for (let i = 0; i < Number(line); i++) {
    const started = performance.now();
    const { loss } = await step(batchOf(tokens, (done++ % batches) * perBatch, shape)); // its copy is counted
    ms.push(performance.now() - started);
    losses.push(loss);
  }
  say({ ms, losses });
}
await engine.close();
