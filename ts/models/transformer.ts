// The original Transformer as modules: stacks of encoder and decoder layers, and both together. Counterparts of torch.nn.TransformerEncoder,
// TransformerDecoder and Transformer, batch first, with their state-dict keys: inputs are vectors already, so token tables, positions and heads are of
// the models that use them. Letters in shapes: B batch, S source, T target, C dModel.

import { FerroError } from '../errors';
import { dimEquals, type Effect, type Tensor, Variable } from '../graph';
import {
  type AttentionMasks,
  additiveMask,
  type CachePlace,
  checkSequence,
  checkSize,
  type DecoderLayerCache,
  type DecoderMasks,
  LAYER_OPTIONS,
  LayerNorm,
  type MemoryPlace,
  MISSING_MEMORY,
  Module,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
  withKeyCounts,
} from '../nn';
import { checkNames } from '../options';

/** Options of `TransformerEncoder` and `TransformerDecoder`. */
export interface TransformerStackOptions extends TransformerLayerOptions {
  /** Number of layers. */
  numLayers: number;
  /** A norm behind the last layer (`norm.weight`). Default false, as in torch; `Transformer` always has one. */
  norm?: boolean;
}

/** Options of `Transformer`: torch's, in camelCase, with its defaults. */
export interface TransformerOptions extends Omit<TransformerLayerOptions, 'dModel' | 'nHead' | 'init'> {
  /** Width C of the sequences. Default 512. */
  dModel?: number;
  /** Number of heads. Default 8. */
  nHead?: number;
  /** Default 6. */
  numEncoderLayers?: number;
  /** Default 6. */
  numDecoderLayers?: number;
}

/** The masks of both halves. Each `…KeyMask` is i32 [B, S] or [B, T]: 1 keep, 0 padding; nothing is taken from one for the other. */
export interface TransformerMasks extends DecoderMasks {
  /** Self-attention of the encoder: [S, S] or [G, S, S], as `AttentionMasks.mask`. */
  readonly srcMask?: Tensor;
  /** i32 [B, S]: 1 keep, 0 padding. */
  readonly srcKeyMask?: Tensor;
}

/** Caches of a decoder, two times two variables for each layer. Whoever holds an engine allocates them (`decoderCacheVariables`). */
export interface DecoderCache {
  readonly layers: readonly DecoderLayerCache[];
}

const STACK_OPTIONS = [...LAYER_OPTIONS, 'numLayers', 'norm'];

/** Layers of an encoder, one after the other, and perhaps a norm. Initial values are drawn for each layer (torch copies the first). */
export class TransformerEncoder extends Module {
  readonly layers: TransformerEncoderLayer[];
  readonly norm: LayerNorm | undefined;
  readonly dModel: number;

  /** @throws INVALID_OPTION, UNKNOWN_OPTION as its layers do */
  constructor(options: TransformerStackOptions) {
    super();
    const { layer, numLayers, norm } = splitOptions('TransformerEncoder', options);
    this.layers = Array.from({ length: numLayers }, () => new TransformerEncoderLayer(layer));
    this.norm = norm;
    this.dModel = layer.dModel;
  }

  /** @param src f32 [B, S, C] @returns f32 [B, S, C]: the memory of a decoder */
  override forward(src: Tensor, masks: AttentionMasks = {}): Tensor {
    checkSequence('TransformerEncoder', 'src', src, this.dModel, 'forward takes a sequence');
    const shared = { ...masks, mask: additiveMask(masks.mask) };
    let x = src;
    for (const layer of this.layers) x = layer.forward(x, shared);
    return this.norm === undefined ? x : this.norm.forward(x);
  }
}

/** Layers of a decoder, one after the other, and perhaps a norm. Initial values are drawn for each layer (torch copies the first). */
export class TransformerDecoder extends Module {
  readonly layers: TransformerDecoderLayer[];
  readonly norm: LayerNorm | undefined;
  readonly dModel: number;

  /** @throws INVALID_OPTION, UNKNOWN_OPTION as its layers do */
  constructor(options: TransformerStackOptions) {
    super();
    const { layer, numLayers, norm } = splitOptions('TransformerDecoder', options);
    this.layers = Array.from({ length: numLayers }, () => new TransformerDecoderLayer(layer));
    this.norm = norm;
    this.dModel = layer.dModel;
  }

