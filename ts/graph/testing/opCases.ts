// One small graph per op and option, with all its gradients: what an engine must compute as the interpreter does.

import { differentiate } from '../autodiff';
import { Extent } from '../dims';
import { adamw, assign, type Effect, sgd } from '../effects';
import { addPosition } from '../ops/addPosition';
import { attention, attentionQkv } from '../ops/attention';
import { attentionCached } from '../ops/attentionCached';
import { beamScores, permuteRows } from '../ops/beam';
import { add, div, mul, sub } from '../ops/binary';
import { clipFinish, squaredNorm } from '../ops/clip';
import { countLabels, crossEntropy } from '../ops/crossEntropy';
import { dropout } from '../ops/dropout';
import { embedding } from '../ops/embedding';
import { addInteger } from '../ops/integer';
import { layerNorm } from '../ops/layerNorm';
import { linear } from '../ops/linear';
import { linearCrossEntropy } from '../ops/linearCrossEntropy';
import { matmul } from '../ops/matmul';
import { mean, sum, sumLast, sumRows } from '../ops/reduce';
import { reshape } from '../ops/reshape';
import { rmsNorm } from '../ops/rmsNorm';
import { rotary } from '../ops/rotary';
import { lastRow, qkvPart, writeRows } from '../ops/rows';
import { drawTokens, type GenerationRules, HISTORY_TOKENS, IN_PROMPT, STATE_WORDS, sample } from '../ops/sample';
import { copySequence } from '../ops/sequences';
import { logSoftmax, softmax } from '../ops/softmax';
import { splitRows } from '../ops/splitRows';
import { swiglu } from '../ops/swiglu';
import { transpose } from '../ops/transpose';
import { abs, addScalar, exp, gelu, log, neg, reciprocal, relu, scale, sigmoid, sqrt, square, tanh } from '../ops/unary';
import { constant, input, type Tensor, Variable } from '../tensor';
import { weighted } from './gradcheck';
import { type RunRequest, randomValues, type Values } from './interpreter';

/** What is compiled and run. `variables` are the ones it reads and writes, with their values before the run. */
export interface OpCase {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly effects: readonly Effect[];
  readonly variables: Values;
  readonly run: Omit<RunRequest, 'variables' | 'shuffle'>;
}

const v = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const ids = (values: number[], shape: number[]): Tensor => constant(Int32Array.from(values), shape);
const SCALARS = {
  seedLo: 7,
  seedHi: 1,
  step: 3,
  micro: 2,
  temperature: 0,
  topK: 0,
  topP: 1,
  draw: 0,
  maxNorm: 0.5,
  lr: 0.01,
  c1: 0.19,
  c2: 0.3,
};

/** A case of tensors with gradients for all variables they read. */
function graded(outputs: readonly Tensor[], variables: readonly Variable[], run: OpCase['run'] = {}, values?: Values): OpCase {
  const gradients = differentiate(weighted(outputs), variables);
  const targets = variables.map((one) => v(`d ${one.name}`, ...one.shape));
  return {
    outputs: Object.fromEntries(outputs.map((tensor, i) => [`y${i}`, tensor])),
    effects: variables.map((one, i) => assign(targets[i], gradients.get(one) as Tensor)),
    variables: new Map([...(values ?? randomValues(variables, 21)), ...randomValues(targets, 22)]),
    run: { scalars: SCALARS, ...run },
  };
}

function forward(outputs: Readonly<Record<string, Tensor>>, variables: readonly Variable[], run: OpCase['run'] = {}): OpCase {
  return { outputs, effects: [], variables: randomValues(variables, 23), run: { scalars: SCALARS, ...run } };
}

function positive(variables: readonly Variable[]): Values {
  return new Map([...randomValues(variables, 24)].map(([one, data]) => [one, data.map((x) => 0.5 + Math.abs(x))]));
}

