// The folder of an encoder-decoder Transformer: config.json of this library's own kind (`model_type: 'ferroformer'`, `architecture: 'transformer'`), the weights under the names
// of torch.nn.Transformer with tables beside them, and one tokenizer or two (tokenizer.json reads sources; target_tokenizer.json, where there is one, targets). Opening
// and writing weights is modelFolder.ts's and modelFiles.ts's.
import { FerroError } from '../errors';
import { resolveSeq2SeqConfig, type Seq2SeqConfig, type Seq2SeqConfigOptions } from '../models';
import type { Tokenizer } from '../tokenizers';
import type { Architecture, TensorLayout } from './architecture';
import { ConfigFields } from './configFields';
import { checkpointError, type FileData, type ReadableFolder, readFolderText } from './files';
import { type ModelContents, modelToFiles, type SaveFormat } from './modelFiles';
import { type OpenedModel, type OpenModelOptions, openModel } from './modelFolder';
import { type FolderTokenizer, readTokenizer } from './tokenizerFolder';

const OWN_TYPE = 'ferroformer';
const ARCHITECTURE = 'transformer';
/** Version of config.json's fields. */
const VERSION = 1;
const TARGET = 'target_embedding.weight';
const HEAD = 'generator.weight';
/** In front of the names of the target tokenizer's files. */
const TARGET_PREFIX = 'target_';

/** Every tensor of a folder by name, with its shape, in the order of the module's parameters. */
export function transformerTensorShapes(config: Seq2SeqConfig): Map<string, number[]> {
  const { inputDim, outputDim, dModel: C, dimFeedforward: F, bias, shareEmbeddings } = config;
  const shapes = new Map<string, number[]>([[TARGET, [outputDim, C]]]);
  const linear = (name: string, outputs: number, inputs: number, biased = bias) => {
    shapes.set(`${name}.weight`, [outputs, inputs]);
    if (biased) shapes.set(`${name}.bias`, [outputs]);
  };
  const norm = (name: string) => {
    shapes.set(`${name}.weight`, [C]);
    if (bias) shapes.set(`${name}.bias`, [C]);
  };
  const attention = (name: string) => {
    shapes.set(`${name}.in_proj_weight`, [3 * C, C]);
    if (bias) shapes.set(`${name}.in_proj_bias`, [3 * C]);
    linear(`${name}.out_proj`, C, C);
  };
  if (config.inputKind === 'features') linear('source_embedding', C, inputDim, true);
  else if (!shareEmbeddings) shapes.set('source_embedding.weight', [inputDim, C]);
  shapes.set('target_positions.weight', [config.maxTargetLength, C]);
  shapes.set('source_positions.weight', [config.maxSourceLength, C]);
  const layers = (half: string, count: number, attentions: readonly string[]) => {
    for (let i = 0; i < count; i++) {
      const layer = `${half}.layers.${i}`;
      for (const name of attentions) attention(`${layer}.${name}`);
      linear(`${layer}.linear1`, F, C);
      linear(`${layer}.linear2`, C, F);
      for (let n = 1; n <= attentions.length + 1; n++) norm(`${layer}.norm${n}`);
    }
    norm(`${half}.norm`);
  };
  layers('encoder', config.nEncoderLayer, ['self_attn']);
  layers('decoder', config.nDecoderLayer, ['self_attn', 'multihead_attn']);
  if (!config.tieWordEmbeddings) shapes.set(HEAD, [outputDim, C]);
  return shapes;
}

function configToJson(config: Seq2SeqConfig): Record<string, unknown> {
  return {
    model_type: OWN_TYPE,
    architecture: ARCHITECTURE,
    version: VERSION,
    input_kind: config.inputKind,
    input_dim: config.inputDim,
    output_dim: config.outputDim,
    d_model: config.dModel,
    n_head: config.nHead,
    n_encoder_layer: config.nEncoderLayer,
    n_decoder_layer: config.nDecoderLayer,
    dim_feedforward: config.dimFeedforward,
    dropout: config.dropout,
    activation_function: config.activationFunction,
    layer_norm_epsilon: config.layerNormEpsilon,
    norm_first: config.normFirst,
    bias: config.bias,
    position_embedding: config.positionEmbedding,
    share_embeddings: config.shareEmbeddings,
    tie_word_embeddings: config.tieWordEmbeddings,
    max_source_length: config.maxSourceLength,
    max_target_length: config.maxTargetLength,
    bos_token_id: config.bosId,
    eos_token_id: config.eosId,
    pad_token_id: config.padId,
  };
}

