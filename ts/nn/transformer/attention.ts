// Multi-head attention with the parameters of torch.nn.MultiheadAttention: one projection in_proj of queries, keys and values, or three where keys or
// values have widths of their own. (GPT-2's layout is in multiHeadAttention.ts, Llama's in groupedQueryAttention.ts.)
// Letters in shapes: B batch, T queries, S keys, C dModel, P rows of a cache.

import { FerroError } from '../../errors';
import {
  assign,
  attention,
  attentionCached,
  attentionQkv,
  type Effect,
  type Extent,
  linear,
  qkvPart,
  splitRows,
  type Tensor,
  Variable,
  writeRows,
} from '../../graph';
import { checkNames } from '../../options';
import { attendCached, type CachePlace, type KeyValueCache } from '../cache';
import { checkDropout, checkHeads, checkSize } from '../checks';
import { linearUniform, xavierUniform, zeros } from '../init';
import { Module, pathOf } from '../module';
import { Projection } from '../projection';
import { type AttentionMasks, checkSequence, maskOptions } from './masks';

/** Options of `TransformerAttention`. */
export interface TransformerAttentionOptions {
  /** Width of queries and results. */
  dModel: number;
  /** Number of heads; must divide the width. */
  nHead: number;
  /** Biases in all projections, initially zero. Default true. */
  bias?: boolean;
  /** Probability of dropping an attention weight in training. Default 0. */
  dropout?: number;
  /** Width of the keys' sequence. Default dModel. */
  kDim?: number;
  /** Width of the values' sequence. Default dModel. */
  vDim?: number;
  /** Initial weights of out_proj: 'xavier' as torch.nn.Transformer, 'linear' (default) as torch.nn.MultiheadAttention by itself. in_proj is 'xavier' in both. */
  init?: 'linear' | 'xavier';
}

/** Where rows of a memory's cache end. */
export interface MemoryPlace {
  /** Rows of the cache that hold something: of the longest source, where they differ; at most P. */
  readonly memoryUsed: Extent;
  /** i32 [B], each from 1 to memoryUsed: the rows that each sequence's source has. Absent: all have memoryUsed. */
  readonly memoryCounts?: Tensor;
}

const OPTIONS = ['dModel', 'nHead', 'bias', 'dropout', 'kDim', 'vDim', 'init'] as const;

/** softmax(QKᵀ/√d)·V per head, the heads side by side, then a projection (Vaswani et al. 2017, section 3.2.2), of a sequence to itself or to another. */
export class TransformerAttention extends Module {
  /** [3C, C]: the rows of queries, then of keys, then of values; absent where kDim or vDim is another width */
  readonly in_proj_weight: Variable | undefined;
  /** [C, C], [C, kDim], [C, vDim] in its place */
  readonly q_proj_weight: Variable | undefined;
  readonly k_proj_weight: Variable | undefined;
  readonly v_proj_weight: Variable | undefined;
  /** [3C], absent with `bias: false` */
  readonly in_proj_bias: Variable | undefined;
  /** [C, C] */
  readonly out_proj: Projection;
  readonly dModel: number;
  readonly nHead: number;
  readonly kDim: number;
  readonly vDim: number;
  readonly dropout: number;

  /** @throws INVALID_OPTION for sizes that are not positive integers, a dModel that nHead does not divide, dropout outside [0, 1); UNKNOWN_OPTION */
  constructor(options: TransformerAttentionOptions) {
    super();
    const op = 'TransformerAttention';
    checkNames(op, options, OPTIONS);
    const { dModel, nHead, bias = true, dropout = 0, kDim = dModel, vDim = dModel, init = 'linear' } = options;
    for (const [name, value] of Object.entries({ dModel, nHead, kDim, vDim })) checkSize(op, name, value);
    checkHeads(op, dModel, nHead, 'dModel');
    checkDropout(op, dropout);
    const weight = (name: string, rows: number, columns: number): Variable =>
      new Variable({ name, shape: [rows, columns], init: xavierUniform(columns, rows) });
    if (kDim === dModel && vDim === dModel) {
      this.in_proj_weight = weight('in_proj_weight', 3 * dModel, dModel);
    } else {
      this.q_proj_weight = weight('q_proj_weight', dModel, dModel);
      this.k_proj_weight = weight('k_proj_weight', dModel, kDim);
      this.v_proj_weight = weight('v_proj_weight', dModel, vDim);
    }
    this.in_proj_bias = bias ? new Variable({ name: 'in_proj_bias', shape: [3 * dModel], init: zeros }) : undefined;
    this.out_proj = new Projection(dModel, dModel, {
      bias,
      init: init === 'xavier' ? xavierUniform(dModel, dModel) : linearUniform(dModel),
    });
    this.dModel = dModel;
    this.nHead = nHead;
    this.kDim = kDim;
    this.vDim = vDim;
    this.dropout = dropout;
  }

