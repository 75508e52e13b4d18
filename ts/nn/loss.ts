// What a loss is, and what a batch is: the agreement between a user's module and a training loop. No loop is here.

import { FerroError } from '../errors';
import { constant, type Extent, input, Tensor } from '../graph';
import type { Module } from './module';

/** Numbers on the caller's side with their shape, outermost axis first. A Float32Array is f32, an Int32Array i32. */
export interface HostTensor {
  data: Float32Array | Int32Array;
  shape: readonly number[];
}

/** What one micro-batch consists of, by name: for a language model `ids` and `labels`, i32 [B, T]. */
export type Batch = Record<string, HostTensor>;

/**
 * A loss row by row: `sum` f32 [..] is summed, `count` f32 [1] says by how many rows to divide. Gradients of the sum are accumulated over
 * micro-batches and divided once by the total count, so ragged micro-batches weigh as they would in one large batch.
 */
export interface RowLoss {
  sum: Tensor;
  count: Tensor;
  /** More to tell of the rows, by name: each is summed and divided by the count like the loss, and logged beside it. No gradient comes from it. */
  metrics?: Readonly<Record<string, Tensor>>;
}

/**
 * A loss of one's own: builds graph from the module and a symbolic batch. A plain tensor is summed and counts as 1.
 * (Written as a method's type so that a `Loss<GPT>` can stand where any `Loss` is asked for beside its module.)
 */
export type Loss<M extends Module = Module> = { loss(module: M, batch: Record<string, Tensor>): Tensor | RowLoss }['loss'] & {
  /** What run.json keeps of it, as plain data: a run is not gone on with under another loss. Default: nothing. */
  readonly description?: Readonly<Record<string, unknown>>;
};

/**
 * What a loss returned as sum and count.
 * @throws INVALID_SHAPE when it is neither a tensor nor a RowLoss with a count of one element
 */
export function asRowLoss(value: unknown): RowLoss {
  const loss = value instanceof Tensor ? { sum: value, count: constant([1]) } : value;
  if (!isRowLoss(loss)) throw new FerroError('INVALID_SHAPE', `loss: must return a tensor or { sum, count }, got ${describe(value)}`);
  if (loss.count.size !== 1) throw new FerroError('INVALID_SHAPE', `loss: count must have one element, got ${loss.count}`);
  return loss;
}

function isRowLoss(value: unknown): value is RowLoss {
  return (
    typeof value === 'object' &&
    value !== null &&
    'sum' in value &&
    'count' in value &&
    value.sum instanceof Tensor &&
    value.count instanceof Tensor
  );
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null ? `an object with ${Object.keys(value).join(', ') || 'nothing'}` : String(value);
}

/** The names, dtypes and shapes of a batch as one text: programs are compiled once per signature. */
export function batchSignature(batch: Batch): string {
  return Object.entries(batch)
    .map(([name, tensor]) => `${name}:${dtypeOf(tensor)}[${tensor.shape.join(',')}]`)
    .join(' ');
}

/**
 * Symbolic inputs of the same names, shapes and dtypes.
 * @param rows stands for every first size, where their number is known only when the program runs
 * @throws INVALID_SHAPE, INVALID_DTYPE when a tensor is no tensor or data and shape disagree
 */
export function batchInputs(batch: Batch, rows?: Extent): Record<string, Tensor> {
  const inputs: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(batch)) {
    checkHostTensor('batch', name, tensor);
    const shape = rows === undefined ? tensor.shape : [rows, ...tensor.shape.slice(1)];
    inputs[name] = input(name, shape, dtypeOf(tensor));
  }
  return inputs;
}

/** @throws INVALID_DTYPE unless data is a Float32Array or Int32Array; INVALID_SHAPE unless the shape's product is its length */
export function checkHostTensor(op: string, name: string, tensor: HostTensor): void {
  const data: unknown = tensor?.data;
  if (!(data instanceof Float32Array || data instanceof Int32Array)) {
    throw new FerroError('INVALID_DTYPE', `${op}: "${name}" must be { data: Float32Array | Int32Array, shape }, got ${describe(tensor)}`);
  }
  const { shape } = tensor;
  const good =
    Array.isArray(shape) && shape.every((d) => Number.isInteger(d) && d >= 1) && shape.reduce((p, d) => p * d, 1) === data.length;
  if (!good) {
    throw new FerroError(
      'INVALID_SHAPE',
      `${op}: "${name}" must have a shape of positive integers whose product is its ${data.length} elements, got [${String(shape)}]`,
    );
  }
}

/** The dtype of a host tensor. */
export function dtypeOf(tensor: HostTensor): 'f32' | 'i32' {
  return tensor.data instanceof Int32Array ? 'i32' : 'f32';
}
