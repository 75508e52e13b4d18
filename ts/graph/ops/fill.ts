// A tensor of one value. Not exported to users as a layer; gradients begin with it (the seed of ones).
import { dimMul, type Shape } from '../dims';
import { apply, type OpDefinition } from '../op';
import type { Tensor } from '../tensor';

interface FillAttrs {
  readonly shape: Shape;
  readonly value: number;
}

const fillOp: OpDefinition<FillAttrs> = {
  name: 'fill',
  infer: (_inputs, { shape }) => [{ shape, dtype: 'f32' }],
  gradient: () => [],
  lower: (c) => c.emit('fill', { out: c.out() }, { n: dimMul(...c.attrs.shape) }, { value: c.attrs.value }),
};

/** A tensor f32 of `shape` in which every element is `value`. */
export function fill(shape: Shape, value: number): Tensor {
  return apply(fillOp, [], { shape, value })[0];
}

/** The value of a tensor made by `fill`, else undefined. Lets gradients of sums stay constants. */
export function filledValue(tensor: Tensor): number | undefined {
  return tensor.node.op.name === fillOp.name ? (tensor.node.attrs as FillAttrs).value : undefined;
}