  /**
   * @param query f32 [B, T, C]
   * @param key f32 [B, S, kDim], default the queries
   * @param value f32 [B, S, vDim], default the keys
   * @returns f32 [B, T, C]
   * @throws INVALID_SHAPE for widths that are not those of the module, batches, lengths or masks that do not fit
   */
  override forward(query: Tensor, key: Tensor = query, value: Tensor = key, masks: AttentionMasks = {}): Tensor {
    const sequences = { query: [query, this.dModel], key: [key, this.kDim], value: [value, this.vDim] } as const;
    for (const [name, [x, width]] of Object.entries(sequences))
      checkSequence('TransformerAttention', name, x, width, 'forward takes queries');
    const drops = this.training && this.dropout > 0;
    const options = {
      nHead: this.nHead,
      ...maskOptions(masks),
      ...(drops ? { dropout: this.dropout, path: pathOf(this, 'TransformerAttention') } : {}),
    };
    if (query === key && key === value && this.in_proj_weight !== undefined) {
      return this.out_proj.forward(attentionQkv(this.#joint(query), options));
    }
    const { q, k, v } = this.#parts();
    return this.out_proj.forward(attention(q(query), k(key), v(value), options));
  }

  /**
   * Self-attention of the new positions to all earlier ones: writes their keys and values behind the cached rows. Evaluation only (no dropout).
   * @param x f32 [B, T, C], the new positions
   * @returns f32 [B, T, C]
   */
  forwardCached(x: Tensor, cache: KeyValueCache, place: CachePlace): Tensor {
    const qkv = this.#joint(x);
    return this.out_proj.forward(attendCached(qkv, qkvPart(qkv, 'k'), qkvPart(qkv, 'v'), cache, place, { nHead: this.nHead }));
  }

  /**
   * Computes the keys and values of a memory once and keeps them in a cache, its first S rows, for `forwardMemory`.
   * @param memory f32 [B, S, kDim] with kDim = vDim, S at most P
   * @returns the effects that do so, for the program that computes the memory
   */
  keepMemory(memory: Tensor, cache: KeyValueCache): Effect[] {
    const { k, v } = this.#parts();
    return [assign(cache.keys, writeRows(cache.keys, k(memory), 0)), assign(cache.values, writeRows(cache.values, v(memory), 0))];
  }

  /**
   * Attention to a memory whose keys and values an earlier run kept. Evaluation only (no dropout).
   * @param x f32 [B, T, C], the queries
   * @returns f32 [B, T, C]
   */
  forwardMemory(x: Tensor, cache: KeyValueCache, place: MemoryPlace): Tensor {
    const options = { nHead: this.nHead, keysUsed: place.memoryUsed, keyCounts: place.memoryCounts, causal: false };
    return this.out_proj.forward(attentionCached(this.#parts().q(x), cache.keys, cache.values, options));
  }

  /** Queries, keys and values of one sequence side by side: [B, T, C] → [B, T, 3C]. */
  #joint(x: Tensor): Tensor {
    if (this.in_proj_weight === undefined) {
      throw new FerroError('INVALID_OPTION', 'TransformerAttention: self-attention needs kDim and vDim equal to dModel, got other widths');
    }
    return linear(x, this.in_proj_weight, this.in_proj_bias, { transposed: true });
  }

  /** The three projections apart. */
  #parts(): Record<'q' | 'k' | 'v', (x: Tensor) => Tensor> {
    const { dModel } = this;
    const thirds = [dModel, dModel, dModel];
    const weights =
      this.in_proj_weight === undefined
        ? [this.q_proj_weight!.tensor, this.k_proj_weight!.tensor, this.v_proj_weight!.tensor]
        : splitRows(this.in_proj_weight, thirds);
    const biases = this.in_proj_bias === undefined ? [] : splitRows(this.in_proj_bias, thirds);
    const [q, k, v] = weights.map((weight, i) => (x: Tensor) => linear(x, weight, biases[i], { transposed: true }));
    return { q, k, v };
  }
}