/** An update of a matrix and a vector by one optimizer, its state drawn at random (second moments are not negative). */
function updates(make: (parameter: Variable, gradient: Variable, clip: Tensor, state: (name: string) => Variable) => Effect): OpCase {
  const parameters = [v('matrix', 70, 61), v('vector', 7)];
  const gradients = parameters.map((one) => v(`d ${one.name}`, ...one.shape));
  const clip = clipFinish(squaredNorm(gradients), constant([3]));
  const states: Variable[] = [];
  const effects = parameters.map((parameter, i) =>
    make(parameter, gradients[i], clip, (name) => {
      states.push(v(`${name} ${parameter.name}`, ...parameter.shape));
      return states[states.length - 1];
    }),
  );
  const variables = new Map([...randomValues([...parameters, ...gradients], 25), ...positive(states)]);
  return { outputs: { clip }, effects, variables, run: { scalars: SCALARS } };
}

const LABELS = [1, -100, 4, 0, 2, 3];

/** Every op with its options, by name. */
export const OP_CASES: Readonly<Record<string, () => OpCase>> = {
  'unary on any numbers': () => {
    const x = v('x', 3, 37);
    return graded(
      [exp(x), neg(x), tanh(x), sigmoid(x), relu(x), abs(x), square(x), gelu(x, 'tanh'), gelu(x), scale(x, 3), addScalar(x, 2)],
      [x],
    );
  },
  'unary on positive numbers': () => {
    const x = v('x', 2, 19);
    return graded([log(x), sqrt(x), reciprocal(x)], [x], {}, positive([x]));
  },
  'binary, all shapes': () => {
    const [a, same, row, column, one] = [v('a', 3, 5, 7), v('same', 3, 5, 7), v('row', 7), v('column', 3, 5, 1), v('one', 1)];
    const outputs = [same, row, column, one].flatMap((b) => [add(a, b), sub(a, b), mul(a, b), div(a, b)]);
    return graded(outputs, [a, same, row, column, one], {}, positive([a, same, row, column, one]));
  },
  'linear, both layouts, bias, activation, residual': () => {
    const [x, w, wt, b] = [v('x', 5, 9), v('w', 9, 9), v('wt', 9, 9), v('b', 9)];
    const h = gelu(linear(x, w, b), 'tanh');
    return graded(
      [add(x, linear(h, wt, undefined, { transposed: true })), relu(linear(x, w)), gelu(linear(x, wt, b, { transposed: true }))],
      [x, w, wt, b],
    );
  },
  'matmul, batched, all transpositions': () => {
    const [a, at, b, bt, shared] = [v('a', 3, 4, 6), v('at', 3, 6, 4), v('b', 3, 6, 5), v('bt', 3, 5, 6), v('shared', 6, 2)];
    const both = { transposeA: true, transposeB: true };
    return graded(
      [matmul(a, b), matmul(a, bt, { transposeB: true }), matmul(at, b, { transposeA: true }), matmul(at, bt, both), matmul(a, shared)],
      [a, at, b, bt, shared],
    );
  },
  'sums, means, transpose, reshape': () => {
    const x = v('x', 4, 3, 11);
    return graded([sum(square(x)), mean(square(x)), sumLast(square(x)), sumRows(square(x)), transpose(x), reshape(tanh(x), [12, 11])], [x]);
  },
  'rows split apart, some of them unused': () => {
    const [x, w, b] = [v('x', 3, 5), v('w', 12, 5), v('b', 12)];
    const [weights, biases] = [splitRows(w, [4, 7, 1]), splitRows(b, [4, 7, 1])];
    const products = [0, 1].map((i) => linear(x, weights[i], biases[i], { transposed: true }));
    return graded([...products, tanh(weights[0])], [x, w, b]);
  },
  'softmax and logSoftmax': () => {
    const x = v('x', 4, 13);
    return graded([softmax(x), logSoftmax(x)], [x]);
  },
  'layerNorm, each parameter there or not': () => {
    const [x, w, b] = [v('x', 4, 10), v('w', 10), v('b', 10)];
    return graded([layerNorm(x, w, b), layerNorm(x, w), layerNorm(x, undefined, b), layerNorm(x), add(x, layerNorm(x, w, b))], [x, w, b]);
  },
  'rmsNorm, with a weight and without, and an addend': () => {
    const [x, w] = [v('x', 4, 10), v('w', 10)];
    return graded([rmsNorm(x, w), rmsNorm(x), add(x, rmsNorm(x, w, 1e-2))], [x, w]);
  },
  'rotary positions, packed rows and all of a row': () => {
    const [x, table] = [v('x', 2, 3, 26), v('table', 8, 6)];
    const outputs = [
      rotary(x, table, { nHead: 3 }),
      rotary(tanh(x), table, { nHead: 4, position: new Extent('at', 5) }),
      rotary(x, table, { nHead: 1, position: ids([5, 0], [2]) }),
      rotary(x, table, { nHead: 2, position: ids([0, 7, 1, 5, 5, 2], [2, 3]) }),
    ];
    const whole = v('whole', 2, 1, 12);
    const one = graded([...outputs, rotary(whole, table, { nHead: 2, position: ids([7, 3], [2]) })], [x, whole], { extents: { at: 4 } });
    return { ...one, variables: new Map([...one.variables, ...randomValues([table], 26)]) };
  },
  'swiglu, apart and packed': () => {
    const [gate, up, both] = [v('gate', 2, 3, 7), v('up', 2, 3, 7), v('both', 3, 10)];
    return graded([swiglu(gate, up), swiglu(tanh(gate), gate), swiglu(both), swiglu(scale(both, 20))], [gate, up, both]);
  },
  'whole numbers that move on': () => {
    const table = v('table', 9, 3);
    const at = ids([4, 0, 6], [3]);
    return forward({ x: embedding(table, addInteger(at, 2)), next: addInteger(addInteger(at, -3), 4) }, [table]);
  },
  'embedding and positions': () => {
    const [table, pos] = [v('table', 6, 5), v('pos', 4, 5)];
    const x = embedding(table, ids([0, 5, 5, 2, 1, 0], [2, 3]));
    return graded([addPosition(x, pos), addPosition(x, pos, new Extent('at', 3)), x], [table, pos], { extents: { at: 1 } });
  },
  dropout: () => {
    const x = v('x', 5, 21);
    return graded([dropout(x, 0.3, 'a'), dropout(square(x), 0.7, 'b')], [x]);
  },
  'attention, causal and not, cross lengths, key mask': () => {
    const [q, k, w] = [v('q', 2, 5, 8), v('k', 2, 7, 8), v('w', 2, 7, 8)];
    const keyMask = ids([1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0], [2, 7]);
    const variants = [{ causal: true }, { causal: false }, { causal: false, keyMask }, { causal: true, keyMask, scale: 0.3 }];
    return graded(
      variants.map((options) => attention(q, k, w, { nHead: 2, ...options })),
      [q, k, w],
    );
  },
  'attention with masks of pairs and first keys': () => {
    const [q, k, w, qkv] = [v('q', 2, 5, 8), v('k', 2, 7, 8), v('w', 2, 7, 8), v('qkv', 2, 9, 24)];
    const out = Number.NEGATIVE_INFINITY;
    const pairs = (...shape: number[]): Tensor =>
      constant(
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, n) => (n % 4 === 1 || n % 70 < 7 ? out : ((n * 5) % 9) / 4 - 1)),
        shape,
      );
    const keyMask = ids([1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0], [2, 7]);
    const starts = ids([0, 0, 2, -1, 7, 3, 1, 0, 9, 2], [2, 5]);
    const documents = ids([0, 0, 0, 3, 3, 5, 5, 5, 9, 0, 1, 1, 1, 1, 1, 1, 7, 7], [2, 9]);
    const masks = [pairs(5, 7), pairs(1, 5, 7), pairs(2, 5, 7), pairs(4, 5, 7)];
    return graded(
      [
        ...masks.map((mask, n) => attention(q, k, w, { nHead: 2, causal: n > 1, mask })),
        attention(q, k, w, { nHead: 2, causal: true, starts }),
        attention(q, k, w, { nHead: 4, causal: false, starts, keyMask, mask: masks[2] }),
        attentionQkv(qkv, { nHead: 2, causal: true, starts: documents }),
        attentionQkv(qkv, { nHead: 4, causal: true, starts: documents, mask: pairs(9, 9), dropout: 0.25, path: 'p' }),
      ],
      [q, k, w, qkv],
    );
  },
  'attention of single queries, some of which see nothing': () => {
    const [q, k, w] = [v('q', 2, 1, 8), v('k', 2, 3, 8), v('w', 2, 3, 8)];
    const out = Number.NEGATIVE_INFINITY;
    const mask = constant(Float32Array.of(0, out, 1, out, out, out, -1, out, out, out, 0.5, 0), [4, 1, 3]);
    const [keyMask, starts] = [ids([0, 0, 0, 1, 0, 1], [2, 3]), ids([2, 3], [2, 1])];
    const limits = [{ mask }, { keyMask }, { starts }, { mask, keyMask, starts }, { mask, dropout: 0.25, path: 'p' }];
    return graded(
      limits.flatMap((limit) => [true, false].map((causal) => attention(q, k, w, { nHead: 2, causal, ...limit }))),
      [q, k, w],
    );
  },
  'attention with more queries than keys': () => {
    const [q, k, w] = [v('q', 1, 6, 4), v('k', 1, 3, 4), v('w', 1, 3, 4)];
    return graded([attention(q, k, w, { nHead: 1, causal: true })], [q, k, w]);
  },
  'attention with grouped heads, apart and packed, many and few of them': () => {
    const [q, k, w] = [v('q', 2, 5, 24), v('k', 2, 7, 12), v('w', 2, 7, 12)];
    const [qkv, one] = [v('qkv', 2, 4, 20), v('one', 1, 3, 18)];
    return graded(
      [
        attention(q, k, w, { nHead: 6, nKvHead: 3, causal: true }),
        attention(q, k, w, { nHead: 2, nKvHead: 1, causal: false }),
        attentionQkv(qkv, { nHead: 6, nKvHead: 2, causal: true }),
        attentionQkv(one, { nHead: 4, nKvHead: 1, causal: true, dropout: 0.25, path: 'p' }),
      ],
      [q, k, w, qkv, one],
    );
  },
  'grouped heads over caches': () => {
    const heads = { nHead: 4, nKvHead: 2 };
    const [keys, values, qkv] = [v('keys', 2, 8, 6), v('values', 2, 8, 6), v('qkv', 2, 1, 24)];
    const positions = ids([4, 0], [2]);
    const k = writeRows(keys, qkvPart(qkv, 'k', heads), positions);
    const w = writeRows(values, qkvPart(qkv, 'v', heads), positions);
    const y = attentionCached(qkv, k, w, { ...heads, keysUsed: new Extent('used', 8), keyCounts: ids([5, 1], [2]) });
    return forward({ y, k }, [keys, values, qkv], { extents: { used: 5 } });
  },
  'packed attention with dropout': () => {
    const qkv = v('qkv', 2, 9, 24);
    return graded(
      [attentionQkv(qkv, { nHead: 2, causal: true }), attentionQkv(qkv, { nHead: 4, causal: true, dropout: 0.25, path: 'p' })],
      [qkv],
    );
  },
  'crossEntropy and countLabels': () => {
    const logits = v('logits', 2, 3, 5);
    const { loss, logZ } = crossEntropy(logits, ids(LABELS, [2, 3]));
    return graded([loss, logZ, div(sum(loss), countLabels(ids(LABELS, [2, 3])))], [logits]);
  },
  linearCrossEntropy: () => {
    const [x, w] = [v('x', 2, 3, 6), v('w', 5, 6)];
    const { loss, logZ } = linearCrossEntropy(x, w, ids(LABELS, [2, 3]));
    return graded([loss, logZ], [x, w]);
  },
  'a tied table': () => {
    const table = v('table', 5, 6);
    const x = embedding(table, ids([0, 1, 1, 4, 3, 2], [2, 3]));
    return graded([linearCrossEntropy(tanh(x), table, ids(LABELS, [2, 3])).loss], [table]);
  },
  'weights in int8 blocks': () => {
    const blocks = (name: string, rows: number, columns: number) => new Variable({ name, shape: [rows, columns], dtype: 'q8' });
    const [x, w, up, bias, residual] = [v('x', 2, 3, 70), blocks('w', 9, 70), blocks('up', 33, 9), v('bias', 33), v('residual', 2, 3, 9)];
    const y = add(linear(x, w, undefined, { transposed: true }), residual);
    const wide = gelu(linear(y, up, bias, { transposed: true }), 'tanh');
    const { loss, logZ } = linearCrossEntropy(x, w, ids(LABELS, [2, 3]));
    const rows = embedding(w, ids([0, 8, 3, 3, 1, 2], [2, 3]));
    return forward({ y, wide, loss, logZ, rows }, [x, w, up, bias, residual]);
  },
  'gradients through frozen weights': () => {
    const frozen = (name: string, rows: number, columns: number, dtype: 'q8' | 'bf16') =>
      new Variable({ name, shape: [rows, columns], dtype });
    const [blocks, wide, table, up] = [
      frozen('blocks', 9, 70, 'q8'),
      frozen('wide', 70, 9, 'bf16'),
      frozen('table', 5, 9, 'bf16'),
      frozen('up', 33, 9, 'bf16'),
    ];
    const [x, bias, residual] = [v('x', 2, 3, 70), v('bias', 9), v('residual', 2, 3, 9)];
    const exact = linear(x, blocks, bias, { transposed: true, exact: true });
    const rounded = linear(x, blocks, bias, { transposed: true });
    const y = add(add(add(exact, rounded), linear(x, wide, bias)), add(residual, embedding(table, ids([0, 4, 3, 3, 1, 2], [2, 3]))));
    const active = gelu(linear(y, up, undefined, { transposed: true }), 'tanh');
    const { loss, logZ } = linearCrossEntropy(y, table, ids(LABELS, [2, 3]));
    const q8Loss = linearCrossEntropy(scale(x, 0.1), blocks, ids(LABELS, [2, 3])).loss;
    const trained = [x, bias, residual];
    return graded([active, loss, logZ, q8Loss], trained, {}, randomValues([...trained, blocks, wide, table, up], 21));
  },
  'caches, last row, greedy sampling': () => {
    const [keys, values, qkv] = [v('keys', 2, 8, 4), v('values', 2, 8, 4), v('qkv', 2, 3, 12)];
    const position = new Extent('position', 8);
    const options = { nHead: 2, keysUsed: new Extent('used', 8) };
    const y = attentionCached(qkv, writeRows(keys, qkvPart(qkv, 'k'), position), writeRows(values, qkvPart(qkv, 'v'), position), options);
    const last = lastRow(y);
    return forward({ y, last, next: sample(reshape(last, [2, 4])) }, [keys, values, qkv], { extents: { position: 4, used: 7 } });
  },
  'a batch of sequences of different lengths': () => {
    const [keys, values, qkv, table] = [v('keys', 3, 8, 4), v('values', 3, 8, 4), v('qkv', 3, 1, 12), v('table', 8, 12)];
    const [positions, keyCounts] = [ids([4, 0, 6], [3]), ids([5, 1, 7], [3])];
    const packed = addPosition(qkv, table, positions);
    const [k, w] = [writeRows(keys, qkvPart(packed, 'k'), positions), writeRows(values, qkvPart(packed, 'v'), positions)];
    const y = attentionCached(packed, k, w, { nHead: 2, keysUsed: new Extent('used', 8), keyCounts });
    return forward({ y, k }, [keys, values, qkv, table], { extents: { used: 7 } });
  },
  'a sequence copied into a batch': () => {
    const [cache, alone] = [v('cache', 3, 5, 4), v('alone', 1, 4, 4)];
    const [row, used] = [new Extent('row', 2), new Extent('used', 4)];
    const filled = copySequence(cache, alone, { row, rowsUsed: used });
    return forward({ filled }, [cache, alone], { extents: { row: 1, used: 3 } });
  },
  'last row of a run-time length': () => {
    const table = v('table', 3, 4);
    const tokens = input('tokens', [2, new Extent('time', 6)], 'i32');
    const x = embedding(table, tokens);
    return forward({ x: lastRow(x), y: lastRow(tanh(x)) }, [table], { extents: { time: 3 }, inputs: { tokens: [0, 1, 2, 2, 1, 0] } });
  },
  'AdamW, with decay and without': () =>
    updates((parameter, gradient, clip, state) =>
      adamw({
        parameter,
        gradient,
        clip,
        m: state('m'),
        v: state('v'),
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weightDecay: parameter.decay ? 0.1 : 0,
      }),
    ),
  'SGD, plain': () => updates((parameter, gradient, clip) => sgd({ parameter, gradient, clip, weightDecay: 0.1 })),
  'SGD with momentum and nesterov': () =>
    updates((parameter, gradient, clip, state) =>
      sgd({ parameter, gradient, clip, momentumBuffer: state('buf'), momentum: 0.9, nesterov: parameter.decay }),
    ),
  'global norm and clipping': () => {
    const gradients = [v('a', 5000), v('b', 3, 3), v('c', 4096)];
    return forward({ clip: clipFinish(squaredNorm(gradients)), counted: clipFinish(squaredNorm(gradients), constant([7])) }, gradients);
  },
  'a draw under rules': () => {
    const { rules, values } = ruled(3, 7);
    const positions = new Variable({ name: 'positions', shape: [3], dtype: 'i32' });
    const logits = v('logits', 3, 9);
    const drawn = drawTokens(logits, { rules, positions, topLogProbs: 2, vocabSize: 7 });
    const variables: Values = new Map([...randomValues([logits], 25), ...values, [positions, Float64Array.of(4, 5, 6)]]);
    return { outputs: drawn, effects: [], variables, run: { scalars: { ...SCALARS, ...RULES } } };
  },
  "beams' continuations": () => {
    const { rules, values } = ruled(2, 8);
    const [logits, scores] = [v('logits', 2, 8), v('scores', 2)];
    const report = beamScores(logits, ids([3, 1], [2]), scores, { rules, keep: new Extent('keep', 6), vocabSize: 8 });
    const variables: Values = new Map([...randomValues([logits, scores], 26), ...values]);
    return { outputs: { report }, effects: [], variables, run: { scalars: { ...SCALARS, ...RULES, draw: 3 }, extents: { keep: 4 } } };
  },
  'rows in a new order': () => {
    const [cache, flat] = [v('cache', 3, 5, 4), v('flat', 3, 7)];
    const parents = input('parents', [3], 'i32');
    const [time, once] = [new Extent('time', 5), new Extent('once', 1)];
    const effects = [assign(cache, permuteRows(cache, parents, time)), assign(flat, permuteRows(flat, parents, once))];
    const run = { scalars: SCALARS, extents: { time: 3, once: 1 }, inputs: { parents: [2, 0, 0] } };
    return { outputs: {}, effects, variables: randomValues([cache, flat], 27), run };
  },
};

