// A sequence-to-sequence model: the encoder-decoder Transformer (transformer.ts) with token tables, positions and a head. Pure graph building; memory, training and
// generation are elsewhere. Letters in shapes: B batch, S source, T target, C dModel, V outputDim, F width of features.

import { FerroError } from '../errors';
import { type Dim, type Effect, type Extent, input, lastRow, linear, scale, type Tensor, Variable } from '../graph';
import {
  type CachePlace,
  Dropout,
  Embedding,
  LearnedPositions,
  type Loss,
  linearUniform,
  Module,
  normal,
  Projection,
  positionOf,
  type RowLoss,
  SinusoidalPositions,
  smoothedCrossEntropy,
} from '../nn';
import type { EncoderDecoder, EncoderDecoderCache } from './encoderDecoder';
import type { Seq2SeqConfig } from './seq2seqConfig';
import { type DecoderCache, Transformer, type TransformerDecoder, type TransformerEncoder } from './transformer';

/** A batch of pairs. */
export interface Seq2SeqBatch {
  /** i32 [B, S] (or `inputFeatures` f32 [B, S, F]) */
  readonly inputIds?: Tensor;
  readonly inputFeatures?: Tensor;
  /** i32 [B, S]: 1 keep, 0 padding; all is kept where it is absent. */
  readonly inputMask?: Tensor;
  /** i32 [B, T]: the start, then the target without its end. */
  readonly decoderInputIds: Tensor;
}

/** How the loss is built. */
export interface Seq2SeqLossOptions {
  /** Share of each target that all words have evenly; from 0 to below 1. */
  readonly labelSmoothing?: number;
}

/**
 * Vaswani et al. 2017 with the parameter names of torch.nn.Transformer (`encoder.layers.0.self_attn.in_proj_weight` …), and `target_embedding`, `source_embedding`,
 * `target_positions`, `source_positions` and, untied, `generator` beside them.
 */
export class Seq2Seq extends Module implements EncoderDecoder {
  readonly target_embedding: Embedding;
  /** The target's own table where they are shared; a linear layer for features. */
  readonly source_embedding: Embedding | Projection;
  readonly target_positions: LearnedPositions | SinusoidalPositions;
  readonly source_positions: LearnedPositions | SinusoidalPositions;
  readonly target_dropout: Dropout;
  readonly source_dropout: Dropout;
  readonly encoder: TransformerEncoder;
  readonly decoder: TransformerDecoder;
  /** The head's own weights [V, C]; undefined where it is the target's table. */
  readonly generator: Projection | undefined;

  /** @param config from `resolveSeq2SeqConfig` */
  constructor(readonly config: Seq2SeqConfig) {
    super();
    const { inputDim, outputDim, dModel, maxSourceLength, maxTargetLength, positionEmbedding } = config;
    // Vectors of length about 1 once they are multiplied by √C; otherwise as GPT-2's.
    const table = normal(positionEmbedding === 'sinusoidal' ? 1 / Math.sqrt(dModel) : 0.02);
    this.target_embedding = new Embedding(outputDim, dModel, { init: table });
    this.source_embedding =
      config.inputKind === 'features'
        ? new Projection(inputDim, dModel, { bias: true, init: linearUniform(inputDim), biasInit: linearUniform(inputDim) })
        : config.shareEmbeddings
          ? this.target_embedding
          : new Embedding(inputDim, dModel, { init: table });
    const Positions = positionEmbedding === 'sinusoidal' ? SinusoidalPositions : LearnedPositions;
    this.target_positions = new Positions(maxTargetLength, dModel);
    this.source_positions = new Positions(maxSourceLength, dModel);
    this.target_dropout = new Dropout(config.dropout);
    this.source_dropout = new Dropout(config.dropout);
    const transformer = new Transformer({
      dModel,
      nHead: config.nHead,
      numEncoderLayers: config.nEncoderLayer,
      numDecoderLayers: config.nDecoderLayer,
      dimFeedforward: config.dimFeedforward,
      dropout: config.dropout,
      activation: config.activationFunction,
      layerNormEps: config.layerNormEpsilon,
      normFirst: config.normFirst,
      bias: config.bias,
    });
    this.encoder = transformer.encoder;
    this.decoder = transformer.decoder;
    this.generator = config.tieWordEmbeddings ? undefined : new Projection(dModel, outputDim);
  }

  /** Logits by teacher forcing: f32 [B, T, V]. */
  override forward(batch: Seq2SeqBatch): Tensor {
    return this.head(this.hidden(batch));
  }

  /** The decoder's output: f32 [B, T, C]. @throws INVALID_OPTION without a source or a target; INVALID_SHAPE */
  hidden({ inputIds, inputFeatures, inputMask, decoderInputIds }: Seq2SeqBatch): Tensor {
    const source = this.config.inputKind === 'features' ? inputFeatures : inputIds;
    const name = this.config.inputKind === 'features' ? 'inputFeatures' : 'inputIds';
    if (source === undefined)
      throw new FerroError('INVALID_OPTION', `Transformer: a decoder needs its encoder's input "${name}" beside its own, got none`);
    if (decoderInputIds === undefined)
      throw new FerroError('INVALID_OPTION', 'Transformer: "decoderInputIds" must be given for teacher forcing, got none');
    return this.decode(decoderInputIds, this.encode(source, inputMask), inputMask);
  }

