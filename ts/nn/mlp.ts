// The feed-forward half of a transformer block.

import { gelu, relu, type Tensor } from '../graph';
import { Dropout } from './dropout';
import { GPT2_STD, normal } from './init';
import { Linear } from './linear';
import { Module } from './module';

/** Options of `MLP`. */
export interface MLPOptions {
  /** Width of the hidden layer. Default 4·width. */
  hidden?: number;
  /** Between the two layers: the tanh form of GELU (default), the exact one, or max(x, 0). */
  activation?: 'gelu_tanh' | 'gelu_erf' | 'relu';
  /** Biases in both layers. Default true. */
  bias?: boolean;
  /** Probability of dropping an output in training. Default 0. */
  dropout?: number;
  /** Standard deviation of c_proj's initial weights. Default 0.02; GPT-2 uses `residualStd(nLayer)`. */
  projectionStd?: number;
}

/** c_proj(activation(c_fc(x))) with GPT-2's names. */
export class MLP extends Module {
  readonly c_fc: Linear;
  readonly c_proj: Linear;
  readonly dropout: Dropout;
  readonly activation: NonNullable<MLPOptions['activation']>;

  /** @throws INVALID_OPTION for sizes that are not positive integers, dropout outside [0, 1) */
  constructor(width: number, options: MLPOptions = {}) {
    super();
    const hidden = options.hidden ?? 4 * width;
    this.c_fc = new Linear(width, hidden, { bias: options.bias });
    this.c_proj = new Linear(hidden, width, { bias: options.bias, init: normal(options.projectionStd ?? GPT2_STD) });
    this.dropout = new Dropout(options.dropout ?? 0);
    this.activation = options.activation ?? 'gelu_tanh';
  }

  /** @param x f32 [.., width] @returns f32 [.., width] */
  override forward(x: Tensor): Tensor {
    const hidden = this.c_fc.forward(x);
    const active = this.activation === 'relu' ? relu(hidden) : gelu(hidden, this.activation === 'gelu_tanh' ? 'tanh' : 'none');
    return this.dropout.forward(this.c_proj.forward(active));
  }
}
