// A Llama as a module: its architecture and parameter names (Touvron et al. 2023, with grouped heads; SmolLM2, TinyLlama and Mistral have it too). Pure
// graph building. Letters in shapes: B batch, T time, C nEmbd, V vocabSize, P blockSize.

import { lastRow, type Tensor } from '../graph';
import {
  type CachePlace,
  Embedding,
  LlamaBlock,
  type LlamaBlockOptions,
  Module,
  type Packing,
  Projection,
  RMSNorm,
  RotaryPositions,
  residualStd,
  withKeyCounts,
} from '../nn';
import { type CausalCache, checkIds } from './causalLM';
import { CausalModel } from './causalModel';
import type { LlamaConfig } from './llamaConfig';

/** The trunk: everything but the head. Its fields carry Llama's names, hence `model.layers.0.self_attn.q_proj.weight` and so on. */
export class LlamaTrunk extends Module {
  readonly embed_tokens: Embedding;
  readonly layers: LlamaBlock[];
  readonly norm: RMSNorm;
  /** Turns the queries and keys of all layers; no parameter. */
  readonly rotary_emb: RotaryPositions;

  constructor(readonly config: LlamaConfig) {
    super();
    const { nLayer, nHead, nKvHead, headDim, nEmbd, nInner, rmsNormEps: eps } = config;
    const block: LlamaBlockOptions = {
      nHead,
      nKvHead,
      headDim,
      hidden: nInner,
      eps,
      attentionBias: config.attentionBias,
      mlpBias: config.mlpBias,
      attentionDropout: config.dropout,
      projectionStd: residualStd(nLayer),
    };
    this.embed_tokens = new Embedding(config.vocabSize, nEmbd);
    this.layers = Array.from({ length: nLayer }, () => new LlamaBlock(nEmbd, block));
    this.norm = new RMSNorm(nEmbd, { eps });
    this.rotary_emb = new RotaryPositions(config.blockSize, headDim, { base: config.ropeTheta, scaling: config.ropeScaling });
  }

  /** @param ids i32 [B, T], T ≤ P @param packing where several documents lie in a row @returns f32 [B, T, C] after the final norm */
  override forward(ids: Tensor, packing?: Packing): Tensor {
    let x = this.embed_tokens.forward(ids); // [B, T, C]
    for (const layer of this.layers) x = layer.forward(x, this.rotary_emb, packing);
    return this.norm.forward(x);
  }
}

/**
 * Llama: tokens, nLayer pre-norm blocks with rotary positions, a final norm, and a head that shares the token table unless the configuration unties it.
 * New weights are normal with standard deviation 0.02, as Hugging Face's, but the two projections into the residual stream 0.02/√(2·nLayer), as GPT-2's.
 */
export class Llama extends CausalModel {
  readonly model: LlamaTrunk;
  /** The head's own weights; undefined where it is the token table. */
  readonly lm_head: Projection | undefined;

  /** @param config from `resolveLlamaConfig` or a folder's config.json */
  constructor(readonly config: LlamaConfig) {
    super();
    this.model = new LlamaTrunk(config);
    this.lm_head = config.tieWordEmbeddings ? undefined : new Projection(config.nEmbd, config.vocabSize);
  }

  /** The trunk's output: ids i32 [B, T] → f32 [B, T, C]. */
  hidden(ids: Tensor, packing?: Packing): Tensor {
    checkIds('Llama', ids, this.config.blockSize);
    return this.model.forward(ids, packing);
  }

  protected get tokenTable(): Embedding {
    return this.model.embed_tokens;
  }

  protected get keyWidth(): number {
    return this.config.nKvHead * this.config.headDim;
  }

  /**
   * Logits of the last new position, given the cache of the positions before: prefill with many new ids, decode with one.
   * @param ids i32 [B, T], the new tokens
   * @returns f32 [B, 1, V]
   */
  forwardCached(ids: Tensor, cache: CausalCache, place: CachePlace): Tensor {
    const { embed_tokens, layers, norm, rotary_emb } = this.model;
    const shared = withKeyCounts(place);
    let x = embed_tokens.forward(ids); // [B, T, C]
    for (let i = 0; i < layers.length; i++) x = layers[i].forwardCached(x, rotary_emb, cache.layers[i], shared);
    return this.head(norm.forward(lastRow(x)));
  }
}
