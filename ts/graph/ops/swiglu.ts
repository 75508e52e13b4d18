// SwiGLU (Shazeer, arXiv:2002.05202): silu(gate)·up, of two tensors or of one that holds both side by side. Fused, with its gradients.
import { type Dim, dimMul, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkRule, type LowerContext, type OpDefinition, staticLast, type View } from '../op';
import type { Operand, Tensor } from '../tensor';

interface SwigluAttrs {
  readonly rows: Dim;
  readonly cols: Dim;
  /** One [.., 2F] tensor holds gate and up. */
  readonly packed: boolean;
}

const BYTES = 4;

/** Gate and up (or their gradients) in one buffer or two. */
function parts(views: readonly View[], { cols, packed }: SwigluAttrs): [View, View] {
  if (!packed) return [views[0], views[1]];
  const [both] = views;
  const skip = (cols as number) * BYTES;
  return [both, { ...both, offset: both.offset + skip, bytes: both.bytes - skip }];
}

function dimsOf({ rows, cols, packed }: SwigluAttrs): Record<string, Dim> {
  const row = packed ? dimMul(2, cols) : cols;
  return { rows, cols, gate_row: row, up_row: row };
}

/** Inputs gate and up, or one tensor of both. */
const swigluOp: OpDefinition<SwigluAttrs> = {
  name: 'swiglu',
  infer: ([first], { cols }) => [{ shape: [...first.shape.slice(0, -1), cols], dtype: 'f32' }],
  gradient: ({ attrs, inputs, upstream: [dout] }) => (dout === undefined ? [] : apply(swigluBackwardOp, [...inputs, dout], attrs)),
  lower: (c) => {
    const [gate, up] = parts(viewsOf(c, c.inputs), c.attrs);
    c.emit('swiglu', { gate, up, out: c.out() }, dimsOf(c.attrs));
  },
};

/** Inputs: those of the forward node, then the upstream gradient. Outputs: one gradient per input of it. */
const swigluBackwardOp: OpDefinition<SwigluAttrs> = {
  name: 'swiglu_backward',
  infer: (inputs) => inputs.slice(0, -1).map((tensor) => ({ shape: tensor.shape, dtype: 'f32' as const })),
  lower: (c) => {
    const [gate, up] = parts(viewsOf(c, c.inputs.slice(0, -1)), c.attrs);
    const [dgate, dup] = parts(c.attrs.packed ? [c.out(0)] : [c.out(0), c.out(1)], c.attrs);
    c.emit('swiglu_backward', { gate, up, dout: c.view(c.inputs[c.inputs.length - 1]), dgate, dup }, dimsOf(c.attrs));
  },
};

function viewsOf(c: LowerContext<SwigluAttrs>, tensors: readonly Tensor[]): View[] {
  return tensors.map((tensor) => c.view(tensor));
}

/**
 * silu(gate)·up with silu(g) = g ÷ (1 + e^−g). gate: f32 [..., F] and up: f32 [..., F]; or one f32 [..., 2F], each row the gate and then up → [..., F].
 * @throws INVALID_SHAPE, INVALID_DTYPE.
 */
export function swiglu(gate: Operand, up?: Operand): Tensor {
  const op = 'swiglu';
  const first = asTensor(op, 'gate', gate);
  checkDtype(op, 'gate', first, 'f32');
  checkRule(first.rank >= 1, op, 'gate must have at least one axis', first);
  const rows = dimMul(...first.shape.slice(0, -1));
  if (up === undefined) {
    const row = staticLast(op, 'gate', first);
    checkRule(row % 2 === 0, op, 'the last size of gate and up together must be even', first);
    return apply(swigluOp, [first], { rows, cols: row / 2, packed: true })[0];
  }
  const second = asTensor(op, 'up', up);
  checkDtype(op, 'up', second, 'f32');
  checkRule(shapeEquals(first.shape, second.shape), op, 'gate and up must have the same shape', first, second);
  return apply(swigluOp, [first, second], { rows, cols: first.shape[first.rank - 1], packed: false })[0];
}
