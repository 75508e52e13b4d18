// Every gradient rule against central differences, in f64, on tiny shapes, through compiled programs (lowered, fused, planned).
import { describe, expect, it } from 'vitest';
import { differentiate } from './autodiff';
import { Extent, type Shape } from './dims';
import { addPosition } from './ops/addPosition';
import { attention, attentionQkv } from './ops/attention';
import { add, div, mul, sub } from './ops/binary';
import { crossEntropy } from './ops/crossEntropy';
import { dropout } from './ops/dropout';
import { embedding } from './ops/embedding';
import { layerNorm } from './ops/layerNorm';
import { linear } from './ops/linear';
import { linearCrossEntropy } from './ops/linearCrossEntropy';
import { logSigmoid } from './ops/logSigmoid';
import { matmul } from './ops/matmul';
import { mean, sum, sumLast, sumRows } from './ops/reduce';
import { reshape } from './ops/reshape';
import { rmsNorm } from './ops/rmsNorm';
import { rotary } from './ops/rotary';
import { logSoftmax, softmax } from './ops/softmax';
import { swiglu } from './ops/swiglu';
import { transpose } from './ops/transpose';
import { abs, addScalar, exp, gelu, log, neg, reciprocal, relu, scale, sigmoid, sqrt, square, tanh } from './ops/unary';
import { constant, input, type Tensor, Variable } from './tensor';
import { gradcheck, weighted } from './testing/gradcheck';
import { randomValues, type Values } from './testing/interpreter';
import { Random } from './testing/random';

const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const ids = (values: number[], shape: number[]): Tensor => constant(Int32Array.from(values), shape);

/** Values in ±[low, high), away from kinks and poles. */
function valuesIn(variables: readonly Variable[], low: number, high: number, signed: boolean): Values {
  const random = new Random(11);
  const draw = (): number => random.uniform(low, high) * (signed && random.next() < 0.5 ? -1 : 1);
  return new Map(variables.map((entry) => [entry, Float64Array.from({ length: entry.size }, draw)]));
}

describe('unary', () => {
  const smooth = {
    neg,
    exp,
    square,
    tanh,
    sigmoid,
    logSigmoid,
    geluTanh: (x: Variable) => gelu(x, 'tanh'),
    geluErf: (x: Variable) => gelu(x, 'none'),
  };
  const more = { scale: (x: Variable) => scale(x, -1.75), addScalar: (x: Variable) => addScalar(x, 0.5) };
  it.each(Object.entries({ ...smooth, ...more }))('%s', (_name, f) => {
    const x = variable('x', 2, 5);
    gradcheck(weighted([f(x)]), [x]);
  });
  it.each(Object.entries({ log, sqrt }))('%s of positive numbers', (_name, f) => {
    const x = variable('x', 2, 5);
    gradcheck(weighted([f(x)]), [x], { values: valuesIn([x], 0.5, 2, false) });
  });
  it.each(Object.entries({ relu, abs, reciprocal }))('%s away from 0', (_name, f) => {
    const x = variable('x', 2, 5);
    gradcheck(weighted([f(x)]), [x], { values: valuesIn([x], 0.5, 2, true) });
  });
});

describe('binary', () => {
  const shapes: Record<string, [number[], number[]]> = {
    'equal shapes': [
      [2, 3, 2],
      [2, 3, 2],
    ],
    'a suffix': [
      [2, 3, 2],
      [3, 2],
    ],
    'the last axis': [[2, 3, 2], [2]],
    'one per row': [
      [2, 3, 2],
      [2, 3, 1],
    ],
    'a single value [1]': [[2, 3], [1]],
    'a scalar []': [[2, 3], []],
  };
  for (const [kind, f] of Object.entries({ add, sub, mul, div })) {
    it.each(Object.entries(shapes))(`${kind}: b has %s`, (_name, [left, right]) => {
      const [a, b] = [variable('a', ...left), variable('b', ...right)];
      gradcheck(weighted([f(a, b)]), [a, b], { values: valuesIn([a, b], 0.5, 1.5, true) });
    });
  }
  it('both operands the same tensor', () => {
    const x = variable('x', 4);
    gradcheck(weighted([mul(x, x), div(square(x), x), add(x, x)]), [x], { values: valuesIn([x], 0.5, 1.5, true) });
  });
});

