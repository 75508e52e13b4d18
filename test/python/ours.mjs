// The library's side of test_transformers.py, on the built package. Prints one JSON object.
//   node ours.mjs create FOLDER OPTIONS-JSON     makes a model (char tokenizer), trains it a little, saves it; options.save goes to model.save
//   node ours.mjs adapter FOLDER OPTIONS-JSON    makes a model (FOLDER/base), trains an adapter (options.adapter) on it (FOLDER/adapter), exports both as one (FOLDER/merged)
//   node ours.mjs classified FOLDER IDS-JSON      probabilities of each row of ids by the classifier in FOLDER/base with FOLDER/adapter, which is written again (FOLDER/again)
//   node ours.mjs adapted FOLDER IDS-JSON        logits of FOLDER/base with FOLDER/adapter, which is written again (FOLDER/again)
//   node ours.mjs seq2seq FOLDER OPTIONS-JSON    makes a sequence-to-sequence model (options.options), trains it a little, saves it (options.save), loads it again: logits, greedy target
//   node ours.mjs logits FOLDER IDS-JSON         logits of a batch of ids, and the greedy continuation of its first row
import { CharTokenizer, Engine, exportModel, GPT, SequenceClassifier, TextDataset, Trainer, Transformer } from '../../dist/index.node.js';

export const TEXT = Array.from({ length: 150 }, (_, i) => `Call me ${i % 13}; the sea is ${i % 7} – “deep” 🐋.\n`).join('');

async function create(engine, folder, { save, ...options }) {
  const tokenizer = CharTokenizer.fromText(TEXT);
  const model = await GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 32, blockSize: 24, tokenizer, seed: 3, ...options });
  await new Trainer(model, { dataset: TextDataset.fromText(TEXT, tokenizer), maxSteps: 15, batchSize: 4, learningRate: 5e-3 }).train();
  await model.save(folder, save);
  const sample = TEXT.slice(0, 60);
  return { text: sample, ids: Array.from(tokenizer.encode(sample)), vocabSize: model.config.vocabSize };
}

async function adapter(engine, folder, { adapter: options, ...sizes }) {
  const { ids } = await create(engine, `${folder}/base`, sizes);
  const model = await GPT.fromPretrained(engine, `${folder}/base`);
  const { parts } = await model.addAdapter(options);
  const dataset = TextDataset.fromText(TEXT, model.tokenizer);
  await new Trainer(model, { dataset, maxSteps: 30, batchSize: 4, learningRate: 2e-2 }).train();
  await model.saveAdapter(`${folder}/adapter`);
  await exportModel(`${folder}/base`, `${folder}/merged`, { mergeAdapter: `${folder}/adapter` });
  const row = ids.slice(0, 20);
  const { data } = await model.bound.forward({ data: Int32Array.from(row), shape: [1, row.length] });
  return { ids: row, logits: Array.from(data), targets: parts.targetModules };
}

async function adapted(engine, folder, ids) {
  const model = await GPT.fromPretrained(engine, `${folder}/base`);
  await model.loadAdapter(`${folder}/adapter`);
  await model.saveAdapter(`${folder}/again`);
  const { data } = await model.bound.forward({ data: Int32Array.from(ids.flat()), shape: [ids.length, ids[0].length] });
  return { logits: Array.from(data) };
}

async function seq2seq(engine, folder, { options, save }) {
  const tokenizer = CharTokenizer.fromText('abcdefgh');
  const made = await Transformer.create(engine, {
    tokenizer,
    nLayer: 2,
    nHead: 2,
    dModel: 32,
    maxSourceLength: 12,
    maxTargetLength: 14,
    seed: 3,
    ...options,
  });
  const { bosId, eosId } = made.config;
  const [source, target] = ['abcdefgh', 'hgfed'].map((text) => Array.from(tokenizer.encode(text)));
  const tensor = (data) => ({ data: Int32Array.from(data), shape: [1, data.length] });
  const batch = { inputIds: tensor(source), decoderInputIds: tensor([bosId, ...target]), labels: tensor([...target, eosId]) };
  const step = engine.trainStep(made, { loss: made.loss, optimizer: { learningRate: 3e-3 } });
  for (let t = 0; t < 8; t++) await step(batch);
  await made.save(folder, save);
  const model = await Transformer.fromPretrained(engine, folder);
  const { data } = await model.bound.forward({ inputIds: batch.inputIds, decoderInputIds: batch.decoderInputIds });
  const { ids } = await model.generate(source, { doSample: false, maxNewTokens: 8 });
  return { source, target: [bosId, ...target], logits: Array.from(data), greedy: ids };
}

async function classified(engine, folder, ids) {
  const model = await SequenceClassifier.fromPretrained(engine, `${folder}/base`);
  await model.loadAdapter(`${folder}/adapter`);
  await model.saveAdapter(`${folder}/again`);
  const found = await model.classify(ids);
  return { probabilities: found.map(({ probabilities }) => Object.values(probabilities)) };
}

async function logits(engine, folder, ids) {
  const model = await GPT.fromPretrained(engine, folder);
  const { data, shape } = await model.bound.forward({ data: Int32Array.from(ids.flat()), shape: [ids.length, ids[0].length] });
  const greedy = await model.generate(ids[0], { maxNewTokens: 6, temperature: 0 });
  const parameters = {};
  for (const [name, parameter] of model.parameters) parameters[name] = Array.from((await parameter.data()).slice(0, 4));
  return { logits: Array.from(data), shape: shape.map(Number), greedy: greedy.ids, parameters };
}

const [what, folder, json] = process.argv.slice(2);
const engine = await Engine.start({ threads: 1, simd: 'portable' });
try {
  const work = { create, logits, adapter, adapted, classified, seq2seq }[what];
  console.log(JSON.stringify(await work(engine, folder, JSON.parse(json))));
} finally {
  await engine.close();
}
