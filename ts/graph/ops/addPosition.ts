// Adds the rows of a position table to sequences: x[b, t] + table[position + t], or table[positions[b] + t].
import { type Dim, dimEquals, dimMax, dimMul, Extent } from '../dims';
import { apply, asSequenceNumbers, asTensor, checkDtype, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';

interface PositionAttrs {
  readonly batch: Dim;
  readonly time: Dim;
  readonly cols: Dim;
  readonly position: Dim;
  readonly table_rows: Dim;
}

const addPositionOp: OpDefinition<PositionAttrs> = {
  name: 'add_position',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  gradient: ({ attrs, upstream: [dy], needed }) =>
    dy === undefined ? [] : [dy, needed[1] ? apply(addPositionBackwardOp, [dy], attrs)[0] : undefined],
  lower: (c) => c.emit('add_position', { x: c.view(c.inputs[0]), table: c.view(c.inputs[1]), out: c.out() }, { ...c.attrs }),
};

/** Inputs x, table, positions i32 [B]. Without a gradient rule: for generation. */
const addPositionsOp: OpDefinition<PositionAttrs> = {
  name: 'add_positions',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  lower: (c) => {
    const [x, table, positions] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('add_position', { x, table, positions, out: c.out() }, { ...c.attrs });
  },
};

const addPositionBackwardOp: OpDefinition<PositionAttrs> = {
  name: 'add_position_backward',
  infer: (_inputs, { table_rows, cols }) => [{ shape: [table_rows, cols], dtype: 'f32' }],
  lower: (c) => c.emit('add_position_backward', { dy: c.view(c.inputs[0]), dtable: c.out() }, { ...c.attrs }),
};

/**
 * x[b, t] + table[position + t]. x: f32 [..., T, C]; table: f32 [P, C]; position: where all sequences begin (default 0), or i32 [B] where each
 * does (x must be [B, T, C]; then not differentiable) → x's shape.
 * @throws INVALID_SHAPE when C differs or T can exceed P. position + T ≤ P is checked when a run begins, positions by the kernel (INVALID_SHAPE).
 */
export function addPosition(x: Operand, table: Operand, position?: Extent | Operand): Tensor {
  const tensor = asTensor('addPosition', 'x', x);
  const rowsOf = asTensor('addPosition', 'table', table);
  checkDtype('addPosition', 'x', tensor, 'f32');
  checkDtype('addPosition', 'table', rowsOf, 'f32');
  checkRule(tensor.rank >= 2 && rowsOf.rank === 2, 'addPosition', 'x must be [..., T, C] and table [P, C]', tensor, rowsOf);
  const [time, cols] = tensor.shape.slice(-2);
  const [tableRows, width] = rowsOf.shape;
  checkRule(dimEquals(cols, width), 'addPosition', 'x and table must have the same last size', tensor, rowsOf);
  checkRule(dimMax(time) <= dimMax(tableRows), 'addPosition', 'the sequence must not be longer than the table', tensor, rowsOf);
  if (position !== undefined && !(position instanceof Extent)) {
    checkRule(tensor.rank === 3, 'addPosition', 'x must be [B, T, C] with a position for each sequence', tensor);
    const positions = asSequenceNumbers('addPosition', 'position', position, tensor.shape[0]);
    const attrs = { batch: tensor.shape[0], time, cols, position: 0, table_rows: tableRows };
    return apply(addPositionsOp, [tensor, rowsOf, positions], attrs)[0];
  }
  const attrs = { batch: dimMul(...tensor.shape.slice(0, -2)), time, cols, position: position ?? 0, table_rows: tableRows };
  return apply(addPositionOp, [tensor, rowsOf], attrs)[0];
}