describe('products', () => {
  it.each([
    ['[K, N] with bias', false, true],
    ['[K, N]', false, false],
    ['[N, K] with bias', true, true],
    ['[N, K]', true, false],
  ])('linear with w %s', (_name, transposed, hasBias) => {
    const [x, w, b] = [variable('x', 2, 3, 4), variable('w', ...(transposed ? [5, 4] : [4, 5])), variable('b', 5)];
    const y = linear(x, w, hasBias ? b : undefined, { transposed });
    gradcheck(weighted([y]), hasBias ? [x, w, b] : [x, w]);
  });
  it('linear of a vector', () => {
    const [x, w] = [variable('x', 4), variable('w', 4, 3)];
    gradcheck(weighted([linear(x, w)]), [x, w]);
  });
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      it(`matmul, transposeA ${transposeA}, transposeB ${transposeB}: plain, batched and shared b`, () => {
        const [m, k, n] = [2, 3, 4];
        const left = transposeA ? [k, m] : [m, k];
        const right = transposeB ? [n, k] : [k, n];
        const plain = [variable('a', ...left), variable('b', ...right)];
        const batched = [variable('a2', 2, ...left), variable('b2', 2, ...right)];
        const shared = [variable('a3', 2, 1, ...left), variable('b3', ...right)];
        const all = [plain, batched, shared];
        gradcheck(weighted(all.map(([a, b]) => matmul(a, b, { transposeA, transposeB }))), all.flat());
      });
    }
  }
  it.each([false, true])('gradients of products can be differentiated again (transposed %s)', (transposed) => {
    const [x, w] = [variable('x', 2, 3), variable('w', ...(transposed ? [4, 3] : [3, 4]))];
    const y = linear(x, w, undefined, { transposed });
    const gradients = differentiate(mul(y, y), [x, w]);
    gradcheck(weighted([...gradients.values()]), [x, w]);
  });
});

describe('sums and shapes', () => {
  it('sum, mean, sumLast, sumRows of a nonlinear function', () => {
    const x = variable('x', 2, 3, 2);
    gradcheck(weighted([square(sum(x)), square(mean(x)), square(sumLast(x)), square(sumRows(x))]), [x]);
  });
  it('transpose and reshape', () => {
    const x = variable('x', 2, 3, 4);
    gradcheck(weighted([square(transpose(x)), tanh(reshape(x, [6, 4])), reshape(exp(x), [24])]), [x]);
  });
});

