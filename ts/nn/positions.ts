// Position encodings that are added to the token vectors: learned, or sines and cosines.

import { FerroError, show } from '../errors';
import { add, addPosition, type Extent, embedding, Tensor, Variable } from '../graph';
import { checkSize } from './checks';
import { GPT2_STD, normal } from './init';
import { Module } from './module';

/** x + the table's rows. @param position the first row's, i32 [B] of each sequence's first row, or i32 [B, T] of every row */
function addRows(x: Tensor, table: Tensor, position: Extent | Tensor | undefined): Tensor {
  if (position instanceof Tensor && position.shape.length === 2) return add(x, embedding(table, position));
  return addPosition(x, table, position);
}

/** y[b, t] = x[b, t] + weight[position + t] with a learned table (GPT-2's wpe). */
export class LearnedPositions extends Module {
  /** [maxPositions, width] */
  readonly weight: Variable;

  /** @throws INVALID_OPTION for sizes that are not positive integers */
  constructor(
    readonly maxPositions: number,
    readonly width: number,
  ) {
    super();
    checkSize('LearnedPositions', 'maxPositions', maxPositions);
    checkSize('LearnedPositions', 'width', width);
    this.weight = new Variable({ name: 'weight', shape: [maxPositions, width], init: normal(GPT2_STD) });
  }

  /** @param x f32 [B, T, width] @param position the first row's position, 0 when absent, or i32 [B] of each sequence, or i32 [B, T] of every row @returns f32 [B, T, width] */
  override forward(x: Tensor, position?: Extent | Tensor): Tensor {
    return addRows(x, this.weight.tensor, position);
  }
}

/**
 * The same with a fixed table: weight[pos, 2i] = sin(pos/10000^(2i/width)), weight[pos, 2i+1] = cos of the same (Vaswani et al. 2017, section 3.5).
 * `noise` adds independent normal numbers of that standard deviation, drawn once. The table is a variable that is not trained, so that it is saved
 * and so that it can be trained by setting `weight.trainable`.
 */
export class SinusoidalPositions extends Module {
  /** [maxPositions, width] */
  readonly weight: Variable;

  /** @throws INVALID_OPTION for sizes that are not positive integers or a noise that is not ≥ 0 */
  constructor(
    readonly maxPositions: number,
    readonly width: number,
    options: { noise?: number } = {},
  ) {
    super();
    checkSize('SinusoidalPositions', 'maxPositions', maxPositions);
    checkSize('SinusoidalPositions', 'width', width);
    const noise = options.noise ?? 0;
    if (!(noise >= 0 && Number.isFinite(noise))) {
      throw new FerroError('INVALID_OPTION', `SinusoidalPositions: "noise" must be 0 or a positive number, got ${show(noise)}`);
    }
    this.weight = new Variable({ name: 'weight', shape: [maxPositions, width], init: { kind: 'sinusoidal', noise }, trainable: false });
  }

  /** @param x f32 [B, T, width] @param position the first row's position, 0 when absent, or i32 [B] of each sequence, or i32 [B, T] of every row @returns f32 [B, T, width] */
  override forward(x: Tensor, position?: Extent | Tensor): Tensor {
    return addRows(x, this.weight.tensor, position);
  }
}
