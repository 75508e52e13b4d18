// A value that whoever reads it computes again for backward: the finest kind of checkpoint (checkpoint.ts has the regions). No instruction.
import { apply, asTensor, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';

/** What costs a pass over memory and no product, and reads only what backward keeps anyway. */
const CHEAP: ReadonlySet<string> = new Set(['layer_norm', 'rms_norm', 'unary', 'swiglu', 'dropout']);

/** The identity; `Recomputation` puts a second computation of its input in its place where a gradient rule reads it. */
export const recomputedOp: OpDefinition<null> = {
  name: 'recomputed',
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  gradient: ({ upstream: [dy] }) => [dy],
  lower: (c) => c.alias(0, c.view(c.inputs[0])),
};

/**
 * x, which ops that read this are to compute again for their gradients from what x was made from, instead of keeping it: where x comes from a norm, an elementwise function,
 * SwiGLU or dropout, else (and within a checkpoint, which has its own way) x itself. The bits are the same.
 */
export function recomputed(x: Operand): Tensor {
  const tensor = asTensor('recomputed', 'x', x);
  const { op, region } = tensor.node;
  return CHEAP.has(op.name) && region === undefined ? apply(recomputedOp, [tensor], null)[0] : tensor;
}