describe('rows', () => {
  it.each(Object.entries({ softmax, logSoftmax }))('%s', (_name, f) => {
    const x = variable('x', 2, 2, 5);
    gradcheck(weighted([f(x)]), [x]);
  });
  it.each([
    ['weight and bias', true, true],
    ['weight', true, false],
    ['bias', false, true],
    ['neither', false, false],
  ])('layerNorm with %s', (_name, hasWeight, hasBias) => {
    const [x, w, b] = [variable('x', 2, 2, 5), variable('w', 5), variable('b', 5)];
    const used = [x, ...(hasWeight ? [w] : []), ...(hasBias ? [b] : [])];
    gradcheck(weighted([layerNorm(x, hasWeight ? w : undefined, hasBias ? b : undefined)]), used);
  });
  it('rmsNorm with a weight and without', () => {
    const [x, w] = [variable('x', 2, 2, 5), variable('w', 5)];
    gradcheck(weighted([rmsNorm(x, w), rmsNorm(x), add(x, rmsNorm(x, w, 0.1))]), [x, w]);
  });
  it('rotary of packed rows, from the start, from a run-time position, one for each sequence and one for each token', () => {
    const [x, table] = [variable('x', 2, 2, 10), variable('table', 5, 4)];
    const values = randomValues([x, table], 9);
    const at = [undefined, new Extent('at', 3), ids([0, 3], [2]), ids([4, 0, 1, 4], [2, 2])];
    const y = at.map((position) => square(rotary(x, table, { nHead: 2, position })));
    gradcheck(weighted(y), [x], { extents: { at: 2 }, values, variables: values });
  });
  it('swiglu of two tensors and of one', () => {
    const [gate, up, both] = [variable('gate', 2, 5), variable('up', 2, 5), variable('both', 3, 6)];
    gradcheck(weighted([swiglu(gate, up), swiglu(gate, gate), swiglu(both)]), [gate, up, both]);
  });
  it('layerNorm with a frozen weight still trains its bias', () => {
    const [x, w, b] = [variable('x', 3, 4), variable('w', 4), variable('b', 4)];
    const values = valuesIn([x, w, b], 0.2, 1, true);
    gradcheck(weighted([layerNorm(x, w, b)]), [b], { values, variables: values });
  });
  it('embedding, with a row used twice and one never', () => {
    const table = variable('table', 4, 3);
    gradcheck(weighted([square(embedding(table, ids([2, 0, 2], [3])))]), [table]);
  });
  it('addPosition from the start and from a run-time position', () => {
    const [x, table] = [variable('x', 2, 2, 3), variable('table', 4, 3)];
    gradcheck(weighted([square(addPosition(x, table)), square(addPosition(x, table, new Extent('at', 3)))]), [x, table], {
      extents: { at: 2 },
    });
  });
  it('dropout draws the same mask backward', () => {
    const x = variable('x', 40);
    gradcheck(weighted([square(dropout(x, 0.4, 'here'))]), [x], { scalars: { seedLo: 1, seedHi: 2, step: 3, micro: 4 } });
  });
});

describe('attention', () => {
  const options = { nHead: 2, causal: true };
  it.each([
    ['causal', 3, 3, true],
    ['not causal', 3, 3, false],
    ['fewer queries than keys, causal', 2, 4, true],
    ['more queries than keys, causal (first rows see nothing)', 4, 2, true],
    ['cross lengths, not causal', 2, 4, false],
  ])('%s', (_name, tq, tk, causal) => {
    const [q, k, v] = [variable('q', 2, tq, 4), variable('k', 2, tk, 4), variable('v', 2, tk, 4)];
    gradcheck(weighted([attention(q, k, v, { nHead: 2, causal })]), [q, k, v]);
  });
  it('with a key mask, one row fully masked', () => {
    const [q, k, v] = [variable('q', 2, 2, 2), variable('k', 2, 3, 2), variable('v', 2, 3, 2)];
    const keyMask = ids([1, 0, 1, 0, 0, 0], [2, 3]);
    gradcheck(weighted([attention(q, k, v, { nHead: 1, causal: false, keyMask, scale: 0.7 })]), [q, k, v]);
  });
  it.each([
    ['few heads', 1],
    ['many heads', 4],
  ])('with a mask of pairs and first keys, a query that sees nothing: %s', (_name, nHead) => {
    const [q, k, v] = [variable('q', 2, 3, 4), variable('k', 2, 4, 4), variable('v', 2, 4, 4)];
    const bias = Float32Array.from({ length: 2 * nHead * 12 }, (_, n) => (n % 5 === 0 ? Number.NEGATIVE_INFINITY : (n % 7) / 3 - 1));
    const mask = constant(bias, [2 * nHead, 3, 4]);
    const starts = ids([1, 0, 4, -3, 2, 1], [2, 3]);
    gradcheck(weighted([attention(q, k, v, { nHead, causal: true, mask, starts })]), [q, k, v]);
    const qkv = variable('qkv', 2, 3, 12);
    gradcheck(weighted([attentionQkv(qkv, { nHead, causal: true, starts: ids([0, 1, 1, 0, 0, 3], [2, 3]) })]), [qkv]);
  });
  it.each([
    ['many heads', 2, 6, 3],
    ['few heads', 1, 4, 2],
    ['one for all', 1, 3, 1],
  ])('grouped heads: %s', (_name, batch, nHead, nKvHead) => {
    const [q, k, v] = [variable('q', batch, 3, nHead * 2), variable('k', batch, 4, nKvHead * 2), variable('v', batch, 4, nKvHead * 2)];
    gradcheck(weighted([attention(q, k, v, { nHead, nKvHead, causal: true })]), [q, k, v]);
    const qkv = variable('qkv', batch, 3, (nHead + 2 * nKvHead) * 2);
    gradcheck(weighted([attentionQkv(qkv, { nHead, nKvHead, causal: true })]), [qkv]);
  });
  it('packed', () => {
    const qkv = variable('qkv', 2, 3, 12);
    gradcheck(weighted([attentionQkv(qkv, options)]), [qkv]);
  });
  it('packed, made by a linear layer, with dropout', () => {
    const [x, w, b] = [variable('x', 1, 3, 4), variable('w', 4, 12), variable('b', 12)];
    const y = attentionQkv(linear(x, w, b), { ...options, dropout: 0.3, path: 'attn' });
    gradcheck(weighted([y]), [x, w, b], { scalars: { seedLo: 9, seedHi: 0, step: 1, micro: 0 } });
  });
});

