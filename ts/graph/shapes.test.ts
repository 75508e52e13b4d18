// The shape and dtype rules of every op: what is refused, word for word, and the shapes of what is made.
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import { Extent, shapeText } from './dims';
import * as g from './index';

const f = (...shape: g.Shape): g.Tensor => g.input(`f${shapeText(shape)}`, shape);
const i = (...shape: g.Shape): g.Tensor => g.input(`i${shapeText(shape)}`, shape, 'i32');
const [B, T] = [new Extent('batch', 12), new Extent('time', 8)];
const heads = { nHead: 2, causal: true };
const cache = new g.Variable({ name: 'cache', shape: [1, 8, 4] });
const clip = g.clipFinish(g.squaredNorm([cache]));
const v = (...shape: number[]): g.Variable => new g.Variable({ name: 'p', shape });

/** [what is tried, code, text]. */
const REFUSED: [() => unknown, string, string][] = [
  [() => g.linear(f(2, 3), f(4, 5)), 'INVALID_SHAPE', 'linear: the last size of x must be the first of w, got [2, 3] and [4, 5]'],
  [
    () => g.linear(f(2, 3), f(3, 5), undefined, { transposed: true }),
    'INVALID_SHAPE',
    'linear: the last size of x must be the last of w, got [2, 3] and [3, 5]',
  ],
  [() => g.linear(f(2, 3), f(3)), 'INVALID_SHAPE', 'linear: w must be [K, N], got [3]'],
  [() => g.linear(f(2, 3), f(3, 5), f(3)), 'INVALID_SHAPE', 'linear: bias must be [N] for a weight with N outputs, got [3] and [3, 5]'],
  [() => g.linear(f(), f(3, 5)), 'INVALID_SHAPE', 'linear: x must have at least one axis, got []'],
  [() => g.linear(i(2, 3), f(3, 5)), 'INVALID_DTYPE', 'linear: x must be f32, got i32[2, 3]'],
  [
    () => g.linear(f(B, 3), f(B, 5)),
    'INVALID_SHAPE',
    'linear: the last size of x must be the first of w, got [batch≤12, 3] and [batch≤12, 5]',
  ],
  [() => g.linear(undefined as unknown as g.Tensor, f(3, 5)), 'INVALID_OPTION', 'linear: x must be a Tensor or a Variable, got undefined'],
  [() => g.linear({} as unknown as g.Tensor, f(3, 5)), 'INVALID_OPTION', 'linear: x must be a Tensor or a Variable, got a Object'],
  [() => g.matmul(f(3), f(3, 2)), 'INVALID_SHAPE', 'matmul: a and b must have at least two axes, got [3] and [3, 2]'],
  [() => g.matmul(f(2, 3), f(4, 5)), 'INVALID_SHAPE', 'matmul: a and b must agree in the summed size, got [2, 3] and [4, 5]'],
  [
    () => g.matmul(f(2, 4, 3), f(3, 3, 5)),
    'INVALID_SHAPE',
    'matmul: leading sizes must be equal, or b must have two axes, got [2, 4, 3] and [3, 3, 5]',
  ],
  [
    () => g.add(f(2, 3), f(2)),
    'INVALID_SHAPE',
    "add: b must have a's shape, a suffix of it, a's shape with last size 1, or be [1], got [2, 3] and [2]",
  ],
  [
    () => g.sub(f(3), f(2, 3)),
    'INVALID_SHAPE',
    "sub: b must have a's shape, a suffix of it, a's shape with last size 1, or be [1], got [3] and [2, 3]",
  ],
  [() => g.mul(f(2), i(2)), 'INVALID_DTYPE', 'mul: b must be f32, got i32[2]'],
  [() => g.exp(i(2)), 'INVALID_DTYPE', 'exp: x must be f32, got i32[2]'],
  [() => g.scale(f(2), Number.NaN), 'INVALID_OPTION', 'scale: c must be a finite number, got NaN'],
  [() => g.addScalar(f(2), Number.POSITIVE_INFINITY), 'INVALID_OPTION', 'addScalar: c must be a finite number, got Infinity'],
  [() => g.gelu(f(2), 'erf' as 'none'), 'INVALID_OPTION', "gelu: approximate must be 'tanh' or 'none', got erf"],
  [() => g.softmax(f()), 'INVALID_SHAPE', 'softmax: x must have at least one axis, got []'],
  [() => g.logSoftmax(i(2)), 'INVALID_DTYPE', 'logSoftmax: x must be f32, got i32[2]'],
  [() => g.layerNorm(f(2, 3), f(2)), 'INVALID_SHAPE', 'layerNorm: weight must be [C] for x [..., C], got [2] and [2, 3]'],
  [() => g.layerNorm(f(2, 3), f(3), f(4)), 'INVALID_SHAPE', 'layerNorm: bias must be [C] for x [..., C], got [4] and [2, 3]'],
  [() => g.layerNorm(f(2, 3), undefined, undefined, 0), 'INVALID_OPTION', 'layerNorm: eps must be a positive number, got 0'],
  [() => g.rmsNorm(f(2, 3), f(2)), 'INVALID_SHAPE', 'rmsNorm: weight must be [C] for x [..., C], got [2] and [2, 3]'],
  [() => g.rmsNorm(f(2, 3), f(3), -1), 'INVALID_OPTION', 'rmsNorm: eps must be a positive number, got -1'],
  [() => g.rotary(f(2, 8), f(4, 4), { nHead: 2 }), 'INVALID_SHAPE', 'rotary: x must be [B, T, W] and table [P, D], got [2, 8] and [4, 4]'],
  [
    () => g.rotary(f(1, 2, 8), f(4, 4), { nHead: 3 }),
    'INVALID_SHAPE',
    'rotary: D must be even and 3 heads of it fit a row of x, got [1, 2, 8] and [4, 4]',
  ],
  [
    () => g.rotary(f(1, 2, 9), f(4, 3), { nHead: 3 }),
    'INVALID_SHAPE',
    'rotary: D must be even and 3 heads of it fit a row of x, got [1, 2, 9] and [4, 3]',
  ],
  [
    () => g.rotary(f(1, 5, 8), f(4, 4), { nHead: 2 }),
    'INVALID_SHAPE',
    'rotary: the sequence must not be longer than the table, got [1, 5, 8] and [4, 4]',
  ],
  [
    () => g.rotary(f(2, 5, 8), f(4, 4), { nHead: 2, position: i(2, 4) }),
    'INVALID_SHAPE',
    'rotary: position must be [B, T], got [2, 4] and [2, 5]',
  ],
  [() => g.rotary(f(1, 2, 8), f(4, 4), { nHead: 0 }), 'INVALID_OPTION', 'rotary: nHead must be a positive integer, got 0'],
  [() => g.rotary(f(1, 2, 8), f(4, 4), { nHead: 2, position: i(2) }), 'INVALID_SHAPE', 'rotary: position must be [B], got [2] and [1]'],
  [() => g.swiglu(f(2, 3), f(3, 3)), 'INVALID_SHAPE', 'swiglu: gate and up must have the same shape, got [2, 3] and [3, 3]'],
  [() => g.swiglu(f(2, 3)), 'INVALID_SHAPE', 'swiglu: the last size of gate and up together must be even, got [2, 3]'],
  [() => g.addInteger(f(2), 1), 'INVALID_DTYPE', 'addInteger: x must be i32, got f32[2]'],
  [() => g.addInteger(i(2), 0.5), 'INVALID_OPTION', 'addInteger: c must be a 32-bit integer, got 0.5'],
  [
    () => new g.Variable({ name: 'r', shape: [4, 3], init: { kind: 'rotary', base: 10000 } }),
    'INVALID_OPTION',
    'Variable "r": rotary init needs a shape [rows, an even number], got [4, 3]',
  ],
  [
    () => new g.Variable({ name: 'r', shape: [4, 2], init: { kind: 'rotary', base: 1 } }),
    'INVALID_OPTION',
    'Variable "r": base must be finite and above 1, got 1',
  ],
  [
    () => new g.Variable({ name: 'r', shape: [4, 2], init: { kind: 'rotary', base: 2, scaling: { kind: 'linear', factor: 0 } } }),
    'INVALID_OPTION',
    'Variable "r": scaling.factor must be finite and above 0, got 0',
  ],
  [
    () => new g.Variable({ name: 'r', shape: [4, 2], init: { kind: 'rotary', base: 2, scaling: { kind: 'yarn' as 'linear', factor: 2 } } }),
    'INVALID_OPTION',
    'Variable "r": scaling.kind must be linear or llama3, got yarn',
  ],
  [
    () =>
      new g.Variable({
        name: 'r',
        shape: [4, 2],
        init: {
          kind: 'rotary',
          base: 2,
          scaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 4, highFrequencyFactor: 4, originalPositions: 8192 },
        },
      }),
    'INVALID_OPTION',
    'Variable "r": scaling.highFrequencyFactor must be above lowFrequencyFactor, got 4',
  ],
  [
    () => g.splitRows(f(6, 2), [4, 3]),
    'INVALID_SHAPE',
    'splitRows: the sizes must be positive integers whose sum is the first size of x, got [4, 3] and [6, 2]',
  ],
  [() => g.splitRows(f(B, 2), [4]), 'INVALID_SHAPE', 'splitRows: x must have one axis or more, all of fixed sizes, got [batch≤12, 2]'],
  [() => g.transpose(f(3)), 'INVALID_SHAPE', 'transpose: x must have at least two axes, got [3]'],
  [() => g.embedding(f(5, 3, 1), i(2)), 'INVALID_SHAPE', 'embedding: table must be [V, C], got [5, 3, 1]'],
  [() => g.embedding(f(5, 3), f(2)), 'INVALID_DTYPE', 'embedding: ids must be i32, got f32[2]'],
  [() => g.addPosition(f(3), f(4, 3)), 'INVALID_SHAPE', 'addPosition: x must be [..., T, C] and table [P, C], got [3] and [4, 3]'],
  [() => g.addPosition(f(2, 3), f(4, 5)), 'INVALID_SHAPE', 'addPosition: x and table must have the same last size, got [2, 3] and [4, 5]'],
  [
    () => g.addPosition(f(B, T, 3), f(7, 3)),
    'INVALID_SHAPE',
    'addPosition: the sequence must not be longer than the table, got [batch≤12, time≤8, 3] and [7, 3]',
  ],
  [() => g.dropout(f(2), 1, 'a'), 'INVALID_OPTION', 'dropout: dropout p must be at least 0 and below 1, got 1'],
  [() => g.dropout(f(2), -0.1, 'a'), 'INVALID_OPTION', 'dropout: dropout p must be at least 0 and below 1, got -0.1'],
  [() => g.dropout(f(2), 0.1, ''), 'INVALID_OPTION', 'dropout: path must name the module when dropout is above 0, got ""'],
  [
    () => g.mean(f(B, 2)),
    'INVALID_SHAPE',
    'mean: the number of elements must be a positive number known when the graph is made (return a RowLoss { sum, count } to divide by a run-time count), got [batch≤12, 2]',
  ],
  [() => g.sum(i(2)), 'INVALID_DTYPE', 'sum: x must be f32, got i32[2]'],
  [() => g.sumLast(f()), 'INVALID_SHAPE', 'sumLast: x must have at least one axis, got []'],
  [() => g.reshape(f(2, 3), [4]), 'INVALID_SHAPE', 'reshape: both shapes must have the same number of elements, got [2, 3] and [4]'],
  [
    () => g.reshape(f(B, 3), [36]),
    'INVALID_SHAPE',
    'reshape: both shapes must have the same number of elements, got [batch≤12, 3] and [36]',
  ],
  [() => g.reshape(f(2, 3), [2, -3]), 'INVALID_SHAPE', 'reshape: sizes must be integers of at least 0 or extents, got [2, -3]'],
  [
    () => g.attention(f(1, 2, 65), f(1, 2, 65), f(1, 2, 65), { nHead: 8, causal: true }),
    'INVALID_OPTION',
    'attention: the width (nEmbd) must be divisible by nHead, got 65 and 8',
  ],
  [
    () => g.attention(f(1, 2, 4), f(1, 2, 4), f(1, 2, 4), { nHead: 0, causal: true }),
    'INVALID_OPTION',
    'attention: nHead must be a positive integer, got 0',
  ],
  [() => g.attention(f(2, 4), f(1, 2, 4), f(1, 2, 4), heads), 'INVALID_SHAPE', 'attention: q must be [B, T, C], got [2, 4]'],
  [
    () => g.attention(f(1, 2, 4), f(1, 2, 4), f(1, 3, 4), heads),
    'INVALID_SHAPE',
    'attention: k and v must have the same shape, got [1, 2, 4] and [1, 3, 4]',
  ],
  [
    () => g.attention(f(1, 2, 4), f(2, 2, 4), f(2, 2, 4), heads),
    'INVALID_SHAPE',
    'attention: q and k must agree in batch and width, got [1, 2, 4] and [2, 2, 4]',
  ],
  [
    () => g.attention(f(1, 2, 4), f(1, 3, 4), f(1, 3, 4), { ...heads, keyMask: i(1, 2) }),
    'INVALID_SHAPE',
    'attention: keyMask must be [B, Tk], got [1, 2] and [1, 3]',
  ],
  [
    () => g.attention(f(2, 4, 4), f(2, 3, 4), f(2, 3, 4), { ...heads, mask: f(3, 4, 3) }),
    'INVALID_SHAPE',
    'attention: mask must be [Tq, Tk] or [G, Tq, Tk] with G 1, B or B·nHead, got [3, 4, 3] and [2, 4, 3]',
  ],
  [
    () => g.attention(f(1, 2, 4), f(1, 3, 4), f(1, 3, 4), { ...heads, mask: i(2, 3) }),
    'INVALID_DTYPE',
    'attention: mask must be f32, got i32[2, 3]',
  ],
  [
    () => g.attentionQkv(f(2, 4, 12), { ...heads, starts: i(2, 3) }),
    'INVALID_SHAPE',
    'attentionQkv: starts must be [B, Tq], got [2, 3] and [2, 4]',
  ],
  [
    () => g.attention(f(1, 2, 4), f(1, 3, 4), f(1, 3, 4), { ...heads, keyMask: f(1, 3) }),
    'INVALID_DTYPE',
    'attention: keyMask must be i32, got f32[1, 3]',
  ],
  [() => g.attentionQkv(f(1, 2, 4), heads), 'INVALID_SHAPE', 'attentionQkv: the last size of qkv must be divisible by 3, got [1, 2, 4]'],
  [
    () => g.attentionQkv(f(1, 2, 12), { ...heads, scale: Number.NaN }),
    'INVALID_OPTION',
    'attentionQkv: scale must be a finite number, got NaN',
  ],
  [
    () => g.attentionQkv(f(1, 2, 12), { ...heads, dropout: 0.5 }),
    'INVALID_OPTION',
    'attentionQkv: path must name the module when dropout is above 0, got undefined',
  ],
  [
    () => g.attentionQkv(f(1, 2, 12), { ...heads, nHead: 6, nKvHead: 4 }),
    'INVALID_OPTION',
    'attentionQkv: nHead must be divisible by nKvHead, got 6 and 4',
  ],
  [
    () => g.attentionQkv(f(1, 2, 12), { ...heads, nHead: 4, nKvHead: 2 }),
    'INVALID_SHAPE',
    'attentionQkv: the last size of qkv must be divisible by nHead + 2·nKvHead = 8, got [1, 2, 12]',
  ],
  [
    () => g.attention(f(1, 2, 8), f(1, 2, 8), f(1, 2, 8), { ...heads, nHead: 4, nKvHead: 2 }),
    'INVALID_SHAPE',
    'attention: q and k must agree in batch and width, got [1, 2, 8] and [1, 2, 8]',
  ],
  [
    () => g.attention(f(1, 2, 8), f(1, 2, 8), f(1, 2, 8), { ...heads, nHead: 4, nKvHead: 0 }),
    'INVALID_OPTION',
    'attention: nKvHead must be a positive integer, got 0',
  ],
  [
    () => g.attentionCached(f(1, 2, 12), cache, cache, { nHead: 4, nKvHead: 1, keysUsed: T }),
    'INVALID_SHAPE',
    'attentionCached: keys must be [B, P, Hkv·D] for qkv [B, T, (H + 2·Hkv)·D] or queries [B, T, H·D], got [1, 8, 4] and [1, 2, 12]',
  ],
  [
    () => g.attentionCached(f(1, 2, 12), cache, v(1, 7, 4), { nHead: 2, keysUsed: T }),
    'INVALID_SHAPE',
    'attentionCached: keys and values must have the same shape, got [1, 8, 4] and [1, 7, 4]',
  ],
  [
    () => g.attentionCached(f(1, 2, 12), cache, cache, { nHead: 2, keysUsed: B }),
    'INVALID_SHAPE',
    'attentionCached: keysUsed must not exceed the rows of the cache, got batch≤12 and [1, 8, 4]',
  ],
  [() => g.crossEntropy(f(2, 5), i(3)), 'INVALID_SHAPE', 'crossEntropy: labels must be [...] for logits [..., V], got [3] and [2, 5]'],
  [() => g.crossEntropy(f(2, 5), f(2)), 'INVALID_DTYPE', 'crossEntropy: labels must be i32, got f32[2]'],
  [
    () => g.crossEntropy(f(2, 5), i(2), { ignoreIndex: 0.5 }),
    'INVALID_OPTION',
    'crossEntropy: ignoreIndex must be a 32-bit integer, got 0.5',
  ],
  [
    () => g.linearCrossEntropy(f(2, 3), f(5, 4), i(2)),
    'INVALID_SHAPE',
    'linearCrossEntropy: w must be [V, C] for x [..., C], got [5, 4] and [2, 3]',
  ],
  [
    () => g.linearCrossEntropy(f(2, 3), f(5, 3), i(3)),
    'INVALID_SHAPE',
    'linearCrossEntropy: labels must be [...] for x [..., C], got [3] and [2, 3]',
  ],
  [() => g.countLabels(f(2)), 'INVALID_DTYPE', 'countLabels: labels must be i32, got f32[2]'],
  [
    () => g.writeRows(cache, f(1, 9, 4), 0),
    'INVALID_SHAPE',
    'writeRows: rows must not be more than the cache holds, got [1, 9, 4] and [1, 8, 4]',
  ],
  [
    () => g.writeRows(cache, f(1, 2, 5), 0),
    'INVALID_SHAPE',
    'writeRows: rows must agree with the cache in batch and width, got [1, 2, 5] and [1, 8, 4]',
  ],
  [() => g.writeRows(cache, f(1, 2, 4), 7), 'INVALID_SHAPE', 'writeRows: position + rows must not exceed the cache, got 7 and [1, 8, 4]'],
  [
    () => g.writeRows(cache, f(1, 2, 4), B),
    'INVALID_SHAPE',
    'writeRows: position must not exceed the rows of the cache, got batch≤12 and [1, 8, 4]',
  ],
  [() => g.qkvPart(f(1, 2, 12), 'x' as 'k'), 'INVALID_OPTION', "qkvPart: part must be 'q', 'k' or 'v', got x"],
  [() => g.lastRow(f(2, 4)), 'INVALID_SHAPE', 'lastRow: x must be [B, T, C], got [2, 4]'],
  [() => g.sample(f(1, 2, 4)), 'INVALID_SHAPE', 'sample: logits must be [R, V], got [1, 2, 4]'],
  [() => g.squaredNorm([]), 'INVALID_OPTION', 'squaredNorm: at least one gradient must be given, got 0'],
  [() => g.squaredNorm([f(B)]), 'INVALID_SHAPE', 'squaredNorm: gradients must have static shapes, got [batch≤12]'],
  [() => g.clipFinish(f(2)), 'INVALID_DTYPE', 'clipFinish: partials must be f64 from squaredNorm, got f32[2]'],
  [() => g.clipFinish(g.squaredNorm([f(2)]), f(2)), 'INVALID_SHAPE', 'clipFinish: count must be [1], got [2]'],
  [() => g.assign(v(2), f(3)), 'INVALID_SHAPE', 'assign: the tensor must have the shape of "p", got [3] and [2]'],
  [() => g.assign(v(2), i(2)), 'INVALID_DTYPE', 'assign: what goes to "p" must be f32, got i32[2]'],
  [() => g.writeRows(cache, f(1, 2, 4), i(2)), 'INVALID_SHAPE', 'writeRows: position must be [B], got [2] and [1]'],
  [() => g.writeRows(cache, f(1, 2, 4), f(1)), 'INVALID_DTYPE', 'writeRows: position must be i32, got f32[1]'],
  [
    () => g.attentionCached(f(1, 2, 12), cache, cache, { nHead: 2, keysUsed: T, keyCounts: i(3) }),
    'INVALID_SHAPE',
    'attentionCached: keyCounts must be [B], got [3] and [1]',
  ],
  [
    () => g.addPosition(f(2, 3), f(4, 3), i(2)),
    'INVALID_SHAPE',
    'addPosition: x must be [B, T, C] with a position for each sequence, got [2, 3]',
  ],
  [() => g.addPosition(f(2, 1, 3), f(4, 3), i(3)), 'INVALID_SHAPE', 'addPosition: position must be [B], got [3] and [2]'],
  [
    () => g.copySequence(cache, v(2, 8, 4), { row: 0, rowsUsed: 8 }),
    'INVALID_SHAPE',
    'copySequence: source must be [1, P, C], got [2, 8, 4]',
  ],
  [
    () => g.copySequence(cache, v(1, 8, 4), { row: 1, rowsUsed: 8 }),
    'INVALID_SHAPE',
    'copySequence: row must be a sequence of the cache, got 1 and [1, 8, 4]',
  ],
  [
    () => g.copySequence(cache, v(1, 6, 4), { row: 0, rowsUsed: T }),
    'INVALID_SHAPE',
    'copySequence: rowsUsed must not exceed the rows of cache and source, got time≤8 and [1, 8, 4] and [1, 6, 4]',
  ],
  [
    () => g.copySequence(cache, cache, { row: 0, rowsUsed: 8 }),
    'INVALID_OPTION',
    'copySequence: source must be another variable than the cache, got cache',
  ],
  [
    () => g.adamw({ parameter: v(2), gradient: v(2), m: v(2), v: v(3), clip, beta1: 0.9, beta2: 0.9, eps: 0, weightDecay: 0 }),
    'INVALID_SHAPE',
    'adamw: v must have the shape of "p", got [3] and [2]',
  ],
  [
    () => g.adamw({ parameter: v(2), gradient: v(2), m: v(2), v: v(2), clip, beta1: 1, beta2: 0.9, eps: 0, weightDecay: 0 }),
    'INVALID_OPTION',
    'adamw: beta1 must be at least 0 and below 1, got 1',
  ],
  [
    () => g.adamw({ parameter: v(2), gradient: v(2), m: v(2), v: v(2), clip, beta1: 0, beta2: 0.9, eps: 0, weightDecay: Number.NaN }),
    'INVALID_OPTION',
    'adamw: weightDecay must be at least 0 and finite, got NaN',
  ],
  [
    () => g.adamw({ parameter: cache, gradient: cache, m: v(1, 8, 4), v: v(1, 8, 4), clip, beta1: 0, beta2: 0.9, eps: 0, weightDecay: 0 }),
    'INVALID_OPTION',
    'adamw: parameter, gradient and state must be different variables, got cache',
  ],
  [
    () => g.sgd({ parameter: v(2), gradient: v(2), clip, momentum: 0.9 }),
    'INVALID_OPTION',
    'sgd: momentumBuffer must be given exactly when momentum is above 0, got momentum 0.9',
  ],
  [() => g.input('x', [1.5]), 'INVALID_SHAPE', 'input "x": sizes must be integers of at least 0 or extents, got [1.5]'],
  [() => g.input('x', [1], 'f64' as 'f32'), 'INVALID_DTYPE', 'input "x": dtype must be f32 or i32, got f64'],
  [() => g.constant([1, 2], [3]), 'INVALID_SHAPE', 'constant: shape [3] needs 3 elements, got 2'],
  [() => g.scalarInput(''), 'INVALID_OPTION', 'scalarInput: name must not be empty, got ""'],
  [
    () => new g.Variable({ name: 'w', shape: [2], init: { kind: 'data', data: new Float32Array(3) } }),
    'INVALID_OPTION',
    'Variable "w": init data must have 2 elements for shape [2], got 3',
  ],
  [
    () => new g.Variable({ name: 'w', shape: [2], init: { kind: 'normal', mean: 0, std: -1 } }),
    'INVALID_OPTION',
    'Variable "w": std must be finite and at least 0, got -1',
  ],
  [
    () => new g.Variable({ name: 'w', shape: [2], init: { kind: 'uniform', low: 1, high: 0 } }),
    'INVALID_OPTION',
    'Variable "w": low and high must be finite and in this order, got 1 and 0',
  ],
  [
    () => new g.Variable({ name: 'w', shape: [2], dtype: 'i32', init: { kind: 'uniform', low: 0, high: 1 } }),
    'INVALID_OPTION',
    'Variable "w": an i32 variable cannot have random init, got uniform',
  ],
  [
    () => new g.Variable({ name: 'w', shape: [2], init: { kind: 'sinusoidal', noise: 0 } }),
    'INVALID_OPTION',
    'Variable "w": sinusoidal init needs a shape [rows, cols], got [2]',
  ],
  [
    () => new g.Variable({ name: 'w', shape: [B as unknown as number] }),
    'INVALID_SHAPE',
    'Variable "w": sizes must be numbers, got [batch≤12]',
  ],
  [
    () => new g.Variable({ name: 'w', shape: [2], dtype: 'i32', init: { kind: 'normal', mean: 0, std: 1 } }),
    'INVALID_OPTION',
    'Variable "w": an i32 variable cannot have random init, got normal',
  ],
];

