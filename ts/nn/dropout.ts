// Dropout as a layer. The mask itself is drawn in Rust, from seed, step, micro-batch and the path of this module (contract 8).

import { dropout, type Tensor } from '../graph';
import { checkDropout } from './checks';
import { Module, pathOf } from './module';

/** In training zeroes each element with probability p and divides the rest by 1 − p; otherwise, and with p = 0, passes x through (Srivastava et al. 2014). */
export class Dropout extends Module {
  /** @throws INVALID_OPTION unless 0 ≤ p < 1 */
  constructor(readonly p: number) {
    super();
    checkDropout('Dropout', p);
  }

  /** @param x f32 [..] @returns f32 of the same shape */
  override forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(x, this.p, pathOf(this, 'Dropout')) : x;
  }
}
