// Rotary positions: queries and keys are turned by angles that grow with their position, so that their products depend on the distance alone.

import { FerroError, show } from '../errors';
import { type Extent, type Init, type RotaryScaling, rotary, type Tensor, Variable } from '../graph';
import { checkSize } from './checks';
import { Module } from './module';

/** Options of `RotaryPositions`. */
export interface RotaryOptions {
  /** θ: the pair i of a head turns by position·θ^(−2i/headDim). Default 10000. */
  base?: number;
  /** How the angles are changed for contexts longer than a model was first trained for. Default: not. */
  scaling?: RotaryScaling | null;
}

/**
 * Turns each pair (i, i + headDim/2) of every head by position·θ^(−2i/headDim) (Su et al. 2021, with the halves paired as in transformers' Llama). The
 * cosines and sines are a table that the engine computes once; it follows from the options, so it is no parameter and is not saved.
 */
export class RotaryPositions extends Module {
  /** [maxPositions, headDim]: of each position headDim/2 cosines, then as many sines */
  readonly table: Variable;

  /** @throws INVALID_OPTION for sizes that are not positive integers, an odd headDim, a base or factors that are not positive */
  constructor(
    readonly maxPositions: number,
    readonly headDim: number,
    options: RotaryOptions = {},
  ) {
    super();
    const { base = 10000, scaling } = options;
    checkSize('RotaryPositions', 'maxPositions', maxPositions);
    checkSize('RotaryPositions', 'headDim', headDim);
    if (headDim % 2 !== 0) throw new FerroError('INVALID_OPTION', `RotaryPositions: "headDim" must be even, got ${headDim}`);
    const { kind: _, ...factors } = scaling ?? { kind: 'linear', factor: 1 };
    for (const [name, value] of Object.entries({ base, ...factors })) {
      if (!(value > 0 && Number.isFinite(value)))
        throw new FerroError('INVALID_OPTION', `RotaryPositions: "${name}" must be a positive number, got ${show(value)}`);
    }
    const init: Init = { kind: 'rotary', base, ...(scaling == null ? {} : { scaling }) };
    this.table = new Variable({ name: 'table', shape: [maxPositions, headDim], trainable: false, derived: true, init });
  }

  /**
   * @param x f32 [B, T, nHead·headDim], queries or keys
   * @param position the first row's position, 0 when absent; or i32 [B], that of each sequence's first row; or i32 [B, T], that of every row
   * @returns f32 as x
   */
  override forward(x: Tensor, options: { nHead: number; position?: Extent | Tensor | undefined }): Tensor {
    return rotary(x, this.table.tensor, options);
  }
}
