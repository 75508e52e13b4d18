// Root-mean-square normalisation over the last axis.

import { FerroError, show } from '../errors';
import { rmsNorm, type Tensor, Variable } from '../graph';
import { checkSize } from './checks';
import { ones } from './init';
import { Module } from './module';

/** y = x/√(mean(x²) + eps)·weight over the last axis (Zhang, Sennrich 2019): no mean is taken away and there is no bias. Never decayed. */
export class RMSNorm extends Module {
  /** [width], initially ones */
  readonly weight: Variable;
  readonly eps: number;

  /**
   * @param options.eps added to the mean square under the root, > 0. Default 1e-5
   * @throws INVALID_OPTION for a width that is no positive integer or an eps that is not positive
   */
  constructor(
    readonly width: number,
    options: { eps?: number } = {},
  ) {
    super();
    checkSize('RMSNorm', 'width', width);
    this.eps = options.eps ?? 1e-5;
    if (!(this.eps > 0 && Number.isFinite(this.eps))) {
      throw new FerroError('INVALID_OPTION', `RMSNorm: "eps" must be a positive number, got ${show(options.eps)}`);
    }
    this.weight = new Variable({ name: 'weight', shape: [width], init: ones, decay: false });
  }

  /** @param x f32 [.., width] @returns f32 [.., width] */
  override forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight.tensor, this.eps);
  }
}
