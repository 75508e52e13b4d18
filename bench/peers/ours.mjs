// This package on the peers' work, on one thread as they have in Node. Its step has AdamW's weight decay and clips gradients, which the others leave out.
import { assign, compile, Engine, GPT, matmul, Variable, VERSION } from '../../dist/index.node.js';
import { gptOptions } from '../../scripts/bench/sizes.mjs';
import { batchOf } from '../../scripts/bench/workload.mjs';
import { measure, numbers, SHAPE, tokens } from './workload.mjs';

const engine = await Engine.start({ threads: 1 });

async function product(m, n, k) {
  const variable = (name, shape, data) =>
    new Variable({ name, shape, trainable: false, init: data ? { kind: 'data', data } : { kind: 'zeros' } });
  const [a, b, out] = [variable('a', [m, k], numbers(m * k)), variable('b', [k, n], numbers(k * n)), variable('out', [m, n])];
  await engine.host.allocate([a, b, out], { seed: 1 });
  const handle = await engine.host.load(compile({ name: 'product', outputs: {}, effects: [assign(out, matmul(a, b))] }));
  return () => engine.host.run({ handle });
}

async function step() {
  const model = await GPT.create(engine, { ...gptOptions(SHAPE), seed: 1 });
  const train = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-3 } });
  const ids = tokens(SHAPE.rows * (SHAPE.context + 1));
  return async () => (await train(batchOf(ids, 0, SHAPE))).loss;
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
