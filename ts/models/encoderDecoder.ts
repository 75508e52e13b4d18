// What an encoder-decoder offers to the rooms that write text with it: a source is read once into a cache of cross-attention, then the decoder goes on token by
// token like a causal model. One interface, no architecture (seq2seq.ts has one). Letters in shapes: B batch, S positions of a source, T time, C width, V vocabSize.

import type { Effect, Extent, Tensor, Variable } from '../graph';
import type { CachePlace, Module } from '../nn';
import type { CausalCache } from './causalLM';

/** What an encoder reads: token ids i32 [S], or S rows of numbers f32 [S·F]. */
export interface Source {
  readonly data: Int32Array | Float32Array;
  /** S, at least 1. */
  readonly positions: number;
}

/** The caches of a decoder: of its own positions, and of the source's. Whoever holds an engine allocates them. */
export interface EncoderDecoderCache extends CausalCache {
  /** Keys and values of the encoder's output for each decoder layer, f32 [B, longest source, C]: computed once for a source. */
  readonly source: readonly { readonly keys: Variable; readonly values: Variable }[];
  /** i32 [B]: how many positions the source of each sequence has, from 1 on. */
  readonly sourceLengths: Variable;
}

/** An encoder-decoder. All methods build graph; nothing runs in them. */
export interface EncoderDecoder extends Module {
  readonly config: {
    /** Most positions of a target. */
    readonly blockSize: number;
    /** Ids of the target run from 0 to vocabSize − 1. */
    readonly vocabSize: number;
    readonly maxSourceLength: number;
  };

  /** The symbolic input for one source of `positions` positions: i32 [1, S], or f32 [1, S, F]. */
  sourceInput(name: string, positions: Extent): Tensor;

  makeCache(batch?: number): EncoderDecoderCache;

  /** Runs the encoder on one source and keeps what cross-attention needs of it in a cache of one sequence. */
  readSource(source: Tensor, cache: EncoderDecoderCache): Effect[];

  /**
   * Logits of the last new position, given the caches of the positions before and of the source.
   * @param ids i32 [B, T], the new tokens
   * @param sourceUsed positions of the longest source in the cache
   * @returns f32 [B, 1, V]
   */
  forwardCached(ids: Tensor, cache: EncoderDecoderCache, place: CachePlace, sourceUsed: Extent): Tensor;

  /** The same without any cache: encoder and decoder over everything. @param ids i32 [1, T] @returns f32 [1, 1, V] */
  forwardLast(source: Tensor, ids: Tensor): Tensor;
}

/** The variables that hold what a decoder knows of the sources, but for their lengths. */
export function sourceVariables(cache: EncoderDecoderCache): Variable[] {
  return cache.source.flatMap(({ keys, values }) => [keys, values]);
}