describe('what is refused', () => {
  it.each(REFUSED.map(([run, code, text]) => [text, run, code] as const))('%s', (text, run, code) => {
    let error: unknown;
    try {
      run();
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(FerroError);
    expect((error as FerroError).message).toBe(text);
    expect((error as FerroError).code).toBe(code);
  });
});

describe('what is made', () => {
  const made: [string, g.Tensor, string][] = [
    ['linear', g.linear(f(B, T, 3), f(3, 5)), 'f32[batch≤12, time≤8, 5]'],
    ['linear of a vector', g.linear(f(3), f(5, 3), undefined, { transposed: true }), 'f32[5]'],
    ['matmul', g.matmul(f(2, 4, 3), f(2, 5, 3), { transposeB: true }), 'f32[2, 4, 5]'],
    ['matmul with a shared b', g.matmul(f(B, 3, 4), f(3, 5), { transposeA: true }), 'f32[batch≤12, 4, 5]'],
    ['add', g.add(f(B, 2), f(2)), 'f32[batch≤12, 2]'],
    ['softmax', g.softmax(f(B, 2)), 'f32[batch≤12, 2]'],
    ['embedding', g.embedding(f(9, 4), i(B, T)), 'f32[batch≤12, time≤8, 4]'],
    ['addPosition', g.addPosition(f(B, T, 4), f(8, 4)), 'f32[batch≤12, time≤8, 4]'],
    ['attention', g.attention(f(B, 2, 4), f(B, 3, 4), f(B, 3, 4), heads), 'f32[batch≤12, 2, 4]'],
    [
      'attention with grouped heads',
      g.attention(f(B, 2, 8), f(B, 3, 4), f(B, 3, 4), { ...heads, nHead: 4, nKvHead: 2 }),
      'f32[batch≤12, 2, 8]',
    ],
    ['attentionQkv with grouped heads', g.attentionQkv(f(B, T, 16), { ...heads, nHead: 4, nKvHead: 2 }), 'f32[batch≤12, time≤8, 8]'],
    ['attentionQkv', g.attentionQkv(f(B, T, 12), heads), 'f32[batch≤12, time≤8, 4]'],
    ['rmsNorm', g.rmsNorm(f(B, 4), f(4)), 'f32[batch≤12, 4]'],
    ['rotary', g.rotary(f(B, T, 9), f(8, 4), { nHead: 2 }), 'f32[batch≤12, time≤8, 9]'],
    ['swiglu', g.swiglu(f(B, 6), f(B, 6)), 'f32[batch≤12, 6]'],
    ['swiglu of one tensor', g.swiglu(f(B, T, 6)), 'f32[batch≤12, time≤8, 3]'],
    ['addInteger', g.addInteger(i(B), 1), 'i32[batch≤12]'],
    ['crossEntropy', g.crossEntropy(f(B, 5), i(B)).logZ, 'f32[batch≤12]'],
    ['linearCrossEntropy', g.linearCrossEntropy(f(B, T, 3), f(5, 3), i(B, T)).loss, 'f32[batch≤12, time≤8]'],
    ['countLabels', g.countLabels(i(B)), 'f32[1]'],
    ['sum', g.sum(f(B, 2)), 'f32[1]'],
    ['sumLast', g.sumLast(f(B, 2)), 'f32[batch≤12, 1]'],
    ['sumRows', g.sumRows(f(B, 2)), 'f32[2]'],
    ['transpose', g.transpose(f(B, 2, T)), 'f32[batch≤12, time≤8, 2]'],
    ['reshape', g.reshape(f(B, 2, 3), [6, B]), 'f32[6, batch≤12]'],
    ['writeRows', g.writeRows(cache, f(1, T, 4), T), 'f32[1, 8, 4]'],
    ['lastRow', g.lastRow(f(B, T, 4)), 'f32[batch≤12, 1, 4]'],
    ['sample', g.sample(f(B, 5)), 'i32[batch≤12]'],
    ['squaredNorm', g.squaredNorm([v(4096), v(4097), v(1)]), 'f64[4]'],
    ['clipFinish', clip, 'f32[4]'],
  ];
  it.each(made)('%s', (_name, tensor, text) => {
    expect(String(tensor)).toBe(text);
  });
  it('dropout of 0 is the tensor itself', () => {
    const x = f(2);
    expect(g.dropout(x, 0, 'a')).toBe(x);
  });
  it('a variable has one tensor, decay by rank, and is trainable when f32', () => {
    expect(cache.tensor).toBe(cache.tensor);
    expect([v(2).decay, v(2, 2).decay, v(2).trainable]).toEqual([false, true, true]);
    expect(new g.Variable({ name: 'n', shape: [1], dtype: 'i32' }).trainable).toBe(false);
  });
  it('a constant keeps its own copy', () => {
    const data = Float32Array.of(1, 2);
    const tensor = g.constant(data);
    data[0] = 9;
    expect((tensor.node.attrs as { data: Float32Array }).data[0]).toBe(1);
  });
});
