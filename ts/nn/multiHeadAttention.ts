// Multi-head attention: Concat(head_1 … head_h)·W^O, for self-attention (GPT-2's layout) and for attention to another sequence.

import { FerroError } from '../errors';
import { attention, attentionQkv, qkvPart, type Tensor } from '../graph';
import { attendCached, type CachePlace, type KeyValueCache, positionOf } from './cache';
import { checkDropout, checkHeads, checkSize } from './checks';
import { Dropout } from './dropout';
import { GPT2_STD, normal } from './init';
import { Linear } from './linear';
import { Module, pathOf } from './module';
import type { Packing } from './packing';
import type { RotaryPositions } from './rotary';

/** Options of `MultiHeadAttention`. */
export interface MultiHeadAttentionOptions {
  /** Number of heads; must divide the width. */
  nHead: number;
  /** True (default): position t sees positions ≤ t. With fewer queries than keys the last query sees the last key. */
  causal?: boolean;
  /** Biases in all projections. Default true. */
  bias?: boolean;
  /** Probability of dropping an attention weight in training. Default 0. */
  attentionDropout?: number;
  /** Probability of dropping an output in training. Default 0. */
  dropout?: number;
  /** Keys and values come from another sequence of this width: projections q_attn, k_attn, v_attn instead of the joint c_attn. */
  contextWidth?: number;
  /** Standard deviation of c_proj's initial weights. Default 0.02; GPT-2 uses `residualStd(nLayer)`. */
  projectionStd?: number;
}

/** What `forward` takes beside its queries. */
export interface AttentionInputs extends Packing {
  context?: Tensor;
  keyMask?: Tensor;
  rotary?: RotaryPositions;
}

/**
 * softmax(QKᵀ/√d)·V per head, the heads side by side, then a projection (Vaswani et al. 2017). Self-attention has GPT-2's parameters: c_attn
 * [C, 3C] with query, key and value side by side, and c_proj [C, C].
 */
export class MultiHeadAttention extends Module {
  /** Joint projection [C, 3C] of self-attention. */
  readonly c_attn: Linear | undefined;
  /** Projections of cross-attention: [C, C], [contextWidth, C], [contextWidth, C]. */
  readonly q_attn: Linear | undefined;
  readonly k_attn: Linear | undefined;
  readonly v_attn: Linear | undefined;
  readonly c_proj: Linear;
  readonly dropout: Dropout;
  readonly nHead: number;
  readonly causal: boolean;
  readonly attentionDropout: number;

  /** @throws INVALID_OPTION for sizes that are not positive integers, a width that nHead does not divide, dropout outside [0, 1) */
  constructor(
    readonly width: number,
    options: MultiHeadAttentionOptions,
  ) {
    super();
    checkSize('MultiHeadAttention', 'width', width);
    checkSize('MultiHeadAttention', 'nHead', options.nHead);
    checkHeads('MultiHeadAttention', width, options.nHead, 'width');
    checkDropout('MultiHeadAttention', options.attentionDropout ?? 0);
    const { bias } = options;
    if (options.contextWidth === undefined) {
      this.c_attn = new Linear(width, 3 * width, { bias });
    } else {
      this.q_attn = new Linear(width, width, { bias });
      this.k_attn = new Linear(options.contextWidth, width, { bias });
      this.v_attn = new Linear(options.contextWidth, width, { bias });
    }
    this.c_proj = new Linear(width, width, { bias, init: normal(options.projectionStd ?? GPT2_STD) });
    this.dropout = new Dropout(options.dropout ?? 0);
    this.nHead = options.nHead;
    this.causal = options.causal ?? true;
    this.attentionDropout = options.attentionDropout ?? 0;
  }

  /**
   * @param x f32 [B, Tq, C]: the queries, and without a context the keys and values too
   * @param options.context f32 [B, Tk, contextWidth], needed with `contextWidth` and refused without
   * @param options.keyMask i32 [B, Tk]: 1 keep, 0 leave that key out
   * @param options.rotary turns queries and keys by their positions (self-attention only)
   * @param options.starts i32 [B, Tq]: the first key each query sees
   * @param options.positions i32 [B, Tq]: what `rotary` turns by; 0, 1 … without
   * @returns f32 [B, Tq, C]
   */
  override forward(x: Tensor, options: AttentionInputs = {}): Tensor {
    return this.dropout.forward(this.c_proj.forward(this.#mix(x, options)));
  }

  #mix(x: Tensor, { context, keyMask, rotary, starts, positions }: AttentionInputs): Tensor {
    const drops = this.training && this.attentionDropout > 0;
    const options = {
      nHead: this.nHead,
      causal: this.causal,
      ...(keyMask === undefined ? {} : { keyMask }),
      ...(starts === undefined ? {} : { starts }),
      ...(drops ? { dropout: this.attentionDropout, path: pathOf(this, 'MultiHeadAttention') } : {}),
    };
    if (this.c_attn !== undefined) {
      if (context !== undefined) throw contextError('no context: it was made without contextWidth', 'one');
      const qkv = this.c_attn.forward(x);
      return attentionQkv(rotary === undefined ? qkv : rotary.forward(qkv, { nHead: 2 * this.nHead, position: positions }), options);
    }
    if (context === undefined) throw contextError('a context: it was made with contextWidth', 'none');
    if (rotary !== undefined) throw contextError('no rotary positions: it was made with contextWidth', 'some');
    return attention(this.q_attn!.forward(x), this.k_attn!.forward(context), this.v_attn!.forward(context), options);
  }

  /**
   * Self-attention of the new positions to all earlier ones: writes their keys and values behind the cached rows. Evaluation only (no dropout).
   * @param x f32 [B, T, C], the new positions
   * @returns f32 [B, T, C]
   */
  forwardCached(x: Tensor, cache: KeyValueCache, place: CachePlace, rotary?: RotaryPositions): Tensor {
    if (this.c_attn === undefined || !this.causal) {
      throw new FerroError('INVALID_OPTION', 'MultiHeadAttention: a cache needs causal self-attention, got another kind');
    }
    const plain = this.c_attn.forward(x);
    const qkv = rotary === undefined ? plain : rotary.forward(plain, { nHead: 2 * this.nHead, position: positionOf(place) });
    return this.c_proj.forward(attendCached(qkv, qkvPart(qkv, 'k'), qkvPart(qkv, 'v'), cache, place, { nHead: this.nHead }));
  }
}

function contextError(rule: string, got: string): FerroError {
  return new FerroError('INVALID_OPTION', `MultiHeadAttention: forward takes ${rule}, got ${got}`);
}
