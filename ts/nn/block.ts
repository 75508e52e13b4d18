// One block of a GPT: attention and feed-forward, each behind a norm and beside a residual path.

import { add, type Tensor } from '../graph';
import type { CachePlace, KeyValueCache } from './cache';
import { LayerNorm } from './layerNorm';
import { MLP, type MLPOptions } from './mlp';
import { Module } from './module';
import { MultiHeadAttention } from './multiHeadAttention';
import type { Packing } from './packing';
import type { RotaryPositions } from './rotary';

/** Options of `Block`. */
export interface BlockOptions {
  nHead: number;
  /** Biases in linear layers and norms. Default true. */
  bias?: boolean;
  /** Probability of dropping attention weights and both branches' outputs in training. Default 0. */
  dropout?: number;
  /** Probability of dropping attention weights, where it is another. */
  attentionDropout?: number;
  /** Width of the feed-forward part's hidden layer. Default 4·width. */
  hidden?: number;
  /** Activation of the feed-forward part. Default 'gelu_tanh'. */
  activation?: MLPOptions['activation'];
  /** Added to the variance in both norms. Default 1e-5. */
  eps?: number;
  /** True (default): a position sees itself and earlier ones. */
  causal?: boolean;
  /** Standard deviation of the initial weights of the two projections into the residual path. Default 0.02. */
  projectionStd?: number;
}

/** x + attn(ln_1(x)), then that + mlp(ln_2(that)): GPT-2's pre-norm block. With `gradientCheckpointing` only x is kept for its backward pass. */
export class Block extends Module {
  readonly ln_1: LayerNorm;
  readonly attn: MultiHeadAttention;
  readonly ln_2: LayerNorm;
  readonly mlp: MLP;

  /** @throws INVALID_OPTION as its layers do */
  constructor(width: number, options: BlockOptions) {
    super();
    const { bias, dropout, projectionStd, eps } = options;
    this.ln_1 = new LayerNorm(width, { bias, eps });
    this.attn = new MultiHeadAttention(width, {
      nHead: options.nHead,
      causal: options.causal,
      bias,
      dropout,
      attentionDropout: options.attentionDropout ?? dropout,
      projectionStd,
    });
    this.ln_2 = new LayerNorm(width, { bias, eps });
    this.mlp = new MLP(width, { hidden: options.hidden, activation: options.activation, bias, dropout, projectionStd });
  }

  /**
   * @param options.rotary turns queries and keys; the same for all blocks of a model
   * @param options.starts, options.positions where several documents lie in a row
   * @param x f32 [B, T, C] @returns f32 [B, T, C]
   */
  override forward(x: Tensor, options: { keyMask?: Tensor; rotary?: RotaryPositions } & Packing = {}): Tensor {
    return this.checkpoint(() => {
      const attended = add(x, this.attn.forward(this.ln_1.forward(x), options));
      return add(attended, this.mlp.forward(this.ln_2.forward(attended)));
    });
  }

  /** The same for new positions behind a cache of earlier ones. @param x f32 [B, T, C] @returns f32 [B, T, C] */
  forwardCached(x: Tensor, cache: KeyValueCache, place: CachePlace, rotary?: RotaryPositions): Tensor {
    const attended = add(x, this.attn.forwardCached(this.ln_1.forward(x), cache, place, rotary));
    return add(attended, this.mlp.forward(this.ln_2.forward(attended)));
  }
}
