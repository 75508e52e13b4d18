// What the architectures have in common once a trunk and its token table are given: the head, the loss, the cache. Each architecture is in a file of its own.
// Letters in shapes: B batch, T time, C width, V vocabSize, P blockSize.

import { countLabels, IGNORE_INDEX, linear, linearCrossEntropy, type Tensor, Variable } from '../graph';
import { type CachePlace, type Embedding, Module, type Packing, type Projection, type RowLoss } from '../nn';
import type { CausalCache, CausalConfig, CausalLM } from './causalLM';

/** The base of all architectures. It has no fields: those of a model give its parameters their names and order. */
export abstract class CausalModel extends Module implements CausalLM {
  abstract readonly config: CausalConfig;
  /** The head's own weights; undefined where it is the token table. */
  abstract readonly lm_head: Projection | undefined;

  protected abstract get tokenTable(): Embedding;
  /** Width of all heads of keys. */
  protected abstract get keyWidth(): number;

  abstract hidden(ids: Tensor, packing?: Packing): Tensor;
  abstract forwardCached(ids: Tensor, cache: CausalCache, place: CachePlace): Tensor;

  /** Logits: ids i32 [B, T] → f32 [B, T, V]. */
  override forward(ids: Tensor): Tensor {
    return this.head(this.hidden(ids));
  }

  /** The head's weights [V, C]. */
  get #headWeight(): Tensor {
    return (this.lm_head ?? this.tokenTable).weight.tensor;
  }

  /** logits = x·Wᵀ: f32 [.., C] → f32 [.., V]. */
  head(x: Tensor): Tensor {
    return linear(x, this.#headWeight, undefined, { transposed: true, exact: this.training });
  }

  /**
   * Next-token cross-entropy in nats per row, without ever holding all logits.
   * @param ids i32 [B, T]
   * @param labels i32 [B, T]: the token that follows each position (already shifted); −100 leaves a row out
   * @param packing where several documents lie in a row
   */
  loss(ids: Tensor, labels: Tensor, packing?: Packing): RowLoss {
    const { loss } = linearCrossEntropy(this.hidden(ids, packing), this.#headWeight, labels, { ignoreIndex: IGNORE_INDEX });
    return { sum: loss, count: countLabels(labels, IGNORE_INDEX) };
  }

  /** The token table, and a head of its own: [V, C]. */
  get vocabularyWeights(): Variable[] {
    return [this.tokenTable, this.lm_head].flatMap((layer) => (layer === undefined ? [] : [layer.weight]));
  }

  /** Takes others of another size in place of these, in their order. */
  replaceVocabulary(weights: readonly Variable[]): void {
    const layers = [this.tokenTable, this.lm_head].filter((layer) => layer !== undefined);
    for (const [i, layer] of layers.entries()) layer.replace(weights[i]);
    (this as { config: CausalConfig }).config = Object.freeze({ ...this.config, vocabSize: weights[0].shape[0] });
  }

  /** Keys and values of `batch` sequences: two persistent variables f32 [batch, P, keyWidth] for each layer, which whoever holds an engine allocates. */
  makeCache(batch = 1): CausalCache {
    const shape = [batch, this.config.blockSize, this.keyWidth];
    const make = (layer: number, what: string) => new Variable({ name: `cache.${layer}.${what}`, shape, trainable: false });
    return { layers: Array.from({ length: this.config.nLayer }, (_, i) => ({ keys: make(i, 'keys'), values: make(i, 'values') })) };
  }
}
