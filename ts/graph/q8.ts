// Weights in int8 blocks, the storage type 'q8': 32 weights along the last axis share one f32 scale. Here are the rounding of f32 weights, and the layout
// in which the kernels read them (crates/kernels/src/matmul/q8.rs says why it is that). No ops: those are linear, embedding and linearCrossEntropy.
import { FerroError } from '../errors';

/** Weights that share a scale. */
export const Q8_BLOCK = 32;
/** Largest integer: the range is symmetric, −128 is never made. */
export const Q8_LARGEST = 127;
const COLUMNS = 8;
const CELL_BYTES = Q8_BLOCK * COLUMNS + 4 * COLUMNS;

/** A matrix [rows, columns] as integers and scales; weight (r, c) is `values[r·columns + c] · scales[r·blocks + ⌊c / 32⌋]`. */
export interface Q8Matrix {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns], from −127 to 127. */
  readonly values: Int8Array;
  /** [rows, ⌈columns / 32⌉], finite and not negative. */
  readonly scales: Float32Array;
}

/** Blocks of a row. */
export function q8Blocks(columns: number): number {
  return Math.ceil(columns / Q8_BLOCK);
}

/** Bytes of a 'q8' tensor [rows, columns] in an engine: 1.125 per weight, rows rounded up to 8 and columns to 32. */
export function q8Bytes(rows: number, columns: number): number {
  return Math.ceil(rows / COLUMNS) * q8Blocks(columns) * CELL_BYTES;
}

/** Adding and subtracting it rounds a double of less than 2^51 to the nearest integer, ties to even. */
const ROUNDER = 1.5 * 2 ** 52;

/**
 * Rounds weights to int8 blocks: a block's scale is its largest magnitude / 127 (as f32), its integers are weight / scale to the nearest, ties to even.
 * A block whose scale would be no normal f32 becomes zeros. The error is at most half a scale for every weight.
 * @param data f32 [rows, columns], or [columns, rows] with `transposed` (GPT-2's [in, out])
 * @throws NON_FINITE_WEIGHTS naming the place
 */
export function quantizeQ8(name: string, data: Float32Array, rows: number, columns: number, transposed = false): Q8Matrix {
  if (data.length !== rows * columns)
    throw new FerroError('INVALID_SHAPE', `quantize: "${name}" must have ${rows} x ${columns} elements, got ${data.length}`);
  const blocks = q8Blocks(columns);
  const values = new Int8Array(data.length);
  const scales = new Float32Array(rows * blocks);
  const [rowStep, columnStep] = transposed ? [1, rows] : [columns, 1];
  for (let block = 0; block < blocks; block++) {
    const [first, end] = [block * Q8_BLOCK, Math.min(columns, (block + 1) * Q8_BLOCK)];
    for (let row = 0; row < rows; row++) {
      let largest = 0;
      for (let c = first; c < end; c++) {
        const size = Math.abs(data[row * rowStep + c * columnStep]);
        // A NaN fails this too.
        if (!(size < Number.POSITIVE_INFINITY)) throw notFinite(name, row, c, data[row * rowStep + c * columnStep]);
        if (size > largest) largest = size;
      }
      const scale = Math.fround(largest / Q8_LARGEST);
      if (scale < 2 ** -126) continue;
      scales[row * blocks + block] = scale;
      for (let c = first; c < end; c++) values[row * columns + c] = data[row * rowStep + c * columnStep] / scale + ROUNDER - ROUNDER;
    }
  }
  return { rows, columns, values, scales };
}

function notFinite(name: string, row: number, column: number, value: number): FerroError {
  return new FerroError('NON_FINITE_WEIGHTS', `quantize: the weights of "${name}" must be finite, got ${value} at [${row}, ${column}]`);
}

/** The weights that a quantised matrix stands for, f32 [rows, columns] (or its transpose, as `quantizeQ8` reads it). */
export function dequantizeQ8({ rows, columns, values, scales }: Q8Matrix, transposed = false): Float32Array {
  const blocks = q8Blocks(columns);
  const data = new Float32Array(values.length);
  const [rowStep, columnStep] = transposed ? [1, rows] : [columns, 1];
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++) {
      data[row * rowStep + c * columnStep] = values[row * columns + c] * scales[row * blocks + Math.floor(c / Q8_BLOCK)];
    }
  }
  return data;
}

/** The words that an engine keeps: eight rows and one block make a cell, pairs of columns of all eight rows side by side, then the scales. */
export function packQ8({ rows, columns, values, scales }: Q8Matrix): Int32Array {
  const blocks = q8Blocks(columns);
  const bytes = new Int8Array(q8Bytes(rows, columns));
  const words = new Int32Array(bytes.buffer);
  const floats = new Float32Array(bytes.buffer);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const cell = cellOf(row, block, blocks);
      const own = cell + (row % COLUMNS) * 2;
      floats[scaleAt(cell, row)] = scales[row * blocks + block];
      const end = Math.min(columns - block * Q8_BLOCK, Q8_BLOCK);
      const from = row * columns + block * Q8_BLOCK;
      for (let c = 0; c < end; c++) bytes[own + (c >> 1) * 2 * COLUMNS + (c & 1)] = values[from + c];
    }
  }
  return words;
}

/** The reverse of `packQ8`. */
export function unpackQ8(words: Int32Array, rows: number, columns: number): Q8Matrix {
  const blocks = q8Blocks(columns);
  const bytes = new Int8Array(words.buffer, words.byteOffset, words.byteLength);
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  const values = new Int8Array(rows * columns);
  const scales = new Float32Array(rows * blocks);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const cell = cellOf(row, block, blocks);
      const own = cell + (row % COLUMNS) * 2;
      scales[row * blocks + block] = floats[scaleAt(cell, row)];
      const end = Math.min(columns - block * Q8_BLOCK, Q8_BLOCK);
      const to = row * columns + block * Q8_BLOCK;
      for (let c = 0; c < end; c++) values[to + c] = bytes[own + (c >> 1) * 2 * COLUMNS + (c & 1)];
    }
  }
  return { rows, columns, values, scales };
}

function cellOf(row: number, block: number, blocks: number): number {
  return (Math.floor(row / COLUMNS) * blocks + block) * CELL_BYTES;
}

function scaleAt(cell: number, row: number): number {
  return (cell + Q8_BLOCK * COLUMNS) / 4 + (row % COLUMNS);
}