const RULES = { minP: 0.1, topN: 2, repetition: 1.5, presence: 0.25, frequency: 0.125, minNew: 5 };

/** Rules with every kind of content for rows of `vocab` logits: an end id, a phrase that the first row is about to complete, a finished last row. */
function ruled(rows: number, vocab: number): { rules: GenerationRules; values: Values } {
  const ints = (name: string, ...shape: number[]) => new Variable({ name, shape, dtype: 'i32' });
  const rules = {
    bias: v('bias', vocab),
    lists: ints('lists', 9),
    counts: ints('counts', rows, vocab),
    state: ints('state', rows, STATE_WORDS),
  };
  const state = new Float64Array(rows * STATE_WORDS).map((_, i) => (i % STATE_WORDS < STATE_WORDS - HISTORY_TOKENS ? 0 : -1));
  state[STATE_WORDS - 1] = 4;
  if (rows > 2) state[(rows - 1) * STATE_WORDS] = 3;
  const counts = new Float64Array(rows * vocab).map((_, i) => [0, IN_PROMPT, 2, 0, IN_PROMPT + 1][i % 5]);
  const values: Values = new Map([...randomValues([rules.bias], 28), [rules.counts, counts], [rules.state, state]]);
  values.set(rules.lists, Float64Array.of(1, 2, 2, 4, 5, 1, 6, 0, 0));
  return { rules, values };
}