  /** The encoder's output. @param source i32 [B, S] or f32 [B, S, F] @param keyMask i32 [B, S]: 1 keep, 0 padding @returns f32 [B, S, C] */
  encode(source: Tensor, keyMask?: Tensor): Tensor {
    this.#checkSource(source);
    const x = this.source_positions.forward(this.#scaled(this.source_embedding.forward(source)));
    return this.encoder.forward(this.source_dropout.forward(x), { keyMask });
  }

  /** The decoder's output for ids i32 [B, T], given the encoder's. @returns f32 [B, T, C] */
  decode(ids: Tensor, memory: Tensor, memoryKeyMask?: Tensor): Tensor {
    checkLength('target', 'maxTargetLength', this.config.maxTargetLength, ids.shape[1]);
    return this.decoder.forward(this.target_dropout.forward(this.#target(ids)), memory, { causal: true, memoryKeyMask });
  }

  /** logits = x·Wᵀ: f32 [.., C] → f32 [.., V]. */
  head(x: Tensor): Tensor {
    return linear(x, this.#headWeight, undefined, { transposed: true });
  }

  /**
   * Cross-entropy in nats per target token by teacher forcing, without ever holding all logits.
   * @param labels i32 [B, T]: the token that follows each position of decoderInputIds, the end last; −100 leaves a position out
   */
  loss(batch: Seq2SeqBatch & { readonly labels: Tensor }, { labelSmoothing = 0 }: Seq2SeqLossOptions = {}): RowLoss {
    if (batch.labels === undefined) throw new FerroError('INVALID_OPTION', 'Transformer: "labels" must be given for the loss, got none');
    return smoothedCrossEntropy(this.hidden(batch), this.#headWeight, batch.labels, labelSmoothing);
  }

  sourceInput(name: string, positions: Extent): Tensor {
    return this.config.inputKind === 'features' ? input(name, [1, positions, this.config.inputDim]) : input(name, [1, positions], 'i32');
  }

  makeCache(batch = 1): EncoderDecoderCache {
    const { maxTargetLength, maxSourceLength } = this.config;
    const { layers } = this.decoder.makeCache(batch, maxTargetLength, maxSourceLength);
    const sourceLengths = new Variable({ name: 'cache.sourceLengths', shape: [batch], dtype: 'i32', trainable: false });
    return { layers: layers.map(({ self }) => self), source: layers.map(({ memory }) => memory), sourceLengths };
  }

  readSource(source: Tensor, cache: EncoderDecoderCache): Effect[] {
    return this.decoder.keepMemory(this.encode(source), decoderCache(cache));
  }

  forwardCached(ids: Tensor, cache: EncoderDecoderCache, place: CachePlace, sourceUsed: Extent): Tensor {
    const { tensor: lengths, shape } = cache.sourceLengths;
    const memory = shape[0] === 1 ? { memoryUsed: sourceUsed } : { memoryUsed: sourceUsed, memoryCounts: lengths };
    const x = this.decoder.forwardCached(this.#target(ids, positionOf(place)), decoderCache(cache), { ...place, ...memory });
    return this.head(lastRow(x));
  }

  forwardLast(source: Tensor, ids: Tensor): Tensor {
    return this.head(lastRow(this.decode(ids, this.encode(source))));
  }

  get #headWeight(): Tensor {
    return (this.generator ?? this.target_embedding).weight.tensor;
  }

  #target(ids: Tensor, position?: Extent | Tensor): Tensor {
    return this.target_positions.forward(this.#scaled(this.target_embedding.forward(ids)), position);
  }

  #scaled(x: Tensor): Tensor {
    return this.config.positionEmbedding === 'sinusoidal' ? scale(x, Math.sqrt(this.config.dModel)) : x;
  }

  #checkSource(source: Tensor): void {
    const { inputKind, inputDim, maxSourceLength } = this.config;
    const good =
      inputKind === 'features'
        ? source.rank === 3 && source.dtype === 'f32' && source.shape[2] === inputDim
        : source.rank === 2 && source.dtype === 'i32';
    if (!good) {
      const rule = inputKind === 'features' ? `inputFeatures must be f32 [B, S, ${inputDim}]` : 'inputIds must be i32 [B, S]';
      throw new FerroError('INVALID_SHAPE', `Transformer: ${rule}, got ${String(source)}`);
    }
    checkLength('source', 'maxSourceLength', maxSourceLength, source.shape[1]);
  }
}

function checkLength(what: string, name: string, most: number, got: Dim): void {
  if (typeof got === 'number' && got > most)
    throw new FerroError('INVALID_SHAPE', `Transformer: a ${what} must have at most ${name} ${most} positions, got ${got}`);
}

/** The two kinds of cache together, as the decoder takes them. */
function decoderCache({ layers, source }: EncoderDecoderCache): DecoderCache {
  return { layers: layers.map((self, i) => ({ self, memory: source[i] })) };
}

/** The loss of a batch { inputIds | inputFeatures, inputMask, decoderInputIds, labels }. */
export function seq2seqLoss(options: Seq2SeqLossOptions = {}): Loss<Seq2Seq> {
  return (module, batch) => module.loss(batch as never, options);
}
