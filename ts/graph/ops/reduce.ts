// Sums: over everything, over the last axis, over the leading axes; and their opposite, broadcasting (used by gradients).
// Means over a size known only at run time are refused: a RowLoss divides by the true count instead.
import { FerroError } from '../../errors';
import { type Dim, dimMul, numel, type Shape, shapeText } from '../dims';
import { apply, asTensor, checkDtype, checkRule, type OpDefinition } from '../op';
import { BINARY_KINDS, BINARY_MODE } from '../opcodes';
import type { Operand, Tensor } from '../tensor';
import { fill, filledValue } from './fill';
import { reshape } from './reshape';
import { scale } from './unary';

/** How a smaller tensor lies in a larger one, seen as [outer, inner]: one row, one column, or one value. */
export type SpreadMode = 'row' | 'column' | 'scalar';

interface SumAttrs {
  readonly factor: number;
}

const sumOp: OpDefinition<SumAttrs> = {
  name: 'sum',
  infer: ([x]) => {
    checkDtype('sum', 'x', x, 'f32');
    return [{ shape: [1], dtype: 'f32' }];
  },
  gradient: ({ attrs, inputs: [x], upstream: [dy] }) =>
    dy === undefined ? [] : [spread(scale(dy, attrs.factor), x.shape, 'scalar', numel(x.shape), 1)],
  lower: (c) => c.emit('sum_all', { x: c.view(c.inputs[0]), out: c.out() }, { n: numel(c.inputs[0].shape) }, { scale: c.attrs.factor }),
};

interface RowsAttrs {
  readonly outer: Dim;
  readonly inner: Dim;
  readonly shape: Shape;
}

const rowSumOp: OpDefinition<RowsAttrs> = {
  name: 'row_sum',
  infer: (_inputs, { shape }) => [{ shape, dtype: 'f32' }],
  gradient: ({ attrs, inputs: [x], upstream: [dy] }) => (dy === undefined ? [] : [spread(dy, x.shape, 'column', attrs.outer, attrs.inner)]),
  lower: (c) => c.emit('row_sum', { x: c.view(c.inputs[0]), out: c.out() }, { rows: c.attrs.outer, cols: c.attrs.inner }),
};

const columnSumOp: OpDefinition<RowsAttrs> = {
  name: 'column_sum',
  infer: (_inputs, { shape }) => [{ shape, dtype: 'f32' }],
  gradient: ({ attrs, inputs: [x], upstream: [dy] }) => (dy === undefined ? [] : [spread(dy, x.shape, 'row', attrs.outer, attrs.inner)]),
  lower: (c) => c.emit('column_sum', { x: c.view(c.inputs[0]), out: c.out() }, { rows: c.attrs.outer, cols: c.attrs.inner }),
};

interface SpreadAttrs extends RowsAttrs {
  readonly mode: SpreadMode;
}

/** Lowered to ones times the small tensor: rare, since gradients of plain sums are constants. */
const spreadOp: OpDefinition<SpreadAttrs> = {
  name: 'broadcast',
  infer: (_inputs, { shape }) => [{ shape, dtype: 'f32' }],
  gradient: ({ attrs, inputs: [small], upstream: [dy] }) =>
    dy === undefined ? [] : [gather(dy, small.shape, attrs.mode, attrs.outer, attrs.inner)],
  lower: (c) => {
    const { shape, outer, inner, mode } = c.attrs;
    const ones = c.temporary(shape);
    c.emit('fill', { out: ones }, { n: numel(shape) }, { value: 1 });
    const kinds = { kind: BINARY_KINDS.indexOf('mul'), mode: BINARY_MODE[mode] };
    c.emit('binary', { a: ones, b: c.view(c.inputs[0]), out: c.out() }, { outer, inner }, kinds);
  },
};

/** Repeats a small tensor over a larger shape seen as [outer, inner]. */
export function spread(small: Tensor, shape: Shape, mode: SpreadMode, outer: Dim, inner: Dim): Tensor {
  const value = filledValue(small);
  if (value !== undefined) return fill(shape, value);
  return apply(spreadOp, [small], { shape, mode, outer, inner })[0];
}

/** The gradient of a repeated operand: sums a large tensor seen as [outer, inner] down to a small shape. */
export function gather(large: Tensor, shape: Shape, mode: SpreadMode, outer: Dim, inner: Dim): Tensor {
  if (mode === 'row') return apply(columnSumOp, [large], { outer, inner, shape })[0];
  if (mode === 'column') return apply(rowSumOp, [large], { outer, inner, shape })[0];
  const total = sum(large);
  return shape.length === 1 ? total : reshape(total, shape);
}

/** Sum of all elements (f64 inside). x: f32 of any shape → [1]. */
export function sum(x: Operand): Tensor {
  return apply(sumOp, [asTensor('sum', 'x', x)], { factor: 1 })[0];
}

/**
 * Mean of all elements. x: f32 of a static shape → [1].
 * @throws INVALID_SHAPE when the number of elements is known only at run time or is 0.
 */
export function mean(x: Operand): Tensor {
  const tensor = asTensor('mean', 'x', x);
  const n = numel(tensor.shape);
  if (typeof n !== 'number' || n === 0) {
    const rule =
      'the number of elements must be a positive number known when the graph is made (return a RowLoss { sum, count } to divide by a run-time count)';
    throw new FerroError('INVALID_SHAPE', `mean: ${rule}, got ${shapeText(tensor.shape)}`);
  }
  return apply(sumOp, [tensor], { factor: 1 / n })[0];
}

/** Sum over the last axis. x: f32 [..., C] → [..., 1]. */
export function sumLast(x: Operand): Tensor {
  const tensor = asTensor('sumLast', 'x', x);
  checkRule(tensor.rank >= 1, 'sumLast', 'x must have at least one axis', tensor);
  checkDtype('sumLast', 'x', tensor, 'f32');
  const leading = tensor.shape.slice(0, -1);
  return apply(rowSumOp, [tensor], { outer: dimMul(...leading), inner: tensor.shape[tensor.rank - 1], shape: [...leading, 1] })[0];
}

/** Sum over all axes but the last. x: f32 [..., C] → [C]. */
export function sumRows(x: Operand): Tensor {
  const tensor = asTensor('sumRows', 'x', x);
  checkRule(tensor.rank >= 1, 'sumRows', 'x must have at least one axis', tensor);
  checkDtype('sumRows', 'x', tensor, 'f32');
  const inner = tensor.shape[tensor.rank - 1];
  return apply(columnSumOp, [tensor], { outer: dimMul(...tensor.shape.slice(0, -1)), inner, shape: [inner] })[0];
}
