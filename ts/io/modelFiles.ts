// A causal language model as the files of a folder in Hugging Face's layout: config.json, generation_config.json, the weights, the tokenizer's files. The
// same for every architecture; weights are read from their owner while they are written. Opening is in modelFolder.ts.
import { FerroError } from '../errors';
import type { Q8Matrix } from '../graph';
import type { Quantization, QuantizedWeight } from '../nn';
import type { Tokenizer } from '../tokenizers';
import type { Architecture, FolderConfig } from './architecture';
import { generationConfigToJson } from './configFields';
import { elementsOf } from './dtypes';
import type { FileData } from './files';
import { toBfloat16 } from './floats';
import { checkedFloat16 } from './gguf/encodings';
import { mismatch } from './modelFolder';
import { matrixTensors, ownConfig, quantizedConfig, quantizedWeights, roundPieces } from './quantized';
import { bytesOf, type TensorSource } from './safetensorsWriter';
import { weightsToFiles } from './saveWeights';

const DTYPES = { float32: 'F32', bfloat16: 'BF16', float16: 'F16' } as const;

/** Types that weights are saved as; float16 holds numbers up to 65504. */
export type SaveDtype = keyof typeof DTYPES;

/** How weights are saved. */
export interface SaveFormat {
  /** 'bfloat16' and 'float16' round to the nearest, ties to even. Default 'float32'. */
  dtype?: SaveDtype;
  /**
   * 'int8': weights of linear layers and tables as int8 blocks, a quarter of the size; only this library reads it. 'bf16': those weights as BF16 tensors
   * of an ordinary folder, the rest as f32. Default: as the model is.
   */
  quantize?: Quantization;
  /** Largest size of a weight file: bytes, or '200MB', '1GiB' as Hugging Face writes it. Default: one file. */
  maxShardSize?: string | number;
}

/** A parameter's values, given piece by piece whenever they are asked for. */
export interface ParameterValues {
  readonly elements: number;
  /** Whether all are bf16 numbers: a folder saved as float32 has them as BF16, which loses nothing. */
  readonly bfloat16?: boolean;
  pieces(): Iterable<Float32Array> | AsyncIterable<Float32Array>;
}

/** A weight that is int8 blocks already, read when it is asked for. */
export interface BlockValues {
  matrix(): Promise<Q8Matrix>;
}

/** What a folder is made from. */
export interface ModelContents<C extends FolderConfig> {
  config: C;
  /** Values by parameter name, as the model names them; row-major. */
  parameters: ReadonlyMap<string, Float32Array | ParameterValues | BlockValues>;
  tokenizer?: Tokenizer | null;
}

/** Elements written at a time where they are made here. */
const PIECE_ELEMENTS = 1 << 20;

function* zeros(elements: number): Generator<Float32Array> {
  for (let left = elements; left > 0; left -= PIECE_ELEMENTS) yield new Float32Array(Math.min(left, PIECE_ELEMENTS));
}

/** A parameter as a tensor to write. */
function tensorOf(name: string, shape: readonly number[], values: ParameterValues, dtype: SaveDtype): TensorSource {
  const encode = (piece: Float32Array) =>
    dtype === 'float32' ? piece : dtype === 'bfloat16' ? toBfloat16(piece) : checkedFloat16(name, piece);
  return {
    dtype: DTYPES[dtype],
    shape,
    async *pieces() {
      for await (const piece of values.pieces()) yield bytesOf(encode(piece));
    },
  };
}

const asValues = (data: Float32Array | ParameterValues): ParameterValues =>
  data instanceof Float32Array ? { elements: data.length, pieces: () => [data] } : data;

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** Checks how to save. @returns whether the weights are written as int8 blocks @throws INVALID_OPTION, QUANTIZED_MODEL */
function checkFormat({ dtype = 'float32', quantize }: SaveFormat, parameters: ModelContents<FolderConfig>['parameters']): boolean {
  if (!Object.hasOwn(DTYPES, dtype))
    throw new FerroError('INVALID_OPTION', `save: "dtype" must be one of ${Object.keys(DTYPES).join(', ')}, got ${JSON.stringify(dtype)}`);
  if (quantize !== undefined && quantize !== 'int8' && quantize !== 'bf16')
    throw new FerroError('INVALID_OPTION', `save: "quantize" must be "int8" or "bf16", got ${JSON.stringify(quantize)}`);
  const inBlocks = [...parameters.values()].some((values) => 'matrix' in values);
  if (inBlocks && quantize === 'bf16')
    throw new FerroError('INVALID_OPTION', 'save: "quantize" must be "int8" for a model in int8 blocks, got "bf16"');
  const quantized = inBlocks || quantize === 'int8';
  if (quantized && dtype !== 'float32')
    throw new FerroError('INVALID_OPTION', `save: "dtype" must be "float32" for a quantised model, got ${JSON.stringify(dtype)}`);
  return quantized;
}

