//! Products with weights stored as int8 blocks (opcode 64): `out[i, j] = start[i, j] + Σ_blocks scale · Σ_k a[i, k]·w[j, k]`.
//!
//! Storage: 32 weights along k share an f32 scale; eight columns and one block make a cell of 288 bytes: for each of 16
//! pairs of steps the pair of all eight columns (int8), then their eight scales. Cells of the same columns follow each
//! other along k. Columns and steps beyond the last are zeros.
//!
//! Arithmetic: rows of A are rounded to 16 bits within blocks of 32 (an error of at most 2⁻¹⁶ of the block's largest value).
//! Sums within a block are exact integers: 32 · 127 · 32767 < 2³¹. They are converted, scaled and added over ascending
//! blocks, each step rounded, never fused. So few rows and many, any cut and every build give the same bits.
//! What it is not: a product for training; it has no gradient.

use super::micro::Start;
use super::panels::Left;
use super::plan::Plan;
use simd::{F32x4, I32x4, LANES};

/// Weights that share a scale.
pub const BLOCK: usize = 32;
/// Columns whose weights lie together.
pub const COLS: usize = 8;
/// 32-bit words of a cell: eight columns of one block and their scales.
pub const CELL_WORDS: usize = BLOCK * COLS / 4 + COLS;

/// Rows that share the weights in registers.
const ROWS: usize = 4;
/// Most rows of a work item: what is made of them lies in a second-level cache.
const MOST_ROWS: usize = 64;
/// Largest 16-bit value of a rounded A.
const LARGEST: f32 = 32767.0;
/// A block of A whose values are all below this counts as zero (the inverse of its scale would not be finite).
const SMALLEST: f32 = 1e-32;
/// Multiply-adds below which an item is not worth the rounding of its rows.
const LEAST_WORK: usize = 1 << 16;

/// 32-bit words of weights `[n, k]`.
pub const fn words(n: usize, k: usize) -> usize {
    n.div_ceil(COLS).saturating_mul(k.div_ceil(BLOCK)).saturating_mul(CELL_WORDS)
}

/// Words of scratch for `m` rows of `k` steps: integers, scales, and the sums of a tile.
pub const fn scratch_words(m: usize, k: usize) -> usize {
    let rows = if m < MOST_ROWS { m } else { MOST_ROWS };
    rows * k.div_ceil(BLOCK) * (BLOCK / 2 + 1) + ROWS * COLS
}

/// The cut into work items. Rows are few enough for the cache; columns are cut only as far as threads need it, since every
/// item rounds its rows of A for itself, and long stretches of weights are read faster.
pub fn plan(threads: usize, m: usize, n: usize, k: usize) -> Plan {
    let rows = m.clamp(1, MOST_ROWS);
    let across = (4 * threads.max(1)).div_ceil(m.div_ceil(rows).max(1));
    let least = LEAST_WORK / (rows * k.max(1)).max(1);
    Plan { rows, cols: n.div_ceil(across).max(least).max(1).next_multiple_of(COLS), depth: k.max(1) }
}

/// `rows` rows by `cols` columns. `cells` are those of the first column, which is a multiple of [`COLS`].
///
/// # Safety
/// Pointers valid for the sizes, `scratch` for [`scratch_words`]; `out` overlaps nothing but the initial values.
#[inline(never)]
pub unsafe fn product(
    rows: usize,
    left: Left,
    cells: *const i32,
    depth: usize,
    cols: usize,
    start: Start,
    out: *mut f32,
    out_row: usize,
    scratch: *mut f32,
) {
    let blocks = depth.div_ceil(BLOCK);
    // SAFETY (whole body): rows, columns and blocks of the operands; the scratch is cut into three parts of its length.
    unsafe {
        let sums = scratch;
        let scales = sums.add(ROWS * COLS);
        let x = scales.add(rows * blocks) as *mut i32;
        for i in 0..rows {
            round_row(left.ptr.add(i * left.row), depth, x.add(i * blocks * (BLOCK / 2)), scales.add(i * blocks));
        }
        let mut j = 0;
        while j < cols {
            let n = COLS.min(cols - j);
            let cells = cells.add(j / COLS * blocks * CELL_WORDS);
            let mut i = 0;
            while i < rows {
                let m = if rows - i < ROWS { 1 } else { ROWS };
                for r in 0..m {
                    for c in 0..n {
                        let from = if start.is_zero() { 0.0 } else { *start.from.add((i + r) * start.row + j + c) };
                        let value = if start.add.is_null() { from } else { from + *start.add.add(j + c) };
                        *sums.add(r * COLS + c) = value;
                    }
                }
                let (x, scales) = (x.add(i * blocks * (BLOCK / 2)), scales.add(i * blocks));
                if m == 1 {
                    tile::<1>(x, scales, blocks, cells, sums);
                } else {
                    tile::<ROWS>(x, scales, blocks, cells, sums);
                }
                for r in 0..m {
                    for c in 0..n {
                        *out.add((i + r) * out_row + j + c) = *sums.add(r * COLS + c);
                    }
                }
                i += m;
            }
            j += n;
        }
    }
}

