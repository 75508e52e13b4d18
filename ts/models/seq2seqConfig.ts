// The configuration of a sequence-to-sequence model: resolved from a user's options, checked before anything is built. What a folder's config.json says is read in ts/io.

import { FerroError } from '../errors';
import { checkHeads } from '../nn/checks';
import { type OptionName, type OptionValues, readOptions, TRANSFORMER_CONFIG_OPTIONS } from '../options';

/** The encoder-decoder Transformer of Vaswani et al. 2017 with its tables and head, every field present. */
export interface Seq2SeqConfig {
  readonly modelType: 'transformer';
  /** What a source is: token ids, or rows of `inputDim` numbers (sound, sensors) that a linear layer takes in. */
  readonly inputKind: 'tokens' | 'features';
  /** Words of the source vocabulary, or the width of a row of features. */
  readonly inputDim: number;
  /** Words of the target vocabulary. */
  readonly outputDim: number;
  /** Width of the residual stream. */
  readonly dModel: number;
  /** Attention heads of a layer; divides dModel. */
  readonly nHead: number;
  readonly nEncoderLayer: number;
  readonly nDecoderLayer: number;
  /** Width of the feed-forward layers. */
  readonly dimFeedforward: number;
  /** Probability of dropping in training: after the embeddings, attention weights, in the feed-forward layers, and outputs of each part. */
  readonly dropout: number;
  /** `gelu` is exact, as in torch. */
  readonly activationFunction: 'relu' | 'gelu';
  readonly layerNormEpsilon: number;
  /** True: norms before the parts of a layer (GPT-2's order); false: behind the sums (Vaswani et al.). */
  readonly normFirst: boolean;
  /** Biases in linear layers and norms; the head has none. */
  readonly bias: boolean;
  /** Sinusoidal: a fixed table, and embeddings are multiplied by √dModel (Vaswani et al., 3.4); learned: two tables, one for each side. */
  readonly positionEmbedding: 'sinusoidal' | 'learned';
  /** Source and target have one token table. */
  readonly shareEmbeddings: boolean;
  /** The head is the target's token table. */
  readonly tieWordEmbeddings: boolean;
  /** Most positions of a source. */
  readonly maxSourceLength: number;
  /** Most positions of a target, the start included. */
  readonly maxTargetLength: number;
  /** Id that the decoder starts from. */
  readonly bosId: number;
  /** Id that ends a target. */
  readonly eosId: number;
  /** Id that fills up rows of a batch; what it stands for is never seen. */
  readonly padId: number;
  /** outputDim and maxTargetLength by the names that all models which write text have. */
  readonly vocabSize: number;
  readonly blockSize: number;
}

/** What a user may give. snake_case keys are accepted. */
export interface Seq2SeqConfigOptions extends Partial<Omit<Seq2SeqConfig, 'modelType' | 'vocabSize' | 'blockSize'>> {
  /** Layers of both halves, where nEncoderLayer and nDecoderLayer do not say otherwise. */
  readonly nLayer?: number;
}

const LIMITS: Partial<Record<OptionName, number>> = {
  inputDim: 1 << 28,
  outputDim: 1 << 28,
  dModel: 1 << 20,
  nEncoderLayer: 4096,
  nDecoderLayer: 4096,
  dimFeedforward: 1 << 22,
  maxSourceLength: 1 << 24,
  maxTargetLength: 1 << 24,
};

/**
 * Fills a configuration in. inputDim, outputDim, dModel, nHead and nLayer (or both counts) must be given (`Transformer.create` takes the first two from the tokenizers); the rest
 * has defaults. Without special ids the last word of the target vocabulary ends, begins and fills.
 * @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value
 */
export function resolveSeq2SeqConfig(options: Seq2SeqConfigOptions, op = 'Transformer'): Seq2SeqConfig {
  type Given = Partial<OptionValues<(typeof TRANSFORMER_CONFIG_OPTIONS)[number]>>;
  const given = readOptions(op, options, TRANSFORMER_CONFIG_OPTIONS, { defaults: false }) as Given;
  const size = (name: keyof Given & OptionName, fallback?: number): number => {
    const value = (given[name] as number | undefined) ?? fallback;
    if (value === undefined) throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be given, got none`);
    const limit = LIMITS[name];
    if (limit !== undefined && value > limit)
      throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be at most ${limit}, got ${value}`);
    return value;
  };
  const [inputDim, outputDim, dModel] = [size('inputDim'), size('outputDim'), size('dModel')];
  const eosId = given.eosId ?? outputDim - 1;
  const maxTargetLength = size('maxTargetLength', 256);
  const config: Seq2SeqConfig = {
    modelType: 'transformer',
    inputKind: given.inputKind ?? 'tokens',
    inputDim,
    outputDim,
    dModel,
    nHead: size('nHead'),
    nEncoderLayer: size('nEncoderLayer', given.nLayer),
    nDecoderLayer: size('nDecoderLayer', given.nLayer),
    dimFeedforward: size('dimFeedforward', 4 * dModel),
    dropout: given.dropout ?? 0,
    activationFunction: readActivation(op, given.activationFunction),
    layerNormEpsilon: given.layerNormEpsilon ?? 1e-5,
    normFirst: given.normFirst ?? true,
    bias: given.bias ?? true,
    positionEmbedding: readPositions(op, given.positionEmbedding ?? 'sinusoidal'),
    shareEmbeddings: given.shareEmbeddings ?? false,
    tieWordEmbeddings: given.tieWordEmbeddings ?? true,
    maxSourceLength: size('maxSourceLength', 256),
    maxTargetLength,
    bosId: given.bosId ?? eosId,
    eosId,
    padId: given.padId ?? eosId,
    vocabSize: outputDim,
    blockSize: maxTargetLength,
  };
  checkSeq2SeqConfig(config, op);
  return Object.freeze(config);
}

function readPositions(op: string, name: string): 'sinusoidal' | 'learned' {
  if (name === 'sinusoidal' || name === 'learned') return name;
  throw new FerroError(
    'INVALID_OPTION',
    `${op}: "positionEmbedding" must be "sinusoidal" or "learned" in a Transformer, got ${JSON.stringify(name)}`,
  );
}

function readActivation(op: string, name: string | undefined): 'relu' | 'gelu' {
  if (name === undefined || name === 'relu') return 'relu';
  if (name === 'gelu') return name;
  throw new FerroError(
    'INVALID_OPTION',
    `${op}: "activationFunction" must be "relu" or "gelu" in a Transformer, got ${JSON.stringify(name)}`,
  );
}

/** What goes together. @throws INVALID_OPTION */
function checkSeq2SeqConfig(config: Seq2SeqConfig, op: string): void {
  const { inputKind, inputDim, outputDim, shareEmbeddings } = config;
  checkHeads(op, config.dModel, config.nHead, 'dModel');
  if (shareEmbeddings && inputKind === 'features')
    throw new FerroError('INVALID_OPTION', `${op}: "shareEmbeddings" must be false with inputKind "features", got true`);
  if (shareEmbeddings && inputDim !== outputDim)
    throw new FerroError('INVALID_OPTION', `${op}: "inputDim" must be outputDim ${outputDim} with shareEmbeddings, got ${inputDim}`);
  for (const name of ['eosId', 'bosId'] as const) {
    if (config[name] >= outputDim)
      throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be below outputDim ${outputDim}, got ${config[name]}`);
  }
  const words = inputKind === 'tokens' ? Math.max(inputDim, outputDim) : outputDim;
  if (config.padId >= words) throw new FerroError('INVALID_OPTION', `${op}: "padId" must be below ${words}, got ${config.padId}`);
}
