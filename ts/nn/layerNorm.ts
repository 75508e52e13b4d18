// Layer normalisation over the last axis.

import { FerroError, show } from '../errors';
import { layerNorm, type Tensor, Variable } from '../graph';
import { checkSize } from './checks';
import { ones, zeros } from './init';
import { Module } from './module';

/** Options of `LayerNorm`. */
export interface LayerNormOptions {
  /** Adds a bias, initially zero. Default true. */
  bias?: boolean;
  /** Added to the variance under the root, > 0. Default 1e-5. */
  eps?: number;
}

/** y = (x − mean)/√(variance + eps)·weight + bias over the last axis (Ba, Kiros, Hinton 2016; biased variance, as in torch). Never decayed. */
export class LayerNorm extends Module {
  /** [width], initially ones */
  readonly weight: Variable;
  /** [width], absent with `bias: false` */
  readonly bias: Variable | undefined;
  readonly eps: number;

  /** @throws INVALID_OPTION for a width that is no positive integer or an eps that is not positive */
  constructor(
    readonly width: number,
    options: LayerNormOptions = {},
  ) {
    super();
    checkSize('LayerNorm', 'width', width);
    this.eps = options.eps ?? 1e-5;
    if (!(this.eps > 0 && Number.isFinite(this.eps))) {
      throw new FerroError('INVALID_OPTION', `LayerNorm: "eps" must be a positive number, got ${show(options.eps)}`);
    }
    this.weight = new Variable({ name: 'weight', shape: [width], init: ones, decay: false });
    this.bias = options.bias === false ? undefined : new Variable({ name: 'bias', shape: [width], init: zeros, decay: false });
  }

  /** @param x f32 [.., width] @returns f32 [.., width] */
  override forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight.tensor, this.bias?.tensor, this.eps);
  }
}
