// What every causal language model offers to the rooms that train, generate, load and save: one interface for all architectures. It holds no
// architecture itself; those are in gpt.ts and their neighbours. Letters in shapes: B batch, T time, C width, V vocabSize, P blockSize.

import { FerroError } from '../errors';
import type { Tensor, Variable } from '../graph';
import type { CachePlace, Loss, Module, Packing, RowLoss } from '../nn';

/** The architectures, by the names that Hugging Face gives them. */
export type ModelType = 'gpt2' | 'llama';

/** What all configurations have. */
export interface CausalConfig {
  readonly modelType: ModelType;
  /** Blocks. */
  readonly nLayer: number;
  /** Attention heads (of the queries) of a block. */
  readonly nHead: number;
  /** Width of the residual stream. */
  readonly nEmbd: number;
  /** Longest context, in tokens. */
  readonly blockSize: number;
  /** Token ids run from 0 to vocabSize − 1. */
  readonly vocabSize: number;
  /** Probability of dropping an activation in training. */
  readonly dropout: number;
  /** The head is the token table; false where it has weights of its own (`lm_head.weight`). */
  readonly tieWordEmbeddings: boolean;
}

/** The keys and values of earlier positions, two persistent variables f32 [B, P, width of all key heads] for each layer. Whoever holds an engine allocates them. */
export interface CausalCache {
  readonly layers: readonly { readonly keys: Variable; readonly values: Variable }[];
}

/** A model that predicts the next token. All methods build graph; nothing runs in them. */
export interface CausalLM extends Module {
  readonly config: CausalConfig;

  /** Logits: ids i32 [B, T] → f32 [B, T, V]. */
  forward(ids: Tensor): Tensor;

  /** The trunk's output after its final norm: ids i32 [B, T], T ≤ P → f32 [B, T, C]. @param packing where several documents lie in a row */
  hidden(ids: Tensor, packing?: Packing): Tensor;

  /** Logits of the trunk's output: f32 [.., C] → f32 [.., V]. */
  head(x: Tensor): Tensor;

  /**
   * Next-token cross-entropy in nats per row, without ever holding all logits.
   * @param ids i32 [B, T]
   * @param labels i32 [B, T]: the token that follows each position (already shifted); −100 leaves a row out
   * @param packing where several documents lie in a row: what each gets is what it gets alone
   */
  loss(ids: Tensor, labels: Tensor, packing?: Packing): RowLoss;

  /** The token table, and a head of its own: [V, C]. */
  readonly vocabularyWeights: Variable[];

  /** Takes others of another V in place of these, in their order; their numbers and memory are the caller's business. */
  replaceVocabulary(weights: readonly Variable[]): void;

  /** A cache for `batch` sequences of up to P positions. */
  makeCache(batch?: number): CausalCache;

  /**
   * Logits of the last new position, given the cache of the positions before: prefill with many new ids, decode with one.
   * @param ids i32 [B, T], the new tokens
   * @param place where they go in the cache, and how much of it is used then
   * @returns f32 [B, 1, V]
   */
  forwardCached(ids: Tensor, cache: CausalCache, place: CachePlace): Tensor;
}

/** The parameter that is the token table. */
export function tokenTableName(modelType: ModelType): string {
  return modelType === 'llama' ? 'model.embed_tokens.weight' : 'transformer.wte.weight';
}

/** The loss of a batch { inputIds, labels }, both i32 [B, T], as token data sets give it; packed documents come with { starts, positions } i32 [B, T]. */
export const causalLoss: Loss<CausalLM> = (module, { inputIds, labels, starts, positions }) =>
  module.loss(inputIds, labels, { starts, positions });

/** All variables of a cache. */
export function cacheVariables(cache: CausalCache): Variable[] {
  return cache.layers.flatMap(({ keys, values }) => [keys, values]);
}

/** @throws INVALID_SHAPE unless ids are i32 [B, T] with T at most blockSize */
export function checkIds(op: string, ids: Tensor, blockSize: number): void {
  const time = ids.shape.at(-1);
  if (ids.shape.length !== 2 || ids.dtype !== 'i32') {
    throw new FerroError('INVALID_SHAPE', `${op}: ids must be i32 [B, T], got ${ids.dtype} [${ids.shape.map(String).join(', ')}]`);
  }
  if (typeof time === 'number' && time > blockSize) {
    throw new FerroError('INVALID_SHAPE', `${op}: ids must have at most blockSize ${blockSize} positions, got ${time}`);
  }
}
