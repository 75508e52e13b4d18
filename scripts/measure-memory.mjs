// Trains a GPT of any size for a few steps on random tokens and prints what `ferroformer plan` foresaw beside what the engine and the process then held:
// checks rows of docs/memory.md. Measures memory, not speed (seconds per step are printed for orientation).
// node scripts/measure-memory.mjs --preset gpt2 --block-size 64 --batch-size 4 [--n-layer N --n-embd C --n-head H --vocab-size V]
//   [--gradient-accumulation-steps N] [--gradient-checkpointing] [--optim sgd --momentum 0.9] [--frozen NAME,NAME] [--steps 3] [--threads 2]
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Engine, estimate, GPT } from '../dist/index.node.js';

const { values } = parseArgs({
  options: {
    preset: { type: 'string' },
    'n-layer': { type: 'string' },
    'n-embd': { type: 'string' },
    'n-head': { type: 'string' },
    'block-size': { type: 'string' },
    'vocab-size': { type: 'string', default: '50257' },
    'batch-size': { type: 'string', default: '4' },
    'gradient-accumulation-steps': { type: 'string', default: '1' },
    'gradient-checkpointing': { type: 'boolean', default: false },
    optim: { type: 'string', default: 'adamw' },
    momentum: { type: 'string', default: '0' },
    frozen: { type: 'string', default: '' },
    steps: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
  },
});

const number = (name) => (values[name] === undefined ? undefined : Number(values[name]));
const gibibytes = (bytes) => Number((bytes / 1024 ** 3).toFixed(3));
const { optim } = values;
const momentum = Number(values.momentum);
const frozen = values.frozen === '' ? [] : values.frozen.split(',');
const [batchSize, gradientAccumulationSteps] = [number('batch-size'), number('gradient-accumulation-steps')];
const gradientCheckpointing = values['gradient-checkpointing'];

const engine = await Engine.start({ threads: number('threads') });
try {
  const model = await GPT.create(engine, {
    preset: values.preset,
    nLayer: number('n-layer'),
    nEmbd: number('n-embd'),
    nHead: number('n-head'),
    blockSize: number('block-size'),
    vocabSize: number('vocab-size'),
    seed: 1,
  });
  for (const name of frozen) model.parameters.get(name).trainable = false;
  const { blockSize, vocabSize } = model.config;
  const optimizerSlots = optim === 'adamw' ? 2 : Number(momentum > 0);
  const planned = estimate(model.config, { batchSize, gradientAccumulationSteps, gradientCheckpointing, optimizerSlots, frozen });
  console.log(JSON.stringify({ config: model.config, parameters: planned.parameters.total, plannedGiB: gibibytes(planned.memory.peak) }));

  const step = engine.trainStep(model, { loss: model.loss, optimizer: { optim, momentum }, gradientCheckpointing });
  const ids = () => Int32Array.from({ length: batchSize * blockSize }, () => Math.floor(Math.random() * vocabSize));
  const tensor = () => ({ data: ids(), shape: [batchSize, blockSize] });
  for (let i = 1; i <= number('steps'); i++) {
    const batches = Array.from({ length: gradientAccumulationSteps }, () => ({ inputIds: tensor(), labels: tensor() }));
    const started = performance.now();
    const { loss } = await step(batches);
    const { live, arena, regions } = await engine.info.bytes();
    const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    console.log(
      JSON.stringify({
        step: i,
        loss,
        liveGiB: gibibytes(live),
        arenaGiB: gibibytes(arena),
        regionsGiB: gibibytes(regions),
        processGiB: gibibytes(process.memoryUsage().rss),
        processPeakGiB: gibibytes(peak),
        seconds: Number(((performance.now() - started) / 1000).toFixed(2)),
      }),
    );
  }
} finally {
  await engine.close();
}