/// `sums[M, 8] += scale · (x · cell)` over all blocks.
///
/// # Safety
/// `x` is `[M, blocks, 16]` pairs, `scales` `[M, blocks]`, `cells` `[blocks]` cells.
#[inline(never)]
unsafe fn tile<const M: usize>(x: *const i32, scales: *const f32, blocks: usize, cells: *const i32, sums: *mut f32) {
    // SAFETY (whole body): indices as said above.
    unsafe {
        for b in 0..blocks {
            let cell = cells.add(b * CELL_WORDS);
            let x = x.add(b * (BLOCK / 2));
            let mut acc = [[I32x4::splat(0); 2]; M];
            for pair in 0..BLOCK / 2 {
                let low = I32x4::load_i8_as_i16(cell.add(pair * 4) as *const i8);
                let high = I32x4::load_i8_as_i16(cell.add(pair * 4 + 2) as *const i8);
                for i in 0..M {
                    let x = I32x4::load_splat(x.add(i * blocks * (BLOCK / 2) + pair));
                    acc[i][0] = acc[i][0] + low.dot_i16(x);
                    acc[i][1] = acc[i][1] + high.dot_i16(x);
                }
            }
            let of_columns = cell.add(BLOCK * COLS / 4) as *const f32;
            for i in 0..M {
                let scale = F32x4::load_splat(scales.add(i * blocks + b));
                for half in 0..2 {
                    let sum = sums.add(i * COLS + half * LANES);
                    let term = acc[i][half].to_f32() * (F32x4::load(of_columns.add(half * LANES)) * scale);
                    (F32x4::load(sum) + term).store(sum);
                }
            }
        }
    }
}

/// One row of A as pairs of 16-bit integers `x[blocks, 16]` and their scales. A block that is not finite has the scale NaN.
unsafe fn round_row(a: *const f32, depth: usize, x: *mut i32, scales: *mut f32) {
    let mut tail = [0.0f32; BLOCK];
    for b in 0..depth.div_ceil(BLOCK) {
        let n = BLOCK.min(depth - b * BLOCK);
        // SAFETY (whole body): n elements of block b; the tail has 32.
        unsafe {
            let mut from = a.add(b * BLOCK);
            if n < BLOCK {
                for k in 0..BLOCK {
                    tail[k] = if k < n { *from.add(k) } else { 0.0 };
                }
                from = tail.as_ptr();
            }
            let (mut largest, mut finite) = (F32x4::zero(), I32x4::splat(-1));
            for v in 0..BLOCK / LANES {
                let size = F32x4::load(from.add(v * LANES)).abs();
                finite = finite & size.le(F32x4::splat(f32::MAX));
                largest = largest.max(size);
            }
            let largest = largest.max_lane();
            let used = finite.all() && largest >= SMALLEST;
            let (scale, inverse) = if used { (largest / LARGEST, LARGEST / largest) } else { (0.0, 0.0) };
            *scales.add(b) = if finite.all() { scale } else { f32::NAN };
            for pair in 0..BLOCK / (2 * LANES) {
                let whole = |v: usize| {
                    let value = F32x4::load(from.add((2 * pair + v) * LANES)) * F32x4::splat(inverse);
                    // Of a block that is not finite nothing counts but its scale.
                    F32x4::select(finite, value, F32x4::zero()).round_nearest().to_i32()
                };
                whole(0).narrow_i16(whole(1)).store(x.add(b * (BLOCK / 2) + pair * LANES));
            }
        }
    }
}

#[cfg(test)]
#[path = "q8_tests.rs"]
pub(crate) mod tests;
