// Rotary positions (Su et al., arXiv:2104.09864): heads turned by the angles of their position, halves paired as Llama in transformers does.
import { type Dim, dimMax, dimMul, Extent, shapeEquals } from '../dims';
import { apply, asSequenceNumbers, asTensor, checkDtype, checkOption, checkRule, type OpDefinition, staticLast } from '../op';
import type { Operand, Tensor } from '../tensor';

interface RotaryAttrs {
  readonly batch: Dim;
  readonly time: Dim;
  readonly cols: number;
  readonly position: Dim;
  readonly tableRows: Dim;
  readonly heads: number;
  readonly headDim: number;
  readonly inverse: boolean;
}

/** Inputs x, table, positions? (i32 [batch], where each sequence of `time` steps begins). The gradient is the inverse turn of the upstream one; the table has none. */
const rotaryOp: OpDefinition<RotaryAttrs> = {
  name: 'rotary',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  gradient: ({ attrs, inputs: [, ...rest], upstream: [dy], needed }) =>
    dy === undefined || !needed[0] ? [] : [apply(rotaryOp, [dy, ...rest], { ...attrs, inverse: !attrs.inverse })[0]],
  lower: (c) => {
    const [x, table, positions] = c.inputs.map((tensor) => c.view(tensor));
    const { batch, time, cols, position, tableRows, heads, headDim, inverse } = c.attrs;
    c.emit(
      'rotary',
      { x, table, positions, out: c.out() },
      { batch, time, cols, position, table_rows: tableRows },
      { heads, head_dim: headDim, inverse: Number(inverse) },
    );
  },
};

/** Options of `rotary`. */
export interface RotaryOptions {
  /** How many heads of each row are turned, from its beginning: H + Hkv of packed projections (their q and k), H of queries alone. */
  readonly nHead: number;
  /** Where all sequences begin (default 0), or i32 [B] where each does, or i32 [B, T] the position of every token (packed documents). */
  readonly position?: Extent | Operand;
}

/**
 * Turns the first nHead heads of each row by the angles of its position; the rest of a row stays. With a and b the halves of a head:
 * a·cos − b·sin and b·cos + a·sin. x: f32 [B, T, W], W at least nHead·D; table: f32 [P, D], D even: of each position the cosines of its D/2
 * angles, then their sines (a variable with init `rotary`) → [B, T, W]. Differentiable in x.
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION. position + T ≤ P is checked when a run begins, positions by the kernel (INVALID_SHAPE).
 */
export function rotary(x: Operand, table: Operand, options: RotaryOptions): Tensor {
  const op = 'rotary';
  const tensor = asTensor(op, 'x', x);
  const angles = asTensor(op, 'table', table);
  const { nHead, position = 0 } = options;
  checkDtype(op, 'x', tensor, 'f32');
  checkDtype(op, 'table', angles, 'f32');
  checkRule(tensor.rank === 3 && angles.rank === 2, op, 'x must be [B, T, W] and table [P, D]', tensor, angles);
  checkOption(Number.isInteger(nHead) && nHead >= 1, op, 'nHead must be a positive integer', nHead);
  const [batch, time] = tensor.shape;
  const [tableRows] = angles.shape;
  const cols = staticLast(op, 'x', tensor);
  const headDim = staticLast(op, 'table', angles);
  checkRule(headDim % 2 === 0 && nHead * headDim <= cols, op, `D must be even and ${nHead} heads of it fit a row of x`, tensor, angles);
  const attrs = { batch, time, cols, tableRows, heads: nHead, headDim, inverse: false };
  if (position !== 0 && !(position instanceof Extent)) {
    const each = asTensor(op, 'position', position);
    if (each.rank === 2) {
      checkDtype(op, 'position', each, 'i32');
      checkRule(shapeEquals(each.shape, [batch, time]), op, 'position must be [B, T]', each, [batch, time]);
      // Every token is a sequence of one step.
      return apply(rotaryOp, [tensor, angles, each], { ...attrs, batch: dimMul(batch, time), time: 1, position: 0 })[0];
    }
  }
  checkRule(dimMax(time) <= dimMax(tableRows), op, 'the sequence must not be longer than the table', tensor, angles);
  if (position === 0 || position instanceof Extent) return apply(rotaryOp, [tensor, angles], { ...attrs, position })[0];
  const positions = asSequenceNumbers(op, 'position', position, batch);
  return apply(rotaryOp, [tensor, angles, positions], { ...attrs, position: 0 })[0];
}
