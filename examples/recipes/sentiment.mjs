// Sentiment of sentences, from scratch: an encoder reads the sentence, a decoder looks back at it and writes the label. Several models that differ in their seed decide together.
// node examples/recipes/sentiment.mjs --data TRAIN.tsv [--test TEST.tsv]        columns: sentence, label. Without TEST a tenth of TRAIN is kept to choose settings by, and is what is scored
import { BpeTokenizer, CharTokenizer, Engine, readRowFiles, Seq2SeqDataset, splitExamples, Trainer, Transformer } from 'ferroformer';
import { compare, mostFrequent, readFlags, torchResult, train } from './flags.mjs';

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
const sources = test.map(({ source }) => tokenizer.encode(source).subarray(0, maxSourceLength));
const runs = []; // of each model, row and label: its log-probability
let data; // the same for all models
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
  data ??= { dataset: new Seq2SeqDataset(examples, options), evalDataset: new Seq2SeqDataset(test, options) };
  const { maxSteps, batchSize, learningRate } = flags;
  const trainer = new Trainer(model, { ...data, maxSteps, batchSize, learningRate, evalSteps: maxSteps, seed });
  if (flags.dump !== '') {
    const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
    const shape = { task: 'seq2seq', model: model.config, trainer, train: data.dataset, test: data.evalDataset };
    await dumpForTorch(`${flags.dump}/${number}`, { ...shape, ids: { bos: bosId, eos: eosId }, choices });
  } else {
    seconds += await train(trainer);
    // Besides the labels' letters a target has one more token, its end.
    const { sequences } = await model.generate(sources, { maxNewTokens: 1, doSample: false, topLogProbs: labels.length + 1 });
    runs.push(sequences.map(({ topLogProbs: [first] }) => choices.map((choice) => first.find(({ id }) => id === choice).logProb)));
    if (flags.out !== '') await model.save(`${flags.out}/${number}`);
  }
  await model.close();
}

if (flags.dump === '') {
  const right = test.map(({ target }) => choices.indexOf(targetTokenizer.encode(target)[0]));
  const share = (chosen) => chosen.filter((label, i) => label === right[i]).length / right.length;
  /** Of models together: for each row the label with the largest sum. */
  const accuracy = (models) =>
    share(
      right.map((_, row) => {
        const sums = choices.map((_, label) => models.reduce((sum, rows) => sum + rows[row][label], 0));
        return sums.indexOf(Math.max(...sums));
      }),
    );
  const torch = flags.torch === '' ? [] : runs.map((_, i) => torchResult(`${flags.torch}/${i + 1}`)?.choices);
  console.log(`${Math.round(seconds)} s for ${flags.models} models`);
  compare('accuracy', {
    ours: accuracy(runs),
    baseline: share(right.map(() => mostFrequent(right))), // the more frequent label for all
    torch: torch.length > 0 && torch.every(Boolean) ? accuracy(torch) : undefined,
  });
}
await engine.close();
