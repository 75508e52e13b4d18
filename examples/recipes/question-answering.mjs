// Answers to questions about a passage (bAbI's format): a GPT that reads passage and question and writes the answer.
// node examples/recipes/question-answering.mjs --data qa1.train.txt --test qa1.test.txt
import { BpeTokenizer, Engine, evaluateTexts, GPT, readRowFiles, SftDataset, Trainer } from 'ferroformer';
import { compare, keptRows, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({ data: undefined, test: undefined, maxSteps: 1500, batchSize: 32, learningRate: 1e-3, seed: 42 });
const rows = await readRowFiles(flags.data, { format: 'babi' });
const testRows = await readRowFiles(flags.test, { format: 'babi' });
const template = '{passage}\n{question} {answer}';

const tokenizer = await BpeTokenizer.train(
  rows.map((row) => `${row.get('passage')}\n${row.get('question')} ${row.get('answer')}`),
  { vocabSize: 400 },
);
const blockSize = 128;
const engine = await Engine.start({ threads: flags.threads });
const size = { nLayer: 2, nHead: 4, nEmbd: 128, blockSize, dropout: 0.1 };
const model = await GPT.create(engine, { ...size, tokenizer, seed: flags.seed });
const options = { tokenizer, blockSize, template };
const dataset = new SftDataset(rows, { ...options, groupByLength: true });
const test = keptRows(testRows, (some) => new SftDataset(some, options));
const testDataset = new SftDataset(test, options);
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, { dataset, evalDataset: testDataset, maxSteps, batchSize, learningRate, evalSteps: 250, seed });

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  const shape = { task: 'sft', model: { ...size, vocabSize: model.vocabSize }, trainer, train: dataset, test: testDataset };
  await dumpForTorch(flags.dump, { ...shape, ids: { eos: tokenizer.eosId }, maxNewTokens: 8 });
} else {
  const seconds = await train(trainer);
  const examples = test.map((row) => ({ prompt: dataset.template.promptIds(row, tokenizer), references: row.get('answer') }));
  const { scores } = await evaluateTexts(model, examples, { metrics: ['exact_match'], generation: { maxNewTokens: 8 } });
  const answers = test.map((row) => row.get('answer'));
  const share = (texts) => texts.filter((text, i) => text.trim() === answers[i]).length / answers.length;
  const most = [...new Set(answers)].sort((a, b) => answers.filter((x) => x === b).length - answers.filter((x) => x === a).length)[0];
  const torch = torchResult(flags.torch);
  console.log(`${Math.round(seconds)} s`);
  // The baseline gives the most frequent answer to every question.
  compare('exact match', {
    ours: scores.exactMatch,
    baseline: share(answers.map(() => most)),
    torch: torch && share(torch.predictions.map((ids) => tokenizer.decode(ids))),
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();