/** What config.json says. @throws INVALID_CHECKPOINT for a missing field or a wrong type; NOT_BUILT for another architecture or version */
function configFromFields(fields: ConfigFields): Seq2SeqConfig {
  const architecture = fields.values.get('architecture');
  if (architecture !== ARCHITECTURE)
    throw new FerroError(
      'NOT_BUILT',
      `${fields.name}: "architecture" can only be "${ARCHITECTURE}" here, got ${JSON.stringify(architecture) ?? 'none'}`,
    );
  if (fields.values.get('version') !== VERSION)
    throw new FerroError(
      'NOT_BUILT',
      `${fields.name}: "version" can only be ${VERSION}, got ${JSON.stringify(fields.values.get('version')) ?? 'none'}`,
    );
  const text = (key: string, fallback: string): string => {
    const value = fields.values.get(key) ?? fallback;
    if (typeof value !== 'string') throw fields.invalid(key, 'a text');
    return value;
  };
  const options = {
    inputKind: text('input_kind', 'tokens'),
    inputDim: fields.integer('input_dim'),
    outputDim: fields.integer('output_dim'),
    dModel: fields.integer('d_model'),
    nHead: fields.integer('n_head'),
    nEncoderLayer: fields.integer('n_encoder_layer'),
    nDecoderLayer: fields.integer('n_decoder_layer'),
    dimFeedforward: fields.integer('dim_feedforward'),
    dropout: fields.number('dropout', 0),
    activationFunction: text('activation_function', 'relu'),
    layerNormEpsilon: fields.number('layer_norm_epsilon', 1e-5),
    normFirst: fields.boolean('norm_first', false),
    bias: fields.boolean('bias', true),
    positionEmbedding: text('position_embedding', 'sinusoidal'),
    shareEmbeddings: fields.boolean('share_embeddings', false),
    tieWordEmbeddings: fields.boolean('tie_word_embeddings', true),
    maxSourceLength: fields.integer('max_source_length'),
    maxTargetLength: fields.integer('max_target_length'),
    bosId: fields.number('bos_token_id', -1),
    eosId: fields.number('eos_token_id', -1),
    padId: fields.number('pad_token_id', -1),
  };
  try {
    return resolveSeq2SeqConfig(options as Seq2SeqConfigOptions, fields.name);
  } catch (cause) {
    throw new FerroError('INVALID_CHECKPOINT', (cause as Error).message, { cause });
  }
}

const NONE: ReadonlySet<string> = new Set();

const TRANSFORMER: Architecture<Seq2SeqConfig> = {
  modelType: OWN_TYPE,
  tokenTable: TARGET,
  head: HEAD,
  readConfig: configFromFields,
  configToJson,
  prefix: '',
  notParameters: /^$/,
  layout: (config): TensorLayout => ({ shapes: transformerTensorShapes(config), zeros: NONE }),
  tokenizerVocabSize: ({ inputKind, inputDim, outputDim }) => (inputKind === 'features' ? outputDim : Math.max(inputDim, outputDim)),
};

/** A Transformer's folder, opened and checked. */
export interface OpenedTransformer extends OpenedModel<Seq2SeqConfig> {
  /** What reads targets where that is another tokenizer; null where `tokenizer` does, or none. */
  readonly targetTokenizer: Tokenizer | null;
}

/** A folder seen through names with something in front of them. */
function prefixed(folder: ReadableFolder, prefix: string): ReadableFolder {
  return {
    label: folder.label,
    open: (name, options) => folder.open(prefix + name, options),
    has: (name, options) => folder.has(prefix + name, options),
  };
}

/** Opens a Transformer's folder. @throws as `openModel` */
export async function openTransformer(folder: ReadableFolder, options: OpenModelOptions = {}): Promise<OpenedTransformer> {
  const opened = await openModel(folder, [TRANSFORMER], options);
  try {
    const { config } = opened;
    const target: FolderTokenizer = await readTokenizer(prefixed(folder, TARGET_PREFIX), config.outputDim, { signal: options.signal });
    const single = target.tokenizer === null && target.tokenizerProblem === null;
    const most = config.inputKind === 'features' || single ? config.outputDim : config.inputDim;
    if ((opened.tokenizer?.vocabSize ?? 0) > most)
      throw new FerroError(
        'VOCABULARY_MISMATCH',
        `${folder.label}: the tokenizer must have at most the model's ${most} tokens, got ${opened.tokenizer?.vocabSize}`,
      );
    return { ...opened, tokenizerProblem: opened.tokenizerProblem ?? target.tokenizerProblem, targetTokenizer: target.tokenizer };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** What a folder is made from. */
export interface TransformerContents extends ModelContents<Seq2SeqConfig> {
  /** Where targets have another tokenizer than sources. */
  targetTokenizer?: Tokenizer | null;
}

/**
 * The files of a Transformer's folder.
 * @throws INVALID_CHECKPOINT listing parameters that do not fit, INVALID_OPTION, NOT_SUPPORTED for int8 blocks or bf16 weights beside f32
 */
export function transformerToFiles(contents: TransformerContents, format: SaveFormat = {}): Map<string, FileData> {
  if (format.quantize !== undefined)
    throw new FerroError(
      'NOT_SUPPORTED',
      `save: "quantize" is for causal models, got ${JSON.stringify(format.quantize)} with a Transformer`,
    );
  const files = modelToFiles(TRANSFORMER, contents, format);
  // Its ids are the target's: the source's tokenizer would take them for its own.
  files.delete('generation_config.json');
  const target = contents.targetTokenizer?.toFiles({ modelMaxLength: contents.config.maxTargetLength }) ?? [];
  for (const [name, text] of target) files.set(TARGET_PREFIX + name, text);
  return files;
}

/**
 * What kind of model a folder holds, by its config.json: 'causal' (Hugging Face's layout, or in int8 blocks), else the `architecture` that a folder of this library's own names
 * ('transformer').
 * @throws FILE_NOT_FOUND, INVALID_CHECKPOINT
 */
export async function modelKind(folder: ReadableFolder, options: { signal?: AbortSignal } = {}): Promise<string> {
  try {
    const text = await readFolderText(folder, 'config.json', options);
    if (text === null)
      throw new FerroError(
        'FILE_NOT_FOUND',
        `${folder.label}: a model folder must have config.json, got ${folder.whyAbsent?.('config.json') ?? 'none'}`,
      );
    const { values } = ConfigFields.parse(`${folder.label}/config.json`, text);
    const architecture = values.get('architecture');
    return values.get('model_type') === OWN_TYPE && typeof architecture === 'string' ? architecture : 'causal';
  } catch (error) {
    throw checkpointError(error);
  }
}