  /**
   * @param tgt f32 [B, T, C]
   * @param memory f32 [B, S, C], the encoder's output
   * @returns f32 [B, T, C]
   * @throws INVALID_OPTION without a memory; INVALID_SHAPE for widths and batches that do not fit
   */
  override forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    checkPair('TransformerDecoder', tgt, memory, this.dModel);
    const shared = { ...masks, tgtMask: additiveMask(masks.tgtMask), memoryMask: additiveMask(masks.memoryMask) };
    let x = tgt;
    for (const layer of this.layers) x = layer.forward(x, memory, shared);
    return this.norm === undefined ? x : this.norm.forward(x);
  }

  /** Caches for `batch` sequences of up to `maxTarget` positions whose memories have up to `maxSource`. */
  makeCache(batch: number, maxTarget: number, maxSource: number): DecoderCache {
    for (const [name, value] of Object.entries({ batch, maxTarget, maxSource })) checkSize('TransformerDecoder', name, value);
    const pair = (layer: number, what: string, rows: number) => {
      const make = (part: string) =>
        new Variable({ name: `cache.${layer}.${what}.${part}`, shape: [batch, rows, this.dModel], trainable: false });
      return { keys: make('keys'), values: make('values') };
    };
    return { layers: this.layers.map((_, i) => ({ self: pair(i, 'self', maxTarget), memory: pair(i, 'memory', maxSource) })) };
  }

  /**
   * Keeps the keys and values of a memory for `forwardCached`, so that they are computed once for each source.
   * @param memory f32 [B, S, C], S at most maxSource; rows of padding may be anything, `memoryCounts` leaves them out
   * @returns effects, for the program that computes the memory
   */
  keepMemory(memory: Tensor, cache: DecoderCache): Effect[] {
    checkSequence('TransformerDecoder', 'memory', memory, this.dModel, MISSING_MEMORY);
    return this.layers.flatMap((layer, i) => layer.keepMemory(memory, cache.layers[i]));
  }

  /**
   * The decoder for new positions alone: those before are in the cache, and so is the memory (`keepMemory`, in a program that ran before). Causal;
   * evaluation only. Equal to the last rows of `forward` with `causal`.
   * @param tgt f32 [B, T, C], the new positions
   * @param place where they go in the cache; how much of the caches is used
   * @returns f32 [B, T, C]
   */
  forwardCached(tgt: Tensor, cache: DecoderCache, place: CachePlace & MemoryPlace): Tensor {
    checkSequence('TransformerDecoder', 'tgt', tgt, this.dModel, 'forwardCached takes a sequence');
    const { memoryUsed, memoryCounts } = place;
    const shared = { ...withKeyCounts(place), memoryUsed, memoryCounts };
    let x = tgt;
    for (const [i, layer] of this.layers.entries()) x = layer.forwardCached(x, cache.layers[i], shared);
    return this.norm === undefined ? x : this.norm.forward(x);
  }
}

/**
 * The encoder-decoder of Vaswani et al. 2017: counterpart of torch.nn.Transformer with its defaults, its parameter names and, matrices being
 * Xavier-uniform, its initial values.
 */
export class Transformer extends Module {
  readonly encoder: TransformerEncoder;
  readonly decoder: TransformerDecoder;

  /** @throws INVALID_OPTION, UNKNOWN_OPTION as its layers do */
  constructor(options: TransformerOptions = {}) {
    super();
    const known = [...LAYER_OPTIONS.filter((name) => name !== 'init'), 'numEncoderLayers', 'numDecoderLayers'];
    checkNames('Transformer', options, known);
    const { numEncoderLayers = 6, numDecoderLayers = 6, dModel = 512, nHead = 8, ...rest } = options;
    const stack = { ...rest, dModel, nHead, init: 'xavier', norm: true } as const;
    for (const [name, value] of Object.entries({ numEncoderLayers, numDecoderLayers })) checkSize('Transformer', name, value);
    this.encoder = new TransformerEncoder({ ...stack, numLayers: numEncoderLayers });
    this.decoder = new TransformerDecoder({ ...stack, numLayers: numDecoderLayers });
  }

  /**
   * The decoder's output for a target, given a source.
   * @param src f32 [B, S, C] @param tgt f32 [B, T, C] @returns f32 [B, T, C]
   * @throws INVALID_OPTION without a source or target; INVALID_SHAPE
   */
  override forward(src: Tensor, tgt: Tensor, masks: TransformerMasks = {}): Tensor {
    const { srcMask, srcKeyMask, ...decoder } = masks;
    checkSequence('Transformer', 'src', src, this.encoder.dModel, "a decoder needs its encoder's input, src");
    checkSequence('Transformer', 'tgt', tgt, this.encoder.dModel, 'forward takes a target beside the source');
    const memory = this.encoder.forward(src, { mask: srcMask, keyMask: srcKeyMask });
    return this.decoder.forward(tgt, memory, decoder);
  }
}

/** All variables of a decoder's caches. */
export function decoderCacheVariables(cache: DecoderCache): Variable[] {
  return cache.layers.flatMap(({ self, memory }) => [self.keys, self.values, memory.keys, memory.values]);
}

function splitOptions(op: string, options: TransformerStackOptions) {
  checkNames(op, options, STACK_OPTIONS);
  const { numLayers, norm = false, ...layer } = options;
  checkSize(op, 'numLayers', numLayers);
  return { layer, numLayers, norm: norm ? new LayerNorm(layer.dModel, { eps: layer.layerNormEps, bias: layer.bias }) : undefined };
}

function checkPair(op: string, tgt: Tensor, memory: Tensor, dModel: number): void {
  checkSequence(op, 'tgt', tgt, dModel, 'forward takes a sequence');
  checkSequence(op, 'memory', memory, dModel, MISSING_MEMORY);
  if (!dimEquals(tgt.shape[0], memory.shape[0])) {
    throw new FerroError('INVALID_SHAPE', `${op}: tgt and memory must have the same batch, got ${String(tgt)} and ${String(memory)}`);
  }
}
