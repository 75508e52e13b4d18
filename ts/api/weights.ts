// Moves a model's weights between its engine and files, in f32 or as int8 blocks, one tensor (or piece of one) at a time.
import type { BoundModule, Parameter } from '../bind';
import { FerroError, throwIfAborted } from '../errors';
import { dequantizeQ8, packQ8, type Q8Matrix, quantizeQ8, unpackQ8 } from '../graph';
import type { BlockValues, OpenedModel, ParameterMatrix, ParameterPiece, ParameterValues } from '../io';
import type { ModelConfig } from '../models';
import { plainShape, type QuantizedWeight } from '../nn';

/** Elements of a parameter that are read from the engine at a time: 4 MiB. */
const PIECE_ELEMENTS = 1 << 20;

/** The weights of a model that are int8 blocks, by name. */
export type Blocks = ReadonlyMap<string, QuantizedWeight>;

/** What is read of a model's folder. */
export type WeightSource = Pick<OpenedModel<ModelConfig>, 'shapes' | 'values' | 'parts'>;

/** Fills parameters from pieces; an f32 weight that is to be blocks is gathered, rounded and packed when its last piece is there. */
class WeightWriter {
  readonly #bound: BoundModule;
  readonly #blocks: Blocks;
  #gathered: { name: string; data: Float32Array; filled: number } | undefined;

  constructor(bound: BoundModule, blocks: Blocks) {
    this.#bound = bound;
    this.#blocks = blocks;
  }

  async write(part: ParameterPiece | ParameterMatrix): Promise<void> {
    if ('matrix' in part) return this.#pack(part.name, part.matrix);
    const { name, start, data } = part;
    const weight = this.#blocks.get(name);
    if (weight === undefined) return this.#bound.parameters.get(name)!.set(data, { start, give: true });
    const { rows, columns, transposed } = weight;
    if (this.#gathered?.name !== name) this.#gathered = { name, data: new Float32Array(rows * columns), filled: 0 };
    this.#gathered.data.set(data, start);
    this.#gathered.filled += data.length;
    if (this.#gathered.filled < rows * columns) return;
    const whole = this.#gathered.data;
    this.#gathered = undefined;
    await this.#pack(name, quantizeQ8(name, whole, rows, columns, transposed));
  }

  #pack(name: string, matrix: Q8Matrix): Promise<void> {
    return this.#bound.write(this.#bound.parameters.get(name)!.variable, packQ8(matrix), 'load', { give: true });
  }
}

/**
 * Loads all parameters of an opened folder; the engine takes one piece while the next is read.
 * @param blocks what the model keeps as int8 blocks
 * @param fresh parameters that the folder need not have: they keep their values then
 * @throws INVALID_CHECKPOINT where the folder's parameters are not the model's; NON_FINITE_WEIGHTS; what reading throws
 */
export async function loadWeights(
  bound: BoundModule,
  blocks: Blocks,
  opened: WeightSource,
  signal?: AbortSignal,
  fresh: ReadonlySet<string> = new Set(),
): Promise<void> {
  const wanted = [...bound.parameters].filter(([name]) => opened.shapes.has(name) || !fresh.has(name));
  const problems = wanted
    .filter(([name, { shape }]) => opened.shapes.get(name)?.join() !== (blocks.has(name) ? plainShape(blocks.get(name)!) : shape).join())
    .map(([name]) => name);
  if (problems.length > 0 || opened.shapes.size !== wanted.length) {
    throw new FerroError(
      'INVALID_CHECKPOINT',
      `load: the tensors must be those of the model, got differences in ${problems.slice(0, 10).join(', ') || 'their number'}`,
    );
  }
  const writer = new WeightWriter(bound, blocks);
  let writing: Promise<void> = Promise.resolve();
  try {
    for await (const part of blocks.size > 0 ? opened.parts(signal) : opened.values(signal)) {
      await writing;
      writing = writer.write(part);
    }
  } finally {
    await writing;
  }
}

/** Copies the parameters of one bound model into another of the same configuration, whose `blocks` are rounded on the way. */
export async function copyWeights(from: BoundModule, to: BoundModule, blocks: Blocks, signal?: AbortSignal): Promise<void> {
  const writer = new WeightWriter(to, blocks);
  for (const [name, parameter] of from.parameters) {
    let start = 0;
    for await (const data of plainPieces(parameter, signal)) {
      await writer.write({ name, start, data });
      start += data.length;
    }
  }
}

async function* plainPieces(parameter: Parameter, signal: AbortSignal | undefined): AsyncGenerator<Float32Array> {
  const { size } = parameter;
  for (let start = 0; start < size; start += PIECE_ELEMENTS) {
    throwIfAborted(signal, 'save');
    yield (await parameter.data({ start, end: Math.min(start + PIECE_ELEMENTS, size) })) as Float32Array;
  }
}

/** A model's parameters for files: read from the engine when they are written. */
export function savedWeights(bound: BoundModule, blocks: Blocks, signal?: AbortSignal): Map<string, ParameterValues | BlockValues> {
  return new Map(
    Array.from(bound.parameters, ([name, parameter]): [string, ParameterValues | BlockValues] => {
      const weight = blocks.get(name);
      if (weight !== undefined) return [name, { matrix: () => readBlocks(bound, parameter, weight) }];
      const bfloat16 = parameter.variable.dtype === 'bf16';
      return [name, { elements: parameter.size, bfloat16, pieces: () => plainPieces(parameter, signal) }];
    }),
  );
}

async function readBlocks(bound: BoundModule, { variable }: Parameter, { rows, columns }: QuantizedWeight): Promise<Q8Matrix> {
  return unpackQ8((await bound.read(variable, 'save')) as Int32Array, rows, columns);
}

/** One parameter as f32 in the layout of a plain folder; null where there is none of the name. */
export async function plainParameter(bound: BoundModule, blocks: Blocks, name: string): Promise<Float32Array | null> {
  const [parameter, weight] = [bound.parameters.get(name), blocks.get(name)];
  if (parameter === undefined) return null;
  if (weight === undefined) return (await parameter.data()) as Float32Array;
  return dequantizeQ8(await readBlocks(bound, parameter, weight), weight.transposed);
}
