// TensorFlow.js with its WebAssembly backend (one thread in Node). The training step is written with its own operations; embeddings are products with
// one-hot rows, since the backend has no gradient for gathering; its Adam has no weight decay and the gradients are not clipped, which is less work than ours.

import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { measure, numbers, parameters, SHAPE, tokens } from './workload.mjs';

setWasmPaths(process.env.PEERS_WASM); // the folder of the backend's .wasm files: this file is bundled, scripts/bench/peers.mjs says why
await tf.setBackend('wasm');
await tf.ready();
const { layers, heads, width, context, rows, vocabulary } = SHAPE;

async function product(m, n, k) {
  const a = tf.tensor2d(numbers(m * k), [m, k]);
  const b = tf.tensor2d(numbers(k * n), [k, n]);
  return async () => tf.matMul(a, b).dispose();
}

async function step() {
  const p = Object.fromEntries(
    Object.entries(parameters()).map(([name, [shape, data]]) => [name, tf.variable(tf.tensor(data, shape), true, name)]),
  );
  const ids = tokens(rows * (context + 1));
  const optimizer = tf.train.adam(1e-3, 0.9, 0.99, 1e-8);
  const mask = tf.tidy(() => tf.mul(tf.sub(tf.linalg.bandPart(tf.ones([context, context]), -1, 0), 1), 1e9));
  const headDim = width / heads;

  const linear = (x, w, b) => tf.add(tf.matMul(x, w), b);
  const norm = (x, w, b) => {
    const centred = tf.sub(x, tf.mean(x, 1, true));
    return tf.add(tf.mul(tf.div(centred, tf.sqrt(tf.add(tf.mean(tf.square(centred), 1, true), 1e-5))), w), b);
  };
  const gelu = (x) =>
    tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715)), Math.sqrt(2 / Math.PI))), 1));
  const split = (x) => tf.transpose(tf.reshape(x, [rows, context, heads, headDim]), [0, 2, 1, 3]);
  const attend = (x, i) => {
    const [q, k, v] = tf.split(linear(x, p[`h${i}.qkv.w`], p[`h${i}.qkv.b`]), 3, 1).map(split);
    const weights = tf.softmax(tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(headDim)), mask));
    const mixed = tf.reshape(tf.transpose(tf.matMul(weights, v), [0, 2, 1, 3]), [rows * context, width]);
    return linear(mixed, p[`h${i}.proj.w`], p[`h${i}.proj.b`]);
  };
  const loss = () => {
    const pick = (offset) =>
      Int32Array.from({ length: rows * context }, (_, i) => ids[Math.floor(i / context) * (context + 1) + (i % context) + offset]);
    const inputs = tf.cast(tf.oneHot(tf.tensor1d(pick(0), 'int32'), vocabulary), 'float32');
    const labels = tf.cast(tf.oneHot(tf.tensor1d(pick(1), 'int32'), vocabulary), 'float32');
    let x = tf.reshape(tf.add(tf.reshape(tf.matMul(inputs, p.wte), [rows, context, width]), p.wpe), [rows * context, width]);
    for (let i = 0; i < layers; i++) {
      x = tf.add(x, attend(norm(x, p[`h${i}.ln1.w`], p[`h${i}.ln1.b`]), i));
      const up = gelu(linear(norm(x, p[`h${i}.ln2.w`], p[`h${i}.ln2.b`]), p[`h${i}.up.w`], p[`h${i}.up.b`]));
      x = tf.add(x, linear(up, p[`h${i}.down.w`], p[`h${i}.down.b`]));
    }
    const logits = tf.matMul(norm(x, p['lnf.w'], p['lnf.b']), p.wte, false, true);
    return tf.mean(tf.neg(tf.sum(tf.mul(labels, tf.logSoftmax(logits)), 1)));
  };
  return async () => {
    const value = optimizer.minimize(loss, true);
    const [number] = await value.data();
    value.dispose();
    return number;
  };
}

await measure({ name: 'tfjs-backend-wasm', version: tf.version_core, note: 'one thread, SIMD; plain Adam, no clipping', product, step });
