// This package on the peers' work, on one thread as they have in Node. Its step has AdamW's weight decay and clips gradients, which the others leave out.
import { assign, compile, Engine, GPT, matmul, Variable, VERSION } from '../../dist/index.node.js';
import { measure, numbers, SHAPE, tokens } from './workload.mjs';

const engine = await Engine.start({ threads: 1 });
const { layers, heads, width, context, rows, vocabulary } = SHAPE;

async function product(m, n, k) {
  const variable = (name, shape, data) =>
    new Variable({ name, shape, trainable: false, init: data ? { kind: 'data', data } : { kind: 'zeros' } });
  const [a, b, out] = [variable('a', [m, k], numbers(m * k)), variable('b', [k, n], numbers(k * n)), variable('out', [m, n])];
  await engine.host.allocate([a, b, out], { seed: 1 });
  const handle = await engine.host.load(compile({ name: 'product', outputs: {}, effects: [assign(out, matmul(a, b))] }));
  return () => engine.host.run({ handle });
}

async function step() {
  const model = await GPT.create(engine, {
    nLayer: layers,
    nHead: heads,
    nEmbd: width,
    blockSize: context,
    vocabSize: vocabulary,
    seed: 1,
  });
  const train = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-3 } });
  const ids = tokens(rows * (context + 1));
  const pick = (offset) =>
    Int32Array.from({ length: rows * context }, (_, i) => ids[Math.floor(i / context) * (context + 1) + (i % context) + offset]);
  const shape = [rows, context];
  return async () => (await train({ inputIds: { data: pick(0), shape }, labels: { data: pick(1), shape } })).loss;
}

const { build, vectorBits, registerTile } = engine.info;
await measure({
  name: 'ferroformer',
  version: VERSION,
  note: `${build}, ${vectorBits}-bit vectors, tile ${registerTile}, one thread`,
  product,
  step,
});
await engine.close();
