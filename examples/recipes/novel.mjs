// Text generation: a character GPT learns to write like one text file, shows what it writes as it learns, and is saved where Python's transformers can read it.
// node examples/recipes/novel.mjs --data TEXT.txt [--out DIR]        the last tenth of the text is held out. The score is the probability of the right next character (geometric mean): 1 / perplexity
import { readFile } from 'node:fs/promises';
import { CharTokenizer, Engine, evaluateLoss, GPT, TextDataset, Trainer } from 'ferroformer';
import { compare, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({ data: undefined, maxSteps: 2200, batchSize: 12, learningRate: 3e-3, blockSize: 64, seed: 42 });
const text = await readFile(flags.data, 'utf8');
const tokenizer = CharTokenizer.fromText(text);
const { train: dataset, validation: evalDataset } = TextDataset.fromText(text, tokenizer).split();

const engine = await Engine.start({ threads: flags.threads });
const model = await GPT.create(engine, { preset: 'gpt-micro', blockSize: flags.blockSize, tokenizer, seed: flags.seed });
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, { dataset, evalDataset, maxSteps, batchSize, learningRate, seed });

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  await dumpForTorch(flags.dump, { task: 'lm', model: model.config, trainer, train: dataset, test: evalDataset, ids: {} });
} else {
  const sample = async (step) => (await model.generate(text.slice(0, 16), { maxNewTokens: 120, temperature: 0.8, seed: step })).text;
  const seconds = await train(trainer, { unit: 'tokens', sample });
  console.log(`${Math.round(seconds)} s`);
  const torch = torchResult(flags.torch);
  compare('probability of the right character', {
    ours: Math.exp(-(await evaluateLoss(model, evalDataset)).loss),
    baseline: Math.exp(-frequencyLoss(dataset, evalDataset)), // every character as often as in the training part
    torch: torch && Math.exp(-torch.evalLoss),
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();

/** Mean −log of the relative frequency in `seen` (one added to every count) of the ids of `read`, but for the first, which nothing predicts. */
function frequencyLoss(seen, read) {
  const ids = (dataset) => {
    const all = new Int32Array(dataset.length);
    dataset.copyTokens(0, all.length, all, 0);
    return all;
  };
  const counts = new Float64Array(tokenizer.vocabSize).fill(1);
  for (const id of ids(seen)) counts[id]++;
  const total = seen.length + counts.length;
  return ids(read)
    .subarray(1)
    .reduce((sum, id, _, { length }) => sum - Math.log(counts[id] / total) / length, 0);
}
