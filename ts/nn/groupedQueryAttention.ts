// Llama's causal self-attention: rotary positions, and several query heads for each head of keys and values.

import { FerroError } from '../errors';
import { attention, type Tensor } from '../graph';
import { attendCached, type CachePlace, type KeyValueCache, positionOf } from './cache';
import { checkDropout, checkSize } from './checks';
import { GPT2_STD, normal } from './init';
import { Module, pathOf } from './module';
import type { Packing } from './packing';
import { Projection } from './projection';
import type { RotaryPositions } from './rotary';

/** Options of `GroupedQueryAttention`. */
export interface GroupedQueryAttentionOptions {
  /** Heads of the queries. */
  nHead: number;
  /** Heads of keys and values, a divisor of nHead; query head h reads head ⌊h·nKvHead/nHead⌋. Default nHead. */
  nKvHead?: number;
  /** Width of a head. Default width/nHead. */
  headDim?: number;
  /** Biases in all projections. Default false. */
  bias?: boolean;
  /** Probability of dropping an attention weight in training. Default 0. */
  attentionDropout?: number;
  /** Standard deviation of o_proj's initial weights. Default 0.02; `residualStd(nLayer)` in a deep model. */
  projectionStd?: number;
}

/** softmax(QKᵀ/√headDim)·V with turned queries and keys, the heads side by side, then a projection (Ainslie et al. 2023); Llama's names. */
export class GroupedQueryAttention extends Module {
  /** [nHead·headDim, width] */
  readonly q_proj: Projection;
  /** [nKvHead·headDim, width], both */
  readonly k_proj: Projection;
  readonly v_proj: Projection;
  /** [width, nHead·headDim] */
  readonly o_proj: Projection;
  readonly nHead: number;
  readonly nKvHead: number;
  readonly headDim: number;
  readonly attentionDropout: number;

  /** @throws INVALID_OPTION for sizes that are not positive integers, an nHead that nKvHead does not divide, dropout outside [0, 1) */
  constructor(
    readonly width: number,
    options: GroupedQueryAttentionOptions,
  ) {
    super();
    const op = 'GroupedQueryAttention';
    const { nHead, nKvHead = nHead, headDim = width / nHead, bias } = options;
    for (const [name, value] of Object.entries({ width, nHead, nKvHead, headDim })) checkSize(op, name, value);
    if (nHead % nKvHead !== 0) {
      throw new FerroError('INVALID_OPTION', `${op}: "nHead" must be divisible by nKvHead, got nHead ${nHead} and nKvHead ${nKvHead}`);
    }
    checkDropout(op, options.attentionDropout ?? 0);
    this.q_proj = new Projection(width, nHead * headDim, { bias });
    this.k_proj = new Projection(width, nKvHead * headDim, { bias });
    this.v_proj = new Projection(width, nKvHead * headDim, { bias });
    this.o_proj = new Projection(nHead * headDim, width, { bias, init: normal(options.projectionStd ?? GPT2_STD) });
    this.nHead = nHead;
    this.nKvHead = nKvHead;
    this.headDim = headDim;
    this.attentionDropout = options.attentionDropout ?? 0;
  }

  /**
   * @param x f32 [B, T, width]
   * @param positions turns queries and keys; the same for all layers of a model
   * @param packing where several documents lie in a row
   * @returns f32 [B, T, width]
   */
  override forward(x: Tensor, positions: RotaryPositions, { starts, positions: position }: Packing = {}): Tensor {
    const { nHead, nKvHead } = this;
    const drops = this.training && this.attentionDropout > 0;
    const q = positions.forward(this.q_proj.forward(x), { nHead, position });
    const k = positions.forward(this.k_proj.forward(x), { nHead: nKvHead, position });
    const limits = starts === undefined ? {} : { starts };
    const dropout = drops ? { dropout: this.attentionDropout, path: pathOf(this, 'GroupedQueryAttention') } : {};
    return this.o_proj.forward(attention(q, k, this.v_proj.forward(x), { nHead, nKvHead, causal: true, ...limits, ...dropout }));
  }

  /**
   * Attention of new positions to all earlier ones: writes their turned keys and their values behind the cached rows. Evaluation only (no dropout).
   * @param x f32 [B, T, width], the new positions
   * @returns f32 [B, T, width]
   */
  forwardCached(x: Tensor, positions: RotaryPositions, cache: KeyValueCache, place: CachePlace): Tensor {
    const { nHead, nKvHead } = this;
    const position = positionOf(place);
    const q = positions.forward(this.q_proj.forward(x), { nHead, position });
    const k = positions.forward(this.k_proj.forward(x), { nHead: nKvHead, position });
    return this.o_proj.forward(attendCached(q, k, this.v_proj.forward(x), cache, place, { nHead, nKvHead }));
  }
}
