// Following instructions: a GPT fine-tuned on a JSON list of { instruction, input, output } with the prompt masked from the loss.
// node examples/recipes/instructions.mjs --data FILE.json [--model DIR]        DIR: a pretrained folder to start from; without it a small model from scratch
import { BpeTokenizer, chrf, Engine, evaluateTexts, GPT, readRowFiles, SftDataset, splitExamples, Trainer } from 'ferroformer';
import { compare, keptRows, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({ data: undefined, model: '', maxSteps: 600, batchSize: 16, learningRate: 1e-3, vocabSize: 1500, seed: 42 });
const rows = await readRowFiles(flags.data, { format: 'jsonl' });
const { train: trainRows, validation } = splitExamples(rows, { evalFraction: 0.1, seed: flags.seed });

const engine = await Engine.start({ threads: flags.threads });
const blockSize = 256;
const size = { nLayer: 3, nHead: 4, nEmbd: 128, blockSize, dropout: 0.1 };
const model =
  flags.model === ''
    ? await GPT.create(engine, { ...size, tokenizer: await makeTokenizer(), seed: flags.seed })
    : await GPT.fromPretrained(engine, flags.model);
const { tokenizer } = model;
const options = { tokenizer, blockSize: Math.min(blockSize, model.blockSize), template: 'alpaca' };
const dataset = new SftDataset(trainRows, { ...options, packing: true });
const test = keptRows(validation, (some) => new SftDataset(some, options));
const testDataset = new SftDataset(test, options);
console.log(`${dataset.report.kept} of ${dataset.report.rows} rows fit`);
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, { dataset, evalDataset: testDataset, maxSteps, batchSize, learningRate, evalSteps: 100, seed });

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  const shape = { task: 'sft', model: { ...size, vocabSize: model.vocabSize }, trainer, train: dataset, test: testDataset };
  await dumpForTorch(flags.dump, { ...shape, ids: { eos: tokenizer.eosId }, maxNewTokens: 48 });
} else {
  const seconds = await train(trainer);
  const examples = test.map((row) => ({ prompt: dataset.template.promptIds(row, tokenizer), references: row.get('output') }));
  const { scores, predictions } = await evaluateTexts(model, examples, { metrics: ['chrf'], generation: { maxNewTokens: 48 } });
  const torch = torchResult(flags.torch);
  console.log(`${Math.round(seconds)} s`);
  for (const [i, row] of test.slice(0, 3).entries())
    console.log(`${row.get('instruction')} ${row.get('input')}\n→ ${predictions[i].prediction}`);
  const score = (texts) =>
    chrf(
      texts,
      test.map((row) => row.get('output')),
    ).score;
  // Most rows want their own words back with a few changed. A model from scratch has not learned to copy words; one that starts from a pretrained folder has.
  console.log(
    `chrF of copying what is to be worked on: ${score(test.map((row) => row.get('input') || row.get('instruction'))).toFixed(2)}`,
  );
  compare('chrF', {
    ours: scores.chrf,
    baseline: score(Array(test.length).fill(bestConstant())), // one answer to everything
    torch: torch && score(torch.predictions.map((ids) => tokenizer.decode(ids))),
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();

/** Of fifty training answers the one that would score best as the answer to all training rows. */
function bestConstant() {
  const answers = trainRows.map((row) => row.get('output'));
  const scores = answers.slice(0, 50).map((answer) => chrf(Array(answers.length).fill(answer), answers).score);
  return answers[scores.indexOf(Math.max(...scores))];
}

function makeTokenizer() {
  return BpeTokenizer.train(
    trainRows.flatMap((row) => [row.get('instruction'), row.get('input'), row.get('output')]),
    { vocabSize: flags.vocabSize },
  );
}
