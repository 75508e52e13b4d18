// Sentiment of sentences, from scratch: a small GPT trunk whose outputs are averaged, and a classifier on it.
// node examples/recipes/sentiment.mjs --data TRAIN.tsv [--test TEST.tsv]        columns: sentence, label. A tenth of TRAIN is kept to choose settings by; without TEST it is what is scored
import {
  BpeTokenizer,
  ClassificationDataset,
  Engine,
  evaluateClassification,
  readRowFiles,
  SequenceClassifier,
  splitExamples,
  Trainer,
} from 'ferroformer';
import { compare, keptRows, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({
  data: undefined,
  test: '',
  maxSteps: 700,
  batchSize: 32,
  learningRate: 1e-3,
  vocabSize: 4000,
  nLayer: 1,
  nEmbd: 128,
  dropout: 0.4,
  weightDecay: 0.1,
  seed: 42,
});
const read = (path) => readRowFiles(path, { format: 'tsv', defaultColumns: ['sentence', 'label'] });
const { train: rows, validation } = splitExamples(await read(flags.data), { evalFraction: 0.1 });
const testRows = flags.test === '' ? validation : await read(flags.test);

const tokenizer = await BpeTokenizer.train(
  rows.map((row) => row.get('sentence')),
  { vocabSize: flags.vocabSize },
);
const blockSize = 64;
const options = { tokenizer, blockSize, overflow: 'truncate' };
const dataset = new ClassificationDataset(rows, { ...options, groupByLength: true });
const { labels } = dataset;
const evalDataset = new ClassificationDataset(validation, { ...options, labels });
const test = keptRows(testRows, (some) => new ClassificationDataset(some, { ...options, labels }));
const testDataset = new ClassificationDataset(test, { ...options, labels });

const engine = await Engine.start({ threads: flags.threads });
const size = { nLayer: flags.nLayer, nHead: 4, nEmbd: flags.nEmbd, blockSize, dropout: flags.dropout };
const model = await SequenceClassifier.create(engine, { ...size, labels, pooling: 'mean', tokenizer, seed: flags.seed });
const trainer = new Trainer(model, {
  dataset,
  evalDataset,
  maxSteps: flags.maxSteps,
  batchSize: flags.batchSize,
  learningRate: flags.learningRate,
  weightDecay: flags.weightDecay,
  evalSteps: 100,
  seed: flags.seed,
});

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  await dumpForTorch(flags.dump, {
    task: 'classify',
    model: { ...size, vocabSize: tokenizer.vocabSize },
    trainer,
    train: dataset,
    test: testDataset,
    weightDecay: flags.weightDecay,
    numLabels: labels.length,
    pooling: 'mean',
    ids: {},
  });
} else {
  const seconds = await train(trainer);
  const scores = await evaluateClassification(model, testDataset);
  const counts = labels.map((label) => test.filter((row) => row.get('label') === label).length);
  const torch = torchResult(flags.torch);
  const right = test.map((row) => labels.indexOf(row.get('label')));
  console.log(`${Math.round(seconds)} s; macro F1 ${scores.macro.f1.toFixed(4)}`);
  compare('accuracy', {
    ours: scores.accuracy,
    baseline: Math.max(...counts) / test.length, // the more frequent label for all
    torch: torch && torch.predictions.filter((label, i) => label === right[i]).length / test.length,
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();