/** The tensors of a folder, `blocks` as int8 blocks, `halves` as BF16 where the others are F32. @throws INVALID_CHECKPOINT listing every difference */
function tensorsOf<C extends FolderConfig>(
  architecture: Architecture<C>,
  { config, parameters }: ModelContents<C>,
  blocks: ReadonlyMap<string, QuantizedWeight>,
  halves: ReadonlyMap<string, QuantizedWeight>,
  dtype: NonNullable<SaveFormat['dtype']>,
): Map<string, TensorSource> {
  const tensors = new Map<string, TensorSource>();
  const problems: string[] = [];
  const { shapes, zeros: absent } = architecture.layout(config);
  for (const [name, shape] of shapes) {
    const elements = elementsOf(shape);
    const given = parameters.get(name);
    const weight = blocks.get(name);
    const addBlocks = (weight: QuantizedWeight, matrix: () => Promise<Q8Matrix>) => {
      for (const [key, tensor] of matrixTensors(name, weight, matrix)) tensors.set(key, tensor);
    };
    if (given !== undefined && 'matrix' in given) {
      if (weight === undefined) problems.push(`${name} is in int8 blocks`);
      else addBlocks(weight, given.matrix);
      continue;
    }
    const values = given !== undefined ? asValues(given) : absent.has(name) ? { elements, pieces: () => zeros(elements) } : undefined;
    if (values === undefined) problems.push(`missing ${name}`);
    else if (values.elements !== elements) problems.push(`${name} has ${values.elements} elements, not [${shape.join(', ')}]`);
    else if (weight !== undefined) addBlocks(weight, () => roundPieces(name, weight, values.pieces()));
    else {
      const half = dtype === 'float32' && (halves.has(name) || values.bfloat16 === true);
      tensors.set(name, tensorOf(name, shape, values, half ? 'bfloat16' : dtype));
    }
  }
  for (const name of parameters.keys()) if (!shapes.has(name)) problems.push(`unexpected ${name}`);
  if (problems.length > 0) throw mismatch('save', problems);
  return tensors;
}

/**
 * The files of a model's folder. Nothing is copied: values are read when a file is written.
 * @throws INVALID_CHECKPOINT where parameters are missing, unknown or of another size, all of them listed; INVALID_OPTION
 */
export function modelToFiles<C extends FolderConfig>(
  architecture: Architecture<C>,
  contents: ModelContents<C>,
  format: SaveFormat = {},
): Map<string, FileData> {
  const { config, tokenizer } = contents;
  const { dtype = 'float32' } = format;
  const quantized = checkFormat(format, contents.parameters);
  const blocks = quantized ? quantizedWeights(config) : new Map<string, QuantizedWeight>();
  const halves = format.quantize === 'bf16' ? quantizedWeights(config, 'bf16') : new Map<string, QuantizedWeight>();
  const tensors = tensorsOf(architecture, contents, blocks, halves, dtype);
  const ids = { bosId: tokenizer?.bosId ?? null, eosId: tokenizer?.eosId ?? null, padId: tokenizer?.padId ?? null };
  const plain = architecture.configToJson(config, ids);
  const own = architecture.isOwn?.(config) === true;
  const files = new Map<string, FileData>([
    ['config.json', json({ ...(quantized ? quantizedConfig(plain) : own ? ownConfig(plain) : plain), dtype })],
    ['generation_config.json', json(generationConfigToJson(ids))],
    ...weightsToFiles(tensors, format.maxShardSize),
  ]);
  for (const [name, text] of tokenizer?.toFiles({ modelMaxLength: config.blockSize }) ?? []) files.set(name, text);
  return files;
}
