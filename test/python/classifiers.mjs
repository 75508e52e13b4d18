// The library's side of test_classifiers.py, on the built package. Prints one JSON object.
//   node classifiers.mjs create FOLDER OPTIONS-JSON    makes a classifier (characters and a padding token), trains it a little, saves it
//   node classifiers.mjs logits FOLDER IDS-JSON        logits of sequences of different lengths, padded here; and the labels
//   node classifiers.mjs tokens FOLDER OUT-JSON        opens a language model, adds tokens, saves it to OUT; ids of a text with them, and logits
import { ByteTokenizer, CharTokenizer, Engine, GPT, SequenceClassifier, Trainer } from '../../dist/index.node.js';

const PAD = '<|pad|>';

const batchOf = (sequences) => {
  const time = Math.max(...sequences.map((ids) => ids.length));
  const inputIds = new Int32Array(sequences.length * time);
  for (const [row, ids] of sequences.entries()) inputIds.set(ids, row * time);
  return {
    inputIds: { data: inputIds, shape: [sequences.length, time] },
    lengths: { data: Int32Array.from(sequences, (ids) => ids.length), shape: [sequences.length] },
  };
};

async function create(engine, folder, { save, ...options }) {
  const tokenizer = new CharTokenizer([...'0123456789 '], [PAD], { padId: 11 });
  const shape = { nLayer: 2, nHead: 2, nEmbd: 32, blockSize: 24, tokenizer, labels: ['odd', 'even', 'zero'] };
  const model = await SequenceClassifier.create(engine, { ...shape, seed: 3, ...options });
  const rows = Array.from({ length: 60 }, (_, i) => tokenizer.encode(String(i * 37)));
  const dataset = {
    length: rows.length,
    batch: (indices) => ({
      ...batchOf(indices.map((i) => rows[i])),
      labels: { data: Int32Array.from(indices, (i) => i % 3), shape: [indices.length] },
    }),
  };
  await new Trainer(model, { dataset, evalDataset: null, maxSteps: 15, batchSize: 4, learningRate: 5e-3 }).train();
  await model.save(folder, save);
  const texts = ['1', '2026', '11 26', '0 0 0 0 0 0'];
  const results = await model.classify(texts);
  return { texts, ids: texts.map((text) => Array.from(tokenizer.encode(text))), padId: tokenizer.padId, results };
}

async function logits(engine, folder, sequences) {
  const model = await SequenceClassifier.fromPretrained(engine, folder);
  const { data, shape } = await model.bound.forward(batchOf(sequences));
  return { logits: Array.from(data), shape: shape.map(Number), labels: model.labels };
}

async function tokens(engine, folder, out) {
  const model = await GPT.fromPretrained(engine, folder, { tokenizer: new ByteTokenizer() });
  const { ids } = await model.addTokens(['<|task:summary|>', PAD], { padToken: PAD });
  await model.save(out);
  const text = '<|task:summary|>The sea.';
  const encoded = model.tokenizer.encode(text, { allowSpecial: true });
  const { data } = await model.bound.forward({ data: encoded, shape: [1, encoded.length] });
  return { text, added: ids, ids: Array.from(encoded), logits: Array.from(data), vocabSize: model.config.vocabSize };
}

const [what, folder, json] = process.argv.slice(2);
const engine = await Engine.start({ threads: 1, simd: 'portable' });
try {
  console.log(JSON.stringify(await { create, logits, tokens }[what](engine, folder, JSON.parse(json))));
} finally {
  await engine.close();
}
