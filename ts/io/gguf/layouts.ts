// Changes of layout between this library's weights and llama.cpp's. Pure functions on row-major matrices.

/** Rows read at once: a block of 32 × 32 numbers is 4 KiB on either side, so neither falls out of the cache. */
const BLOCK = 32;

/** [rows, columns] → [columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r0 = 0; r0 < rows; r0 += BLOCK) {
    const r1 = Math.min(r0 + BLOCK, rows);
    for (let c0 = 0; c0 < columns; c0 += BLOCK) {
      const c1 = Math.min(c0 + BLOCK, columns);
      for (let c = c0; c < c1; c++) for (let r = r0; r < r1; r++) out[c * rows + r] = values[r * columns + c];
    }
  }
  return out;
}

/**
 * The rows of a query or key projection [heads · headDim, columns] for a rotary encoding that turns neighbours (2i, 2i + 1) instead of halves
 * (i, i + headDim/2) of a head, as Hugging Face's Llama does: row i of a head goes to 2i, row i + headDim/2 to 2i + 1.
 */
export function interleaveHalves(values: Float32Array, heads: number, headDim: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  const half = headDim / 2;
  for (let head = 0; head < heads; head++) {
    for (let row = 0; row < headDim; row++) {
      const from = (head * headDim + (row % 2) * half + (row >> 1)) * columns;
      out.set(values.subarray(from, from + columns), (head * headDim + row) * columns);
    }
  }
  return out;
}