describe('losses', () => {
  const labels = ids([1, -100, 4, 0], [2, 2]);
  it('crossEntropy: loss and logZ, an ignored row', () => {
    const logits = variable('logits', 2, 2, 5);
    const { loss, logZ } = crossEntropy(logits, labels);
    gradcheck(weighted([loss, logZ]), [logits]);
    gradcheck(weighted([loss]), [logits]);
    gradcheck(weighted([logZ]), [logits]);
  });
  it('linearCrossEntropy: loss and logZ, an ignored row', () => {
    const [x, w] = [variable('x', 2, 2, 3), variable('w', 5, 3)];
    const { loss, logZ } = linearCrossEntropy(x, w, labels);
    gradcheck(weighted([loss, logZ]), [x, w]);
    gradcheck(loss, [x, w]);
    gradcheck(logZ, [w], { values: randomValues([x, w], 5) });
  });
  it('a table shared by embedding and head gets both gradients', () => {
    const [table, w] = [variable('table', 5, 3), variable('w', 3, 3)];
    const x = linear(embedding(table, ids([0, 3, 1, 3], [2, 2])), w);
    gradcheck(linearCrossEntropy(x, table, labels).loss, [table, w]);
  });
});

describe('run-time extents', () => {
  it('a whole block at less than the maximum sizes', () => {
    const [B, T] = [new Extent('batch', 3), new Extent('time', 4)];
    const shape: Shape = [B, T];
    const table = variable('table', 6, 4);
    const pos = variable('pos', 4, 4);
    const [w1, b1, w2] = [variable('w1', 4, 12), variable('b1', 12), variable('w2', 4, 4)];
    const tokens = input('tokens', shape, 'i32');
    const x = addPosition(embedding(table, tokens), pos);
    const y = add(x, linear(attentionQkv(linear(layerNorm(x), w1, b1), { nHead: 2, causal: true }), w2));
    const { loss } = linearCrossEntropy(gelu(y, 'tanh'), table, input('labels', shape, 'i32'));
    const run = { extents: { batch: 2, time: 3 }, inputs: { tokens: [0, 1, 2, 3, 4, 5], labels: [1, 2, 3, -100, 5, 0] } };
    gradcheck(loss, [table, pos, w1, b1, w2], run);
    expect(loss.shape).toEqual([B, T]);
  });
});
