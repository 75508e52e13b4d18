// Sentiment of sentences, from scratch: an encoder reads the sentence, a decoder looks back at it and writes the label. Several models that differ in their seed decide together.
// node examples/recipes/sentiment.mjs --data TRAIN.tsv [--test TEST.tsv]        columns: sentence, label. Without TEST a tenth of TRAIN is kept to choose settings by, and is what is scored
import { BpeTokenizer, CharTokenizer, Engine, readRowFiles, Seq2SeqDataset, splitExamples, Trainer, Transformer } from 'ferroformer';
import { compare, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({
  data: undefined,
  test: '',
  models: 5,
  maxSteps: 500,
  batchSize: 32,
  learningRate: 1e-3,
  vocabSize: 12_000,
  dModel: 128,
  nLayer: 1,
  dropout: 0.5,
  seed: 42,
});
const read = (path) => readRowFiles(path, { format: 'tsv', defaultColumns: ['sentence', 'label'] });
const parts = splitExamples(await read(flags.data), { evalFraction: 0.1 });
const trainRows = flags.test === '' ? parts.train : [...parts.train, ...parts.validation];
const testRows = flags.test === '' ? parts.validation : await read(flags.test);

const labels = [...new Set(trainRows.map((row) => row.get('label')))].sort();
const letterOf = (label) => String.fromCodePoint(0x61 + labels.indexOf(label)); // one letter, one token, for each label
// A blank in front: with BPE the first word of a sentence is else another token than the same word further on.
const pairs = (rows) => rows.map((row) => ({ source: ` ${row.get('sentence')}`, target: letterOf(row.get('label')) }));
const [examples, test] = [pairs(trainRows), pairs(testRows)];
const tokenizer = await BpeTokenizer.train(
  examples.map(({ source }) => source),
  { vocabSize: flags.vocabSize },
);
const targetTokenizer = CharTokenizer.fromText(labels.map(letterOf).join(''));
const choices = labels.map((label) => targetTokenizer.encode(letterOf(label))[0]);
const maxSourceLength = 64;

const engine = await Engine.start({ threads: flags.threads });
const sums = test.map(() => labels.map(() => 0)); // of each row and label: log-probabilities of all models
const torchSums = test.map(() => labels.map(() => 0));
let torchRuns = 0;
let seconds = 0;
for (let number = 1; number <= flags.models; number++) {
  const seed = flags.seed + number - 1;
  const model = await Transformer.create(engine, {
    tokenizer,
    targetTokenizer,
    dModel: flags.dModel,
    nHead: 4,
    nLayer: flags.nLayer,
    dropout: flags.dropout,
    positionEmbedding: 'learned',
    maxSourceLength,
    maxTargetLength: 8,
    seed,
  });
  const { bosId, eosId } = model.config;
  const options = { tokenizer, targetTokenizer, bosId, eosId, maxSourceLength, overflow: 'truncate' };
  const dataset = new Seq2SeqDataset(examples, options);
  const evalDataset = new Seq2SeqDataset(test, options);
  const { maxSteps, batchSize, learningRate } = flags;
  const trainer = new Trainer(model, { dataset, evalDataset, maxSteps, batchSize, learningRate, evalSteps: maxSteps, seed });
  if (flags.dump !== '') {
    const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
    const shape = { task: 'seq2seq', model: model.config, trainer, train: dataset, test: evalDataset };
    await dumpForTorch(`${flags.dump}/${number}`, { ...shape, ids: { bos: bosId, eos: eosId }, choices, maxNewTokens: 1 });
  } else {
    seconds += await train(trainer);
    const sources = test.map(({ source }) => tokenizer.encode(source).subarray(0, maxSourceLength));
    const { sequences } = await model.generate(sources, { maxNewTokens: 1, doSample: false, topLogProbs: Math.min(20, labels.length + 1) });
    for (const [row, { topLogProbs }] of sequences.entries())
      for (const { id, logProb } of topLogProbs[0]) if (choices.includes(id)) sums[row][choices.indexOf(id)] += logProb;
    const torch = torchResult(`${flags.torch}/${number}`);
    torch?.choices.forEach((logProbs, row) => {
      for (const [i, logProb] of logProbs.entries()) torchSums[row][i] += logProb;
    });
    torchRuns += torch === undefined ? 0 : 1;
    if (flags.out !== '') await model.save(`${flags.out}/${number}`);
  }
  await model.close();
}

if (flags.dump === '') {
  const accuracy = (rows) =>
    rows.filter((row, i) => letterOf(labels[row.indexOf(Math.max(...row))]) === test[i].target).length / test.length;
  const counts = labels.map((label) => test.filter(({ target }) => target === letterOf(label)).length);
  console.log(`${Math.round(seconds)} s for ${flags.models} models`);
  compare('accuracy', {
    ours: accuracy(sums),
    baseline: Math.max(...counts) / test.length, // the more frequent label for all
    torch: torchRuns === flags.models ? accuracy(torchSums) : undefined,
  });
}
await engine.close();
