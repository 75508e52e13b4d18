// One layer of the original Transformer's decoder: torch.nn.TransformerDecoderLayer, batch first; and the same with caches, for decoding step by step.

import { add, type Effect, type Tensor } from '../../graph';
import type { CachePlace, KeyValueCache } from '../cache';
import { Dropout } from '../dropout';
import type { LayerNorm } from '../layerNorm';
import { Module } from '../module';
import type { Projection } from '../projection';
import { type MemoryPlace, TransformerAttention } from './attention';
import { type AttentionMasks, checkSequence } from './masks';
import { activate, layerLinear, layerNormOf, resolveLayer, type TransformerLayerOptions } from './options';

/** What a decoder sees of its own sequence and of the memory. */
export interface DecoderMasks {
  /** Self-attention: [T, T] or [G, T, T], as `AttentionMasks.mask`. */
  readonly tgtMask?: Tensor;
  /** Attention to the memory: [T, S] or [G, T, S]. */
  readonly memoryMask?: Tensor;
  /** i32 [B, T]: 1 keep, 0 padding. */
  readonly tgtKeyMask?: Tensor;
  /** i32 [B, S]: 1 keep, 0 padding. */
  readonly memoryKeyMask?: Tensor;
  /** True: position t of the target sees positions ≤ t of it. Default false, as in torch without masks. */
  readonly causal?: boolean;
}

/** The caches of one layer. */
export interface DecoderLayerCache {
  /** f32 [B, P, C]: keys and values of the target's earlier positions. */
  readonly self: KeyValueCache;
  /** f32 [B, P', C]: keys and values of the memory. */
  readonly memory: KeyValueCache;
}

/** What the memory is to a message about its absence. */
export const MISSING_MEMORY = "a decoder needs the memory beside its own sequence (the encoder's output for its input)";

/**
 * Self-attention, attention to the memory (the encoder's output) and a feed-forward part, each beside a residual path, with norms as in
 * `TransformerEncoderLayer`. The names of torch.nn.TransformerDecoderLayer.
 */
export class TransformerDecoderLayer extends Module {
  readonly self_attn: TransformerAttention;
  readonly multihead_attn: TransformerAttention;
  /** [F, C] */
  readonly linear1: Projection;
  readonly dropout: Dropout;
  /** [C, F] */
  readonly linear2: Projection;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly norm3: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly dropout3: Dropout;
  readonly options: Required<TransformerLayerOptions>;

  /** @throws INVALID_OPTION for sizes, dropout, activation or eps out of range; UNKNOWN_OPTION */
  constructor(options: TransformerLayerOptions) {
    super();
    this.options = resolveLayer('TransformerDecoderLayer', options);
    const { dModel, nHead, dimFeedforward, dropout, bias, init } = this.options;
    this.self_attn = new TransformerAttention({ dModel, nHead, dropout, bias, init });
    this.multihead_attn = new TransformerAttention({ dModel, nHead, dropout, bias, init });
    this.linear1 = layerLinear(dModel, dimFeedforward, this.options);
    this.dropout = new Dropout(dropout);
    this.linear2 = layerLinear(dimFeedforward, dModel, this.options);
    this.norm1 = layerNormOf(this.options);
    this.norm2 = layerNormOf(this.options);
    this.norm3 = layerNormOf(this.options);
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.dropout3 = new Dropout(dropout);
  }

  /** @param tgt f32 [B, T, C] @param memory f32 [B, S, C] @returns f32 [B, T, C] */
  override forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    const { dModel } = this.options;
    checkSequence('TransformerDecoderLayer', 'tgt', tgt, dModel, 'forward takes a sequence');
    checkSequence('TransformerDecoderLayer', 'memory', memory, dModel, MISSING_MEMORY);
    const own: AttentionMasks = { mask: masks.tgtMask, keyMask: masks.tgtKeyMask, causal: masks.causal };
    const other: AttentionMasks = { mask: masks.memoryMask, keyMask: masks.memoryKeyMask };
    return this.checkpoint(() =>
      this.#parts(
        tgt,
        (x) => this.self_attn.forward(x, x, x, own),
        (x) => this.multihead_attn.forward(x, memory, memory, other),
      ),
    );
  }

  /**
   * The same for new positions behind a cache of earlier ones, with the memory's keys and values from `keepMemory`. Causal; evaluation only.
   * @param tgt f32 [B, T, C] @returns f32 [B, T, C]
   */
  forwardCached(tgt: Tensor, cache: DecoderLayerCache, place: CachePlace & MemoryPlace): Tensor {
    return this.#parts(
      tgt,
      (x) => this.self_attn.forwardCached(x, cache.self, place),
      (x) => this.multihead_attn.forwardMemory(x, cache.memory, place),
    );
  }

  /** Keeps the keys and values of a memory f32 [B, S, C] for `forwardCached`. @returns the effects that do so */
  keepMemory(memory: Tensor, cache: DecoderLayerCache): Effect[] {
    checkSequence('TransformerDecoderLayer', 'memory', memory, this.options.dModel, MISSING_MEMORY);
    return this.multihead_attn.keepMemory(memory, cache.memory);
  }

  #parts(tgt: Tensor, self: (x: Tensor) => Tensor, memory: (x: Tensor) => Tensor): Tensor {
    const { normFirst } = this.options;
    const part = (x: Tensor, norm: LayerNorm, dropout: Dropout, f: (x: Tensor) => Tensor): Tensor =>
      normFirst ? add(x, dropout.forward(f(norm.forward(x)))) : norm.forward(add(x, dropout.forward(f(x))));
    const attended = part(tgt, this.norm1, this.dropout1, self);
    const informed = part(attended, this.norm2, this.dropout2, memory);
    return part(informed, this.norm3, this.dropout3, (x) => this.#feedForward(x));
  }

  #feedForward(x: Tensor): Tensor {
    const hidden = activate(this.linear1.forward(x), this.options.activation);
    return this.linear2.forward(this.dropout.forward(hidden));
  }
}
