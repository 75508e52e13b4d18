// jax-js with its WebAssembly backend (one thread in Node: it makes threads with the browser's Worker). The training step is jitted and written with its own
// operations; plain Adam in the same jitted function, no weight decay, no clipping, which is less work than ours. Arrays are consumed by what uses
// them; `.ref` keeps one for another use.
import { defaultDevice, init, jit, nn, numpy as np, valueAndGrad } from '@jax-js/jax';
import { measure, numbers, parameters, SHAPE, tokens } from './workload.mjs';

await init('wasm');
defaultDevice('wasm');
const { layers, heads, width, context, rows, vocabulary } = SHAPE;

const float = (data, shape) => np.array(data).reshape(shape);

async function product(m, n, k) {
  const a = float(numbers(m * k), [m, k]);
  const b = float(numbers(k * n), [k, n]);
  const multiply = jit((x, y) => np.matmul(x, y));
  return async () => {
    const c = multiply(a.ref, b.ref);
    await c.blockUntilReady();
    c.dispose();
  };
}

function lossOf(p, inputs, labels) {
  const linear = (x, name) => np.matmul(x, p[`${name}.w`].ref).add(p[`${name}.b`].ref);
  const norm = (x, name) => nn.standardize(x, -1, { epsilon: 1e-5 }).mul(p[`${name}.w`].ref).add(p[`${name}.b`].ref);
  const attend = (x, i) => {
    const [q, k, v] = np.split(linear(x, `h${i}.qkv`), 3, -1).map((part) => part.reshape([rows, context, heads, width / heads]));
    return linear(nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([rows * context, width]), `h${i}.proj`);
  };
  let x = np
    .matmul(inputs, p.wte.ref)
    .reshape([rows, context, width])
    .add(p.wpe.ref)
    .reshape([rows * context, width]);
  for (let i = 0; i < layers; i++) {
    x = x.ref.add(attend(norm(x, `h${i}.ln1`), i));
    x = x.ref.add(linear(nn.gelu(linear(norm(x, `h${i}.ln2`), `h${i}.up`)), `h${i}.down`));
  }
  const logits = np.matmul(norm(x, 'lnf'), p.wte.ref.transpose());
  return nn
    .logSoftmax(logits)
    .mul(labels)
    .sum()
    .mul(-1 / (rows * context));
}

/** One Adam update; the bias corrections come in as numbers of one element. */
function update(p, m, v, inputs, labels, c1, c2) {
  const [loss, gradients] = valueAndGrad((q) => lossOf(q, inputs, labels))(p);
  const [newP, newM, newV] = [{}, {}, {}];
  for (const name of Object.keys(gradients)) {
    const g = gradients[name];
    newM[name] = m[name].mul(0.9).add(g.ref.mul(0.1));
    newV[name] = v[name].mul(0.99).add(g.ref.mul(g).mul(0.01));
    const change = newM[name].ref.div(c1.ref).div(np.sqrt(newV[name].ref.div(c2.ref)).add(1e-8));
    newP[name] = p[name].sub(change.mul(1e-3));
  }
  return { loss, p: newP, m: newM, v: newV };
}

async function step() {
  const made = Object.entries(parameters());
  const tree = (data) => Object.fromEntries(made.map(([name, [shape, values]]) => [name, float(data(values), shape)]));
  let state = {
    p: tree((values) => values),
    m: tree((values) => new Float32Array(values.length)),
    v: tree((values) => new Float32Array(values.length)),
  };
  const ids = tokens(rows * (context + 1));
  const oneHot = (offset) => {
    const data = new Float32Array(rows * context * vocabulary);
    for (let i = 0; i < rows * context; i++)
      data[i * vocabulary + ids[Math.floor(i / context) * (context + 1) + (i % context) + offset]] = 1;
    return float(data, [rows * context, vocabulary]);
  };
  const train = jit(update);
  let done = 0;
  return async () => {
    done++;
    const [c1, c2] = [1 - 0.9 ** done, 1 - 0.99 ** done].map((c) => np.array([c]));
    const { loss, ...next } = train(state.p, state.m, state.v, oneHot(0), oneHot(1), c1, c2);
    state = next;
    return (await loss.data())[0];
  };
}

await measure({ name: 'jax-js', version: '0.1.25', note: 'WebAssembly backend, one thread; plain Adam, no clipping', product, step });
