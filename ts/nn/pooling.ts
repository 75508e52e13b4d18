// One vector for each sequence of a batch: that of its last position, or the mean over its positions. No layer: it has no parameters.

import { FerroError } from '../errors';
import { constant, type Dim, embedding, matmul, reshape, type Tensor } from '../graph';

/** How a sequence becomes one vector. */
export type Pooling = 'last' | 'mean';

/**
 * Pools sequences that are padded at their end. The weights of a sequence's positions are a row of a table, picked by its length, so that one program serves all
 * lengths; a product with them is exact for 'last' (one weight is 1, the others 0).
 * @param x f32 [B, T, C], T a number; finite also where it is padding
 * @param lengths i32 [B], from 1 to T (0 gives zeros; others are an error when the program runs: TOKEN_OUT_OF_RANGE)
 * @returns f32 [B, C]
 * @throws INVALID_SHAPE
 */
export function poolSequences(x: Tensor, lengths: Tensor, pooling: Pooling): Tensor {
  const [batch, time, width] = x.shape;
  if (x.shape.length !== 3 || typeof time !== 'number')
    throw new FerroError('INVALID_SHAPE', `poolSequences: x must be [B, T, C] with a fixed T, got [${x.shape.map(String).join(', ')}]`);
  if (lengths.shape.length !== 1 || lengths.dtype !== 'i32') {
    const got = `${lengths.dtype} [${lengths.shape.map(String).join(', ')}]`;
    throw new FerroError('INVALID_SHAPE', `poolSequences: lengths must be i32 [B], got ${got}`);
  }
  const weights = embedding(constant(weightTable(time, pooling), [time + 1, time]), lengths); // [B, T]
  const rows: readonly Dim[] = [batch, 1, time];
  return reshape(matmul(reshape(weights, rows), x), [batch, width]);
}

/** Row n: the weights of the positions of a sequence of length n. */
function weightTable(time: number, pooling: Pooling): Float32Array {
  const table = new Float32Array((time + 1) * time);
  for (let length = 1; length <= time; length++) {
    if (pooling === 'last') table[length * time + length - 1] = 1;
    else table.fill(1 / length, length * time, length * time + length);
  }
  return table;
}
