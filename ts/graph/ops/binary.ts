// a + b, a − b, a·b, a ÷ b, elementwise, where b may be smaller: a suffix of a's shape, one value per row, or a single value.
import { type Dim, dimEquals, dimMul, numel, type Shape, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkRule, type OpDefinition } from '../op';
import { BINARY_KINDS, BINARY_MODE, type BinaryKind } from '../opcodes';
import type { Operand, Tensor } from '../tensor';
import { gather } from './reduce';
import { neg } from './unary';

type Mode = keyof typeof BINARY_MODE;

interface BinaryAttrs {
  readonly kind: BinaryKind;
  readonly mode: Mode;
  /** a seen as [outer, inner]. */
  readonly outer: Dim;
  readonly inner: Dim;
}

function layout(kind: BinaryKind, a: Tensor, b: Tensor): Omit<BinaryAttrs, 'kind'> {
  if (shapeEquals(a.shape, b.shape)) return { mode: 'same', outer: 1, inner: numel(a.shape) };
  if (b.rank <= 1 && numel(b.shape) === 1) return { mode: 'scalar', outer: numel(a.shape), inner: 1 };
  const leading: Shape = a.shape.slice(0, -1);
  if (b.rank === a.rank && b.shape[b.rank - 1] === 1 && shapeEquals(leading, b.shape.slice(0, -1))) {
    return { mode: 'column', outer: dimMul(...leading), inner: a.shape[a.rank - 1] };
  }
  const suffix = b.rank < a.rank && b.shape.every((dim, i) => dimEquals(dim, a.shape[a.rank - b.rank + i]));
  checkRule(suffix, kind, "b must have a's shape, a suffix of it, a's shape with last size 1, or be [1]", a, b);
  return { mode: 'row', outer: dimMul(...a.shape.slice(0, a.rank - b.rank)), inner: numel(b.shape) };
}

const binaryOp: OpDefinition<BinaryAttrs> = {
  name: 'binary',
  infer: ([a]) => [{ shape: a.shape, dtype: 'f32' }],
  gradient: ({ attrs, inputs: [a, b], outputs: [y], upstream: [dy], needed }) => {
    if (dy === undefined) return [];
    const { kind, mode, outer, inner } = attrs;
    const reduce = (large: Tensor): Tensor => (mode === 'same' ? large : gather(large, b.shape, mode, outer, inner));
    if (kind === 'add') return [dy, needed[1] ? reduce(dy) : undefined];
    if (kind === 'sub') return [dy, needed[1] ? neg(reduce(dy)) : undefined];
    if (kind === 'mul') return [needed[0] ? mul(dy, b) : undefined, needed[1] ? reduce(mul(dy, a)) : undefined];
    // b is one value wherever the sum runs, so −Σ dy·y / b is summed first and divided once.
    return [needed[0] ? div(dy, b) : undefined, needed[1] ? neg(div(reduce(mul(dy, y)), b)) : undefined];
  },
  lower: (c) => {
    const { kind, mode, outer, inner } = c.attrs;
    c.emit(
      'binary',
      { a: c.view(c.inputs[0]), b: c.view(c.inputs[1]), out: c.out() },
      { outer, inner },
      { kind: BINARY_KINDS.indexOf(kind), mode: BINARY_MODE[mode] },
    );
  },
};

function binary(kind: BinaryKind, x: Operand, y: Operand): Tensor {
  const a = asTensor(kind, 'a', x);
  const b = asTensor(kind, 'b', y);
  checkDtype(kind, 'a', a, 'f32');
  checkDtype(kind, 'b', b, 'f32');
  return apply(binaryOp, [a, b], { kind, ...layout(kind, a, b) })[0];
}

/** a + b, elementwise. b: a's shape, a suffix of it (a bias), a's shape with last size 1, or [1]. @throws INVALID_SHAPE. */
export const add = (a: Operand, b: Operand): Tensor => binary('add', a, b);
/** a − b; shapes as `add`. */
export const sub = (a: Operand, b: Operand): Tensor => binary('sub', a, b);
/** a·b, elementwise; shapes as `add`. */
export const mul = (a: Operand, b: Operand): Tensor => binary('mul', a, b);
/** a ÷ b; shapes as `add`. */
export const div = (a: Operand, b: Operand): Tensor => binary('div', a, b);
