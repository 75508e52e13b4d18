// Adds a constant to whole numbers: positions that move on by one, and the numbers of keys they make. Forward only.
import { numel } from '../dims';
import { apply, asTensor, checkDtype, checkOption, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';

const addIntegerOp: OpDefinition<{ readonly c: number }> = {
  name: 'add_integer',
  infer: ([x]) => [{ shape: x.shape, dtype: 'i32' }],
  lower: (c) => c.emit('add_integer', { x: c.view(c.inputs[0]), out: c.out() }, { n: numel(c.inputs[0].shape) }, { c: c.attrs.c }),
};

/** x + c, elementwise, in 32 bits. x: i32 of any shape; c: a 32-bit integer. @throws INVALID_DTYPE, INVALID_OPTION. Not differentiable. */
export function addInteger(x: Operand, c: number): Tensor {
  const tensor = asTensor('addInteger', 'x', x);
  checkDtype('addInteger', 'x', tensor, 'i32');
  checkOption((c | 0) === c, 'addInteger', 'c must be a 32-bit integer', c);
  return apply(addIntegerOp, [tensor], { c })[0];
}
