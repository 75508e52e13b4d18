// Elementwise functions of one tensor, and their shared backward instruction. GELU is here too: it is elementwise.
import { FerroError } from '../../errors';
import { dimMul } from '../dims';
import { apply, asTensor, checkDtype, checkOption, type OpDefinition } from '../op';
import { UNARY_KINDS, type UnaryKind } from '../opcodes';
import { isFrozenType, type Operand, type Tensor } from '../tensor';
import { fill, filledValue } from './fill';

interface UnaryAttrs {
  readonly kind: UnaryKind;
  /** The constant of scale and add_scalar, else 0. */
  readonly c: number;
}

/** Kinds whose derivative is read from the result; the others read the argument. Keeps one of the two from living until the backward pass. */
const FROM_RESULT: ReadonlySet<UnaryKind> = new Set(['exp', 'sqrt', 'tanh', 'sigmoid', 'relu', 'reciprocal']);

const unaryOp: OpDefinition<UnaryAttrs> = {
  name: 'unary',
  infer: ([x], { kind }) => {
    checkDtype(kind, 'x', x, 'f32');
    return [{ shape: x.shape, dtype: 'f32' }];
  },
  gradient: ({ attrs: { kind, c }, inputs: [x], outputs: [y], upstream: [dy] }) => {
    if (dy === undefined) return [];
    if (kind === 'copy' || kind === 'add_scalar') return [dy];
    if (kind === 'neg') return [scale(dy, -1)];
    if (kind === 'scale') return [scale(dy, c)];
    return apply(unaryBackwardOp, [FROM_RESULT.has(kind) ? y : x, dy], { kind, c });
  },
  lower: (c) =>
    c.emit(
      'unary',
      { x: c.view(c.inputs[0]), out: c.out() },
      { n: dimMul(...c.inputs[0].shape) },
      { kind: UNARY_KINDS.indexOf(c.attrs.kind), c: c.attrs.c },
    ),
};

/** Inputs: the argument or the result (as FROM_RESULT says), and the upstream gradient. */
const unaryBackwardOp: OpDefinition<UnaryAttrs> = {
  name: 'unary_backward',
  infer: ([value]) => [{ shape: value.shape, dtype: 'f32' }],
  lower: (c) => {
    const value = c.view(c.inputs[0]);
    c.emit(
      'unary_backward',
      { x: value, y: value, dy: c.view(c.inputs[1]), dx: c.out() },
      { n: dimMul(...c.inputs[0].shape) },
      { kind: UNARY_KINDS.indexOf(c.attrs.kind), c: c.attrs.c },
    );
  },
};

function unary(kind: UnaryKind, x: Operand, c = 0): Tensor {
  return apply(unaryOp, [asTensor(kind, 'x', x)], { kind, c })[0];
}

/** −x, elementwise. x: f32 of any shape. */
export const neg = (x: Operand): Tensor => unary('neg', x);
/** e^x, elementwise. */
export const exp = (x: Operand): Tensor => unary('exp', x);
/** Natural logarithm, elementwise. */
export const log = (x: Operand): Tensor => unary('log', x);
/** Square root, elementwise. */
export const sqrt = (x: Operand): Tensor => unary('sqrt', x);
/** x², elementwise. */
export const square = (x: Operand): Tensor => unary('square', x);
/** |x|, elementwise; its derivative at 0 is 0. */
export const abs = (x: Operand): Tensor => unary('abs', x);
/** Hyperbolic tangent, elementwise. */
export const tanh = (x: Operand): Tensor => unary('tanh', x);
/** 1 / (1 + e^−x), elementwise. */
export const sigmoid = (x: Operand): Tensor => unary('sigmoid', x);
/** max(x, 0), elementwise; its derivative at 0 is 0. */
export const relu = (x: Operand): Tensor => unary('relu', x);
/** 1 / x, elementwise. */
export const reciprocal = (x: Operand): Tensor => unary('reciprocal', x);

/** GELU, elementwise: `tanh` is the approximation GPT-2 uses, `none` is x·Φ(x) with erf, as in torch. @throws INVALID_OPTION. */
export function gelu(x: Operand, approximate: 'tanh' | 'none' = 'none'): Tensor {
  checkOption(approximate === 'tanh' || approximate === 'none', 'gelu', "approximate must be 'tanh' or 'none'", approximate);
  return unary(approximate === 'tanh' ? 'gelu_tanh' : 'gelu_erf', x);
}

/** c·x, elementwise, c a fixed finite number. @throws INVALID_OPTION. */
export function scale(x: Operand, c: number): Tensor {
  checkOption(Number.isFinite(c), 'scale', 'c must be a finite number', c);
  const tensor = asTensor('scale', 'x', x);
  const value = filledValue(tensor);
  if (value !== undefined) return fill(tensor.shape, value * c);
  return unary('scale', tensor, c);
}

/** x + c, elementwise, c a fixed finite number. @throws INVALID_OPTION. */
export function addScalar(x: Operand, c: number): Tensor {
  checkOption(Number.isFinite(c), 'addScalar', 'c must be a finite number', c);
  return unary('add_scalar', x, c);
}

/** Whether a dtype can go through a `copy` instruction; f64 partial sums and frozen weights cannot. */
export function checkCopyable(op: string, tensor: Tensor): void {
  if (isFrozenType(tensor.dtype))
    throw new FerroError('INVALID_DTYPE', `${op}: frozen weights are read by products and lookups alone, got ${tensor}`);
  if (tensor.dtype === 'f64')
    throw new FerroError('INVALID_DTYPE', `${op}: an f64 tensor of partial sums can only go to clipFinish, got ${tensor}`);
}
