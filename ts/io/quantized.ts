// Model folders whose weights are int8 blocks: how config.json says so, and how the tensors are called. transformers cannot compute such a model, so its
// `model_type` is 'ferroformer' and the architecture's own type stands beside it. Layout (docs/architecture.md, section 8): a weight X in blocks is the tensor X, I8
// [rows, columns], and X_scale, F32 [rows, ⌈columns / 32⌉]; linear weights lie [out, in]. Everything else is as in the architecture's own folder.
import { FerroError } from '../errors';
import { dequantizeQ8, Q8_BLOCK, type Q8Matrix, q8Blocks, quantizeQ8 } from '../graph';
import { createModel, type ModelConfig } from '../models';
import { type Quantization, type QuantizedWeight, quantizeModule } from '../nn';
import type { FolderConfig } from './architecture';
import { ConfigFields } from './configFields';
import { bytesOf, type TensorSource } from './safetensorsWriter';
import type { WeightFiles } from './weightFiles';

const OWN_TYPE = 'ferroformer';
/** The architecture of a folder whose `model_type` is this library's. */
export const BASE_TYPE = 'base_model_type';
const CONFIG_KEY = 'quantization_config';
const QUANTIZATION_CONFIG = { quant_method: 'ferroformer-int8', version: 1, bits: 8, block_size: Q8_BLOCK, symmetric: true } as const;

/** The name of a weight's scales. */
export const scaleName = (name: string): string => `${name}_scale`;

/** The weights of a model that are blocks in a quantised folder, or bf16, by name. */
export function quantizedWeights(config: FolderConfig, quantization: Quantization = 'int8'): Map<string, QuantizedWeight> {
  return quantizeModule(createModel(config as ModelConfig), quantization); // every configuration that is quantised is one of these
}

/** config.json of a folder that only this library computes, from the one that says it is the architecture's own. */
export function ownConfig(plain: Record<string, unknown>): Record<string, unknown> {
  const { architectures: _, model_type: base, ...rest } = plain;
  return { model_type: OWN_TYPE, [BASE_TYPE]: base, ...rest };
}

/** config.json of a quantised folder, from that of the plain one. */
export function quantizedConfig(plain: Record<string, unknown>): Record<string, unknown> {
  return { ...ownConfig(plain), [CONFIG_KEY]: QUANTIZATION_CONFIG };
}

/**
 * The fields as those of the plain folder, and whether the weights are blocks.
 * @throws INVALID_CHECKPOINT for a base type that is no name; NOT_BUILT for another way or version of quantising
 */
export function readQuantization(fields: ConfigFields): { fields: ConfigFields; quantization: Quantization | null } {
  const found = fields.values.get(CONFIG_KEY);
  const base = fields.values.get(BASE_TYPE);
  if (fields.values.get('model_type') !== OWN_TYPE || (found === undefined && base === undefined)) return { fields, quantization: null };
  if (typeof base !== 'string') throw fields.invalid(BASE_TYPE, 'the name of an architecture');
  const plain = new Map([...fields.values, ['model_type', base]]);
  plain.delete(CONFIG_KEY);
  const read = new ConfigFields(fields.name, plain);
  if (found === undefined) return { fields: read, quantization: null };
  const told = new Map(typeof found === 'object' && found !== null ? Object.entries(found) : []);
  for (const [key, value] of Object.entries(QUANTIZATION_CONFIG)) {
    if (told.get(key) !== value) {
      const got = JSON.stringify(told.get(key)) ?? 'none';
      throw new FerroError('NOT_BUILT', `${fields.name}: "${CONFIG_KEY}.${key}" can only be ${JSON.stringify(value)}, got ${got}`);
    }
  }
  return { fields: read, quantization: 'int8' };
}

/** What is wrong with the tensors of one quantised weight, or nothing. `stored` gives the file's name of ours. */
export function weightProblems(
  name: string,
  { rows, columns }: QuantizedWeight,
  stored: ReadonlyMap<string, string>,
  weights: WeightFiles,
): string[] {
  const wanted = [
    { name, dtype: 'I8', shape: [rows, columns] },
    { name: scaleName(name), dtype: 'F32', shape: [rows, q8Blocks(columns)] },
  ];
  return wanted.flatMap((tensor) => {
    const file = stored.get(tensor.name);
    if (file === undefined) return [`missing ${tensor.name}`];
    const { dtype, shape } = weights.entry(file);
    const text = (type: string, sizes: readonly number[]) => `${type} [${sizes.join(', ')}]`;
    const [got, needed] = [text(dtype, shape), text(tensor.dtype, tensor.shape)];
    return got === needed ? [] : [`${tensor.name} ${got}, not ${needed}`];
  });
}

/** Reads one quantised weight; `known` are its scales, if they have been read. @throws INVALID_CHECKPOINT for a scale that is negative or not finite */
export async function readMatrix(
  name: string,
  { rows, columns }: QuantizedWeight,
  stored: ReadonlyMap<string, string>,
  weights: WeightFiles,
  known?: Float32Array,
): Promise<Q8Matrix> {
  const scales = known ?? (await weights.float32(stored.get(scaleName(name))!));
  const bad = scales.findIndex((scale) => !(scale >= 0 && scale < Number.POSITIVE_INFINITY));
  if (bad >= 0)
    throw new FerroError('INVALID_CHECKPOINT', `load: scales must be finite and not negative, got ${scales[bad]} in ${scaleName(name)}`);
  const bytes = await weights.bytes(stored.get(name)!);
  return { rows, columns, values: new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length), scales };
}

/** The f32 weight that a matrix stands for, in the layout of the plain folder. */
export function plainWeight(matrix: Q8Matrix, { transposed }: QuantizedWeight): Float32Array {
  return dequantizeQ8(matrix, transposed);
}

/** The two tensors of a quantised weight; the matrix is asked for when they are written, once for each. */
export function matrixTensors(
  name: string,
  { rows, columns }: QuantizedWeight,
  matrix: () => Promise<Q8Matrix>,
): [name: string, tensor: TensorSource][] {
  const source = (dtype: string, shape: number[], part: (of: Q8Matrix) => Int8Array | Float32Array): TensorSource => ({
    dtype,
    shape,
    async *pieces() {
      yield bytesOf(part(await matrix()));
    },
  });
  return [
    [name, source('I8', [rows, columns], ({ values }) => values)],
    [scaleName(name), source('F32', [rows, q8Blocks(columns)], ({ scales }) => scales)],
  ];
}

/** Rounds an f32 weight that arrives in pieces. @throws NON_FINITE_WEIGHTS */
export async function roundPieces(
  name: string,
  { rows, columns, transposed }: QuantizedWeight,
  pieces: Iterable<Float32Array> | AsyncIterable<Float32Array>,
): Promise<Q8Matrix> {
  const data = new Float32Array(rows * columns);
  let at = 0;
  for await (const piece of pieces) {
    data.set(piece, at);
    at += piece.length;
  }
  return quantizeQ8(name, data, rows, columns, transposed);
}
