// Trains a character GPT on a text for several seeds and prints the loss over the whole validation part: the quality lines of docs/measurements.md.
// node scripts/measure-losses.mjs --data FILE [--steps 2000 --learning-rate 1e-3 --bias false --seeds 1,2,3 --threads 2 --simd auto]
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { CharTokenizer, Engine, GPT, TextDataset, Trainer } from '../dist/index.node.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    steps: { type: 'string', default: '2000' },
    'learning-rate': { type: 'string', default: '1e-3' },
    bias: { type: 'string', default: 'false' },
    seeds: { type: 'string', default: '1,2,3' },
    threads: { type: 'string', default: '2' },
    simd: { type: 'string', default: 'auto' },
  },
});
if (values.data === undefined) {
  console.error('usage: node scripts/measure-losses.mjs --data FILE [--steps N --learning-rate R --bias true|false --seeds 1,2,3]');
  process.exit(2);
}

const text = await readFile(values.data, 'utf8');
const tokenizer = CharTokenizer.fromText(text);
const dataset = TextDataset.fromText(text, tokenizer);
const losses = [];
for (const seed of values.seeds.split(',').map(Number)) {
  const engine = await Engine.start({ threads: Number(values.threads), simd: values.simd });
  const model = await GPT.create(engine, { preset: 'gpt-micro', blockSize: 64, bias: values.bias === 'true', tokenizer, seed });
  const trainer = new Trainer(model, {
    dataset,
    maxSteps: Number(values.steps),
    learningRate: Number(values['learning-rate']),
    seed,
    evalSteps: 0,
  });
  const { elapsedMs } = await trainer.train();
  const { loss, tokens } = await trainer.evaluate();
  losses.push(loss);
  console.log(
    JSON.stringify({
      seed,
      steps: Number(values.steps),
      evalLoss: loss,
      tokens,
      seconds: Math.round(elapsedMs / 1000),
      build: engine.info.build,
      threads: engine.info.threads,
    }),
  );
  await engine.close();
}
console.log(
  JSON.stringify({
    data: values.data.split(/[\\/]/).pop(),
    meanEvalLoss: losses.reduce((a, b) => a + b, 0) / losses.length,
    runtime: process.version,
  }),
);
