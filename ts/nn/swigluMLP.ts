// Llama's feed-forward half of a block: a gated layer.

import { swiglu, type Tensor } from '../graph';
import { GPT2_STD, normal } from './init';
import { Module } from './module';
import { Projection } from './projection';

/** Options of `SwiGLUMLP`. */
export interface SwiGLUMLPOptions {
  /** Width of the hidden layer. */
  hidden: number;
  /** Biases in all layers. Default false. */
  bias?: boolean;
  /** Standard deviation of down_proj's initial weights. Default 0.02; `residualStd(nLayer)` in a deep model. */
  projectionStd?: number;
}

/** down_proj(silu(gate_proj(x))·up_proj(x)), with Llama's names (Shazeer 2020). */
export class SwiGLUMLP extends Module {
  readonly gate_proj: Projection;
  readonly up_proj: Projection;
  readonly down_proj: Projection;

  /** @throws INVALID_OPTION for sizes that are not positive integers */
  constructor(width: number, options: SwiGLUMLPOptions) {
    super();
    const { hidden, bias } = options;
    this.gate_proj = new Projection(width, hidden, { bias });
    this.up_proj = new Projection(width, hidden, { bias });
    this.down_proj = new Projection(hidden, width, { bias, init: normal(options.projectionStd ?? GPT2_STD) });
  }

  /** @param x f32 [.., width] @returns f32 [.., width] */
  override forward(x: Tensor): Tensor {
    return this.down_proj.forward(swiglu(this.gate_proj.forward(x), this.up_proj.forward(x)));
  }
}
