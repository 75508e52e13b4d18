// Random graphs for tests: many ops over a growing pool of tensors that are picked again and again, so that lives cross in every way.
import { Extent } from '../dims';
import { attentionQkv } from '../ops/attention';
import { add, div, mul, sub } from '../ops/binary';
import { dropout } from '../ops/dropout';
import { layerNorm } from '../ops/layerNorm';
import { linear } from '../ops/linear';
import { matmul } from '../ops/matmul';
import { recomputed } from '../ops/recomputed';
import { sum, sumLast, sumRows } from '../ops/reduce';
import { reshape } from '../ops/reshape';
import { softmax } from '../ops/softmax';
import { splitRows } from '../ops/splitRows';
import { transpose } from '../ops/transpose';
import { addScalar, gelu, neg, relu, sigmoid, square, tanh } from '../ops/unary';
import { input, type Tensor, Variable } from '../tensor';
import { Random } from './random';

/** A random graph: what it reads, a loss [1], and outputs. It needs the input `x` [rows, 4], the extent `rows` (at most 5) and dropout's scalars. */
export interface RandomGraph {
  readonly variables: readonly Variable[];
  readonly loss: Tensor;
  readonly outputs: Record<string, Tensor>;
}

/**
 * A graph of `steps` random ops on [R, 4] tensors, R known at run time only; tensors are picked again and again, so lives cross.
 * @param wrap gets every three steps to build, as `checkpoint` does
 * @param mark is put on some values that are cheap to compute again
 */
export function randomGraph(
  seed: number,
  steps: number,
  wrap: (build: () => void) => void = (build) => build(),
  mark: (x: Tensor) => Tensor = recomputed,
): RandomGraph {
  const random = new Random(seed);
  const rows = new Extent('rows', 5);
  const variables: Variable[] = [];
  const fresh = (...shape: number[]): Variable => {
    // Weights are shared sometimes, so that their gradients are sums.
    const same = variables.filter((entry) => String(entry.shape) === String(shape));
    if (same.length > 0 && random.next() < 0.4) return random.pick(same);
    variables.push(new Variable({ name: `v${variables.length}`, shape }));
    return variables[variables.length - 1];
  };
  const pool: Tensor[] = [input('x', [rows, 4]), linear(input('x', [rows, 4]), fresh(4, 4))];
  const pick = (): Tensor => pool[pool.length - 1 - Math.min(pool.length - 1, Math.floor(random.next() ** 2 * pool.length))];
  const ops: (() => Tensor)[] = [
    () => linear(pick(), fresh(4, 4), random.next() < 0.5 ? fresh(4) : undefined),
    () => linear(pick(), fresh(4, 4), undefined, { transposed: true }),
    () => linear(gelu(linear(pick(), fresh(4, 8), fresh(8)), 'tanh'), fresh(8, 4)),
    () => add(pick(), pick()),
    () => mul(pick(), sigmoid(pick())),
    () => sub(pick(), fresh(4)),
    () => add(pick(), sumLast(pick())),
    () => mul(pick(), sumRows(softmax(pick()))),
    () => div(pick(), addScalar(square(sum(tanh(pick()))), 1)),
    () => layerNorm(pick(), fresh(4), fresh(4)),
    () => layerNorm(pick()),
    () => relu(pick()),
    () => neg(pick()),
    () => tanh(pick()),
    () => softmax(pick()),
    () => matmul(transpose(softmax(transpose(pick()))), fresh(4, 4)),
    () => dropout(pick(), 0.3, `d${steps}`),
    () => linear(mark(relu(pick())), fresh(4, 4)),
    () => linear(mark(dropout(mark(layerNorm(pick())), 0.2, `r${steps}`)), fresh(4, 4)),
    () => {
      const [a, b] = splitRows(fresh(8, 4), [4, 4]);
      return add(linear(pick(), a, undefined, { transposed: true }), random.next() < 0.5 ? linear(pick(), b) : pick());
    },
    () => reshape(attentionQkv(reshape(linear(pick(), fresh(4, 12)), [1, rows, 12]), { nHead: 2, causal: true }), [rows, 4]),
  ];
  for (let i = 0; i < steps; i += 3) {
    wrap(() => {
      for (let k = i; k < Math.min(i + 3, steps); k++) pool.push(layerNorm(random.pick(ops)()));
    });
  }
  const loss = sum(mul(pool[pool.length - 1], add(pick(), pick())));
  return { variables, loss, outputs: { loss, last: pool[pool.length - 1], other: pick() } };
}
