// A matrix or a vector cut along its first axis: the pieces are views of it, no instruction. Their gradients are put side by side again.
import { apply, asTensor, checkDtype, checkRule, type LowerContext, type OpDefinition, type View } from '../op';
import { UNARY_KINDS } from '../opcodes';
import type { Operand, Tensor } from '../tensor';

const BYTES = 4;

interface SplitAttrs {
  /** Rows of each piece. */
  readonly sizes: readonly number[];
  /** Elements of a row. */
  readonly row: number;
}

/** The piece that begins behind `before` rows. */
function piece(view: View, before: number, size: number, row: number): View {
  return { ...view, offset: view.offset + before * row * BYTES, bytes: size * row * BYTES };
}

/** Calls `visit` for each piece of a buffer. */
function eachPiece({ sizes, row }: SplitAttrs, view: View, visit: (piece: View, index: number) => void): void {
  let before = 0;
  for (const [index, size] of sizes.entries()) {
    visit(piece(view, before, size, row), index);
    before += size;
  }
}

const splitRowsOp: OpDefinition<SplitAttrs> = {
  name: 'split_rows',
  infer: ([x], { sizes }) => sizes.map((size) => ({ shape: [size, ...x.shape.slice(1)], dtype: 'f32' as const })),
  gradient: ({ attrs, inputs: [x], upstream }) => {
    const given = upstream.filter((dy) => dy !== undefined);
    return apply(joinRowsOp, given, { ...attrs, shape: x.shape as readonly number[], given: upstream.map((dy) => dy !== undefined) });
  },
  lower: (c) => eachPiece(c.attrs, c.view(c.inputs[0]), (view, index) => c.alias(index, view)),
};

interface JoinAttrs extends SplitAttrs {
  readonly shape: readonly number[];
  /** Which pieces there are; the others are zeros. */
  readonly given: readonly boolean[];
}

/** Inputs: the pieces that are given, in order. Output: the whole. */
const joinRowsOp: OpDefinition<JoinAttrs> = {
  name: 'join_rows',
  infer: (_inputs, { shape }) => [{ shape, dtype: 'f32' }],
  lower: (c: LowerContext<JoinAttrs>) => {
    const rest = [...c.inputs];
    eachPiece(c.attrs, c.out(), (out, index) => {
      const n = c.attrs.sizes[index] * c.attrs.row;
      if (c.attrs.given[index])
        c.emit('unary', { x: c.view(rest.shift() as Tensor), out }, { n }, { kind: UNARY_KINDS.indexOf('copy'), c: 0 });
      else c.emit('fill', { out }, { n }, { value: 0 });
    });
  },
};

/**
 * x cut into pieces along its first axis. x: f32 [R, ..] of fixed sizes; sizes: of at least one piece, together R → [sizes[i], ..] each.
 * @throws INVALID_SHAPE, INVALID_DTYPE.
 */
export function splitRows(x: Operand, sizes: readonly number[]): readonly Tensor[] {
  const op = 'splitRows';
  const tensor = asTensor(op, 'x', x);
  checkDtype(op, 'x', tensor, 'f32');
  const fixed = tensor.rank >= 1 && tensor.shape.every((dim) => typeof dim === 'number');
  checkRule(fixed, op, 'x must have one axis or more, all of fixed sizes', tensor);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const whole = sizes.length > 0 && sizes.every((size) => Number.isInteger(size) && size > 0) && total === tensor.shape[0];
  checkRule(whole, op, 'the sizes must be positive integers whose sum is the first size of x', sizes, tensor);
  const row = (tensor.shape.slice(1) as number[]).reduce((product, size) => product * size, 1);
  return apply(splitRowsOp, [tensor], { sizes: [...sizes], row });
}
