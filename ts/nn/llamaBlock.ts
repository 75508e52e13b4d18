// One block of a Llama: grouped attention and a gated feed-forward layer, each behind a root-mean-square norm and beside a residual path.

import { add, type Tensor } from '../graph';
import type { CachePlace, KeyValueCache } from './cache';
import { GroupedQueryAttention, type GroupedQueryAttentionOptions } from './groupedQueryAttention';
import { Module } from './module';
import type { Packing } from './packing';
import { RMSNorm } from './rmsNorm';
import type { RotaryPositions } from './rotary';
import { SwiGLUMLP } from './swigluMLP';

/** Options of `LlamaBlock`. */
export interface LlamaBlockOptions extends Omit<GroupedQueryAttentionOptions, 'bias'> {
  /** Width of the feed-forward layer. */
  hidden: number;
  /** Added to the mean square in both norms. Default 1e-5. */
  eps?: number;
  /** Biases in attention's projections. Default false. */
  attentionBias?: boolean;
  /** Biases in the feed-forward layers. Default false. */
  mlpBias?: boolean;
}

/**
 * x + self_attn(input_layernorm(x)), then that + mlp(post_attention_layernorm(that)), with Llama's names. With `gradientCheckpointing` only x is kept for
 * its backward pass.
 */
export class LlamaBlock extends Module {
  readonly self_attn: GroupedQueryAttention;
  readonly mlp: SwiGLUMLP;
  readonly input_layernorm: RMSNorm;
  readonly post_attention_layernorm: RMSNorm;

  /** @throws INVALID_OPTION as its layers do */
  constructor(width: number, options: LlamaBlockOptions) {
    super();
    const { hidden, eps, attentionBias, mlpBias, projectionStd } = options;
    this.self_attn = new GroupedQueryAttention(width, { ...options, bias: attentionBias });
    this.mlp = new SwiGLUMLP(width, { hidden, bias: mlpBias, projectionStd });
    this.input_layernorm = new RMSNorm(width, { eps });
    this.post_attention_layernorm = new RMSNorm(width, { eps });
  }

  /** @param packing where several documents lie in a row @param x f32 [B, T, width] @returns f32 [B, T, width] */
  override forward(x: Tensor, positions: RotaryPositions, packing: Packing = {}): Tensor {
    return this.checkpoint(() => {
      const attended = add(x, this.self_attn.forward(this.input_layernorm.forward(x), positions, packing));
      return add(attended, this.mlp.forward(this.post_attention_layernorm.forward(attended)));
    });
  }

  /** The same for new positions behind a cache of earlier ones. @param x f32 [B, T, width] @returns f32 [B, T, width] */
  forwardCached(x: Tensor, positions: RotaryPositions, cache: KeyValueCache, place: CachePlace): Tensor {
    const attended = add(x, this.self_attn.forwardCached(this.input_layernorm.forward(x), positions, cache, place));
    return add(attended, this.mlp.forward(this.post_attention_layernorm.forward(attended)));
  }
}
