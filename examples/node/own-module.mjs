// A module of one's own in a loop of one's own: a bigram model that learns which character follows which, and says what it has learned.
// node examples/node/own-module.mjs [STEPS]        (inside this repository: after `npm run build`)
import { CharTokenizer, countLabels, crossEntropy, Engine, embedding, Module, normal, Variable } from 'ferroformer';

class Bigram extends Module {
  constructor(vocabSize) {
    super();
    this.table = new Variable({ name: 'table', shape: [vocabSize, vocabSize], init: normal(0.02) });
  }
  forward(ids) {
    return embedding(this.table.tensor, ids); // a character's row is the logits of the next one
  }
}

const text = 'she sells sea shells on the sea shore. '.repeat(20);
const tokenizer = CharTokenizer.fromText(text);
const ids = tokenizer.encode(text);
const engine = await Engine.start({ threads: 1 });
const model = await engine.bind(new Bigram(tokenizer.vocabSize), { seed: 1 });
const step = engine.trainStep(model, {
  loss: (module, { inputs, labels }) => ({ sum: crossEntropy(module.forward(inputs), labels).loss, count: countLabels(labels) }),
  optimizer: { learningRate: 0.1, weightDecay: 0 },
});

const shape = [1, ids.length - 1];
const batch = { inputs: { data: ids.slice(0, -1), shape }, labels: { data: ids.slice(1), shape } };
const steps = Number(process.argv[2] ?? 100);
for (let t = 1; t <= steps; t++) {
  const { loss } = await step(batch);
  if (t === 1 || t % 20 === 0) console.log(`step ${t}: loss ${loss.toFixed(4)}`);
}

const { data } = await model.forward({
  data: Int32Array.from({ length: tokenizer.vocabSize }, (_, id) => id),
  shape: [1, tokenizer.vocabSize],
});
for (let id = 0; id < tokenizer.vocabSize; id++) {
  const row = data.subarray(id * tokenizer.vocabSize, (id + 1) * tokenizer.vocabSize);
  const next = row.indexOf(Math.max(...row));
  console.log(`after ${JSON.stringify(tokenizer.decode([id]))} most often ${JSON.stringify(tokenizer.decode([next]))}`);
}
await engine.close();
