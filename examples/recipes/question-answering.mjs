// Answers to questions about a passage (bAbI's format): an encoder-decoder reads the question and the passage's sentences, the newest first, and writes the answer.
// A sentence is one position, given by which words it has (as in memory networks, Sukhbaatar et al. 2015): a thousand questions are too few to learn from single
// words which name belongs to which place (docs/log.md has what that reached).
// node examples/recipes/question-answering.mjs --data qa1.train.txt --test qa1.test.txt
import { BpeTokenizer, Engine, evaluateTexts, readRowFiles, Trainer, Transformer } from 'ferroformer';
import { compare, mostFrequent, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({ data: undefined, test: undefined, maxSteps: 1500, batchSize: 32, learningRate: 1e-3, seed: 42 });
const rows = await readRowFiles(flags.data, { format: 'babi' });
const testRows = await readRowFiles(flags.test, { format: 'babi' });

const MOST_SENTENCES = 64;
const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];
const vocabulary = [...new Set(rows.flatMap((row) => wordsOf(`${row.get('question')} ${row.get('passage')}`)))].sort();
const numberOf = new Map(vocabulary.map((word, i) => [word, i]));
const width = vocabulary.length;

const sentencesOf = (row) => row.get('passage').match(/[^.!?]+[.!?]*/g) ?? [];
const cut = [...rows, ...testRows].filter((row) => sentencesOf(row).length > MOST_SENTENCES).length;
if (cut > 0) console.log(`${cut} of ${rows.length + testRows.length} passages are read from their last ${MOST_SENTENCES} sentences`);

/** What the model reads for a row: f32 [sentences, words], 1 where a sentence has a word; words that training did not have are left out. */
function featuresOf(row) {
  const sentences = [row.get('question'), ...sentencesOf(row).slice(-MOST_SENTENCES).reverse()];
  const data = new Float32Array(sentences.length * width);
  for (const [i, sentence] of sentences.entries())
    for (const word of wordsOf(sentence)) if (numberOf.has(word)) data[i * width + numberOf.get(word)] = 1;
  return { data, shape: [sentences.length, width] };
}

const answers = rows.map((row) => row.get('answer'));
const targetTokenizer = await BpeTokenizer.train(answers, { vocabSize: 1000 });
const sources = rows.map(featuresOf);
const testSources = testRows.map(featuresOf);
const targets = answers.map((answer) => targetTokenizer.encode(answer));
const testTargets = testRows.map((row) => targetTokenizer.encode(row.get('answer')));
const longest = (lists, length) => lists.reduce((most, list) => Math.max(most, length(list)), 0);
const maxSourceLength = longest([...sources, ...testSources], ({ shape }) => shape[0]);
const maxTargetLength = 1 + longest([...targets, ...testTargets], ({ length }) => length);

const engine = await Engine.start({ threads: flags.threads });
const model = await Transformer.create(engine, {
  inputKind: 'features',
  inputDim: width,
  targetTokenizer,
  dModel: 64,
  nHead: 4,
  nLayer: 1,
  dropout: 0.1,
  positionEmbedding: 'learned',
  maxSourceLength,
  maxTargetLength,
  seed: flags.seed,
});

/** Sources and targets as a data set: any object with a length and batches is one. */
function makeDataset(inputs, outputs) {
  const { bosId, eosId, outputDim } = model.config;
  return {
    length: inputs.length,
    vocabSize: outputDim,
    batch(indices) {
      const [B, S, T] = [indices.length, maxSourceLength, maxTargetLength];
      const batch = {
        inputFeatures: { data: new Float32Array(B * S * width), shape: [B, S, width] },
        inputMask: { data: new Int32Array(B * S), shape: [B, S] },
        decoderInputIds: { data: new Int32Array(B * T), shape: [B, T] },
        labels: { data: new Int32Array(B * T).fill(-100), shape: [B, T] },
      };
      for (const [b, index] of indices.entries()) {
        batch.inputFeatures.data.set(inputs[index].data, b * S * width);
        batch.inputMask.data.fill(1, b * S, b * S + inputs[index].shape[0]);
        batch.decoderInputIds.data.set([bosId, ...outputs[index]], b * T);
        batch.labels.data.set([...outputs[index], eosId], b * T);
      }
      return batch;
    },
  };
}
const dataset = makeDataset(sources, targets);
const testDataset = makeDataset(testSources, testTargets);
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, { dataset, evalDataset: testDataset, maxSteps, batchSize, learningRate, evalSteps: 250, seed });

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  const ids = { bos: model.config.bosId, eos: model.config.eosId };
  await dumpForTorch(flags.dump, {
    task: 'seq2seq',
    model: model.config,
    trainer,
    train: dataset,
    test: testDataset,
    ids,
    maxNewTokens: maxTargetLength - 1,
  });
} else {
  const seconds = await train(trainer);
  const examples = testRows.map((row, i) => ({ prompt: testSources[i], references: row.get('answer') }));
  const { scores } = await evaluateTexts(model, examples, { metrics: ['exact_match'], generation: { maxNewTokens: maxTargetLength } });
  const right = testRows.map((row) => row.get('answer'));
  const share = (texts) => texts.filter((text, i) => text.trim() === right[i]).length / right.length;
  const torch = torchResult(flags.torch);
  console.log(`${Math.round(seconds)} s`);
  compare('exact match', {
    ours: scores.exactMatch,
    baseline: share(right.map(() => mostFrequent(answers))), // the most frequent answer to every question
    torch: torch && share(torch.predictions.map((ids) => targetTokenizer.decode(ids))),
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();
