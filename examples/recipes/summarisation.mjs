// Summaries: an encoder-decoder that reads a report and writes its one piece of news. On a TSV of your own, or on reports made here, of which the right summary is known.
// node examples/recipes/summarisation.mjs [--data PAIRS.tsv]        columns: source, target; scored by ROUGE
import { BpeTokenizer, Engine, readRowFiles, rouge, Seq2SeqDataset, splitExamples, Trainer, Transformer } from 'ferroformer';
import { compare, keptRows, readFlags, torchResult, train } from './flags.mjs';
import { makeReports } from './reports.mjs';

const flags = readFlags({
  data: '',
  rows: 6000,
  testRows: 500,
  maxSteps: 2000,
  batchSize: 32,
  learningRate: 1e-3,
  vocabSize: 1000,
  seed: 42,
});
const rows =
  flags.data === ''
    ? makeReports(flags.rows, flags.seed)
    : await readRowFiles(flags.data, { format: 'tsv', defaultColumns: ['source', 'target'] });
const { train: trainRows, validation } = splitExamples(rows, { evalFraction: 0.1, seed: flags.seed, key: 'source' });

const tokenizer = await BpeTokenizer.train(
  trainRows.flatMap((row) => [row.get('source'), row.get('target')]),
  { vocabSize: flags.vocabSize },
);
const engine = await Engine.start({ threads: flags.threads });
const lengths = { maxSourceLength: 192, maxTargetLength: 48 };
const size = { dModel: 128, nHead: 4, nLayer: 2, dropout: 0.1, shareEmbeddings: true, ...lengths };
const model = await Transformer.create(engine, { ...size, tokenizer, seed: flags.seed });
const { bosId, eosId } = model.config;
const options = { tokenizer, bosId, eosId, overflow: 'truncate', ...lengths };
const dataset = new Seq2SeqDataset(trainRows, { ...options, groupByLength: true });
const test = keptRows(validation.slice(0, flags.testRows), (some) => new Seq2SeqDataset(some, options));
const references = test.map((row) => row.get('target'));
const testDataset = new Seq2SeqDataset(test, options);
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, { dataset, evalDataset: testDataset, maxSteps, batchSize, learningRate, evalSteps: 250, seed });

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  const shape = { task: 'seq2seq', model: model.config, trainer, train: dataset, test: testDataset };
  await dumpForTorch(flags.dump, { ...shape, ids: { bos: bosId, eos: eosId }, maxNewTokens: 47 });
} else {
  const seconds = await train(trainer);
  const { sequences } = await model.generate(
    test.map((row) => tokenizer.encode(row.get('source')).subarray(0, lengths.maxSourceLength)),
    { doSample: false, maxNewTokens: 47 },
  );
  const score = (texts) => rouge(texts, references).rougeL.fmeasure;
  const torch = torchResult(flags.torch);
  console.log(`${Math.round(seconds)} s`);
  for (const [i, row] of test.slice(0, 3).entries()) console.log(`${row.get('source')}\n→ ${sequences[i].text}`);
  compare('ROUGE-L', {
    ours: score(sequences.map(({ text }) => text)),
    baseline: score(test.map((row) => row.get('source').split(/(?<=[.!?]) /)[0])), // the first sentence
    torch: torch && score(torch.predictions.map((ids) => tokenizer.decode(ids))),
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();
