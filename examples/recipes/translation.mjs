// Translation: an encoder-decoder on a TSV of sentence pairs, scored by chrF.
// node examples/recipes/translation.mjs --data PAIRS.tsv        columns: source, target; further columns are passed over. Sentences are held out by their source
import { BpeTokenizer, chrf, Engine, readRowFiles, Seq2SeqDataset, splitExamples, Trainer, Transformer } from 'ferroformer';
import { compare, keptRows, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({
  data: undefined,
  columns: 'source,target',
  maxSteps: 1500,
  batchSize: 64,
  learningRate: 1e-3,
  vocabSize: 2000,
  seed: 42,
});
const rows = await readRowFiles(flags.data, { format: 'tsv', columns: flags.columns.split(',') });
const { train: trainRows, validation } = splitExamples(rows, { evalFraction: 0.1, seed: flags.seed, key: 'source' });

const tokenizer = await BpeTokenizer.train(
  trainRows.flatMap((row) => [row.get('source'), row.get('target')]),
  { vocabSize: flags.vocabSize },
);
const engine = await Engine.start({ threads: flags.threads });
const model = await Transformer.create(engine, {
  tokenizer,
  dModel: 192,
  nHead: 4,
  nLayer: 3,
  dropout: 0.2,
  shareEmbeddings: true,
  maxSourceLength: 64,
  maxTargetLength: 64,
  seed: flags.seed,
});
const { bosId, eosId } = model.config;
const options = { tokenizer, bosId, eosId, maxSourceLength: 64, maxTargetLength: 64 };
const dataset = new Seq2SeqDataset(trainRows, { ...options, groupByLength: true });
const test = keptRows(validation, (some) => new Seq2SeqDataset(some, options));
const targets = new Map(); // all right targets of a source
for (const row of test) targets.set(row.get('source'), [...(targets.get(row.get('source')) ?? []), row.get('target')]);
const [sources, references] = [[...targets.keys()], [...targets.values()]];
const testDataset = new Seq2SeqDataset(
  sources.map((source, i) => ({ source, target: references[i][0] })),
  options,
);
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, {
  dataset,
  evalDataset: testDataset,
  maxSteps,
  batchSize,
  learningRate,
  labelSmoothing: 0.1,
  evalSteps: 250,
  seed,
});

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  const shape = { task: 'seq2seq', model: model.config, trainer, train: dataset, test: testDataset };
  await dumpForTorch(flags.dump, { ...shape, ids: { bos: bosId, eos: eosId }, labelSmoothing: 0.1, maxNewTokens: 63 });
} else {
  const seconds = await train(trainer);
  const { sequences } = await model.generate(sources, { doSample: false, maxNewTokens: 63 });
  const score = (texts) => chrf(texts, references).score;
  const torch = torchResult(flags.torch);
  console.log(`${Math.round(seconds)} s`);
  for (const [i, source] of sources.slice(0, 5).entries()) console.log(`${source} → ${sequences[i].text}`);
  // The baseline copies the source.
  compare('chrF', {
    ours: score(sequences.map(({ text }) => text)),
    baseline: score(sources),
    torch: torch && score(torch.predictions.map((ids) => tokenizer.decode(ids))),
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();
