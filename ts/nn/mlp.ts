// The feed-forward half of a transformer block.

import { gelu, type Tensor } from '../graph';
import { Dropout } from './dropout';
import { GPT2_STD, normal } from './init';
import { Linear } from './linear';
import { Module } from './module';

/** Options of `MLP`. */
export interface MLPOptions {
  /** Width of the hidden layer. Default 4·width. */
  hidden?: number;
  /** Biases in both layers. Default true. */
  bias?: boolean;
  /** Probability of dropping an output in training. Default 0. */
  dropout?: number;
  /** Standard deviation of c_proj's initial weights. Default 0.02; GPT-2 uses `residualStd(nLayer)`. */
  projectionStd?: number;
}

/** c_proj(gelu(c_fc(x))) with the tanh form of GELU and GPT-2's names. */
export class MLP extends Module {
  readonly c_fc: Linear;
  readonly c_proj: Linear;
  readonly dropout: Dropout;

  /** @throws INVALID_OPTION for sizes that are not positive integers, dropout outside [0, 1) */
  constructor(width: number, options: MLPOptions = {}) {
    super();
    const hidden = options.hidden ?? 4 * width;
    this.c_fc = new Linear(width, hidden, { bias: options.bias });
    this.c_proj = new Linear(hidden, width, { bias: options.bias, init: normal(options.projectionStd ?? GPT2_STD) });
    this.dropout = new Dropout(options.dropout ?? 0);
  }

  /** @param x f32 [.., width] @returns f32 [.., width] */
  override forward(x: Tensor): Tensor {
    return this.dropout.forward(this.c_proj.forward(gelu(this.c_fc.forward(x), 'tanh')));
  }
}
