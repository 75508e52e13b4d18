// Another shape for the same elements: a view, no instruction.
import { FerroError } from '../../errors';
import { checkShape, dimEquals, numel, type Shape, shapeEquals } from '../dims';
import { apply, asTensor, checkRule, type OpDefinition } from '../op';
import { isFrozenType, type Operand, type Tensor } from '../tensor';

const reshapeOp: OpDefinition<{ readonly shape: Shape }> = {
  name: 'reshape',
  infer: ([x], { shape }) => {
    checkShape('reshape', shape);
    checkRule(dimEquals(numel(x.shape), numel(shape)), 'reshape', 'both shapes must have the same number of elements', x, shape);
    return [{ shape: [...shape], dtype: x.dtype }];
  },
  gradient: ({ inputs: [x], upstream: [dy] }) => (dy === undefined ? [] : [reshape(dy, x.shape)]),
  lower: (c) => c.alias(0, c.view(c.inputs[0])),
};

/** The same elements in another shape, f32 or i32. @throws INVALID_SHAPE unless the numbers of elements agree, extents included; INVALID_DTYPE. */
export function reshape(x: Operand, shape: Shape): Tensor {
  const tensor = asTensor('reshape', 'x', x);
  // Blocks lie as the shape says: another one would read other numbers.
  if (isFrozenType(tensor.dtype)) throw new FerroError('INVALID_DTYPE', `reshape: x must be f32 or i32, got ${tensor}`);
  return Array.isArray(shape) && shapeEquals(tensor.shape, shape) ? tensor : apply(reshapeOp, [tensor], { shape })[0];
}
