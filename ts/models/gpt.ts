// A GPT as a module: GPT-2's architecture and parameter names. Pure graph building; memory, training and generation are elsewhere.
// Letters in shapes: B batch, T time, C nEmbd, V vocabSize, P blockSize.

import { lastRow, type Tensor } from '../graph';
import {
  Block,
  type BlockOptions,
  type CachePlace,
  Dropout,
  Embedding,
  LayerNorm,
  LearnedPositions,
  Module,
  type Packing,
  Projection,
  positionOf,
  RotaryPositions,
  residualStd,
  SinusoidalPositions,
  withKeyCounts,
} from '../nn';
import { type CausalCache, checkIds } from './causalLM';
import { CausalModel } from './causalModel';
import type { GPTConfig } from './config';

/** What Hugging Face's names of activations mean. */
const ACTIVATIONS = { gelu_new: 'gelu_tanh', gelu_pytorch_tanh: 'gelu_tanh', gelu: 'gelu_erf', relu: 'relu' } as const;

/** The trunk: everything but the head. Its fields carry GPT-2's names, hence `transformer.h.0.ln_1.weight` and so on. */
export class GPTTrunk extends Module {
  readonly wte: Embedding;
  /** The position table; undefined with rotary positions. */
  readonly wpe: LearnedPositions | SinusoidalPositions | undefined;
  readonly drop: Dropout;
  readonly h: Block[];
  readonly ln_f: LayerNorm;
  /** Turns the queries and keys of all blocks, where positions are rotary; no parameter. */
  readonly rotary_emb: RotaryPositions | undefined;

  constructor(readonly config: GPTConfig) {
    super();
    const { nLayer, nHead, nEmbd, blockSize, vocabSize, bias, layerNormEpsilon: eps } = config;
    const block: BlockOptions = {
      nHead,
      bias,
      dropout: config.residPdrop,
      attentionDropout: config.attnPdrop,
      hidden: config.nInner,
      activation: ACTIVATIONS[config.activationFunction],
      eps,
      projectionStd: residualStd(nLayer),
    };
    this.wte = new Embedding(vocabSize, nEmbd);
    this.wpe = positionTable(config);
    this.drop = new Dropout(config.embdPdrop);
    this.h = Array.from({ length: nLayer }, () => new Block(nEmbd, block));
    this.ln_f = new LayerNorm(nEmbd, { bias, eps });
    const { ropeTheta: base, ropeScaling: scaling } = config;
    this.rotary_emb = config.positionEmbedding === 'rotary' ? new RotaryPositions(blockSize, nEmbd / nHead, { base, scaling }) : undefined;
  }

  /** @param ids i32 [B, T], T ≤ P @param packing where several documents lie in a row @returns f32 [B, T, C] after the final norm */
  override forward(ids: Tensor, packing: Packing = {}): Tensor {
    const tokens = this.wte.forward(ids); // [B, T, C]
    let x = this.drop.forward(this.wpe?.forward(tokens, packing.positions) ?? tokens);
    for (const block of this.h) x = block.forward(x, { ...packing, rotary: this.rotary_emb });
    return this.ln_f.forward(x);
  }
}

function positionTable(config: GPTConfig): LearnedPositions | SinusoidalPositions | undefined {
  const { positionEmbedding, blockSize, nEmbd, positionNoise: noise } = config;
  if (positionEmbedding === 'rotary') return undefined;
  return positionEmbedding === 'learned' ? new LearnedPositions(blockSize, nEmbd) : new SinusoidalPositions(blockSize, nEmbd, { noise });
}

/** GPT-2: tokens plus positions, nLayer pre-norm blocks, a final norm, and a head that shares the token table (Radford et al. 2019) unless the configuration unties it. */
export class GPT extends CausalModel {
  readonly transformer: GPTTrunk;
  /** The head's own weights; undefined where it is the token table. */
  readonly lm_head: Projection | undefined;

  /** @param config from `resolveConfig` */
  constructor(readonly config: GPTConfig) {
    super();
    this.transformer = new GPTTrunk(config);
    this.lm_head = config.tieWordEmbeddings ? undefined : new Projection(config.nEmbd, config.vocabSize);
  }

  /** The trunk's output: ids i32 [B, T] → f32 [B, T, C]. */
  hidden(ids: Tensor, packing?: Packing): Tensor {
    checkIds('GPT', ids, this.config.blockSize);
    return this.transformer.forward(ids, packing);
  }

  protected get tokenTable(): Embedding {
    return this.transformer.wte;
  }

  protected get keyWidth(): number {
    return this.config.nEmbd;
  }

  /**
   * Logits of the last new position, given the cache of the positions before: prefill with many new ids, decode with one.
   * @param ids i32 [B, T], the new tokens
   * @returns f32 [B, 1, V]
   */
  forwardCached(ids: Tensor, cache: CausalCache, place: CachePlace): Tensor {
    const { wte, wpe, h, ln_f, rotary_emb } = this.transformer;
    const shared = withKeyCounts(place);
    const tokens = wte.forward(ids); // [B, T, C]
    let x = wpe?.forward(tokens, positionOf(place)) ?? tokens;
    for (let i = 0; i < h.length; i++) x = h[i].forwardCached(x, cache.layers[i], shared, rotary_emb);
    return this.head(ln_f.forward(lastRow(x)));
  }
}
