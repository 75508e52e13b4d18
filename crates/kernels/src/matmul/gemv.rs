//! Products with at most [`super::plan::FEW_ROWS`] rows (generating a token, or one for each text of a small batch): B is read in place, once from
//! memory and front to back, because memory is the limit here. Same bits as the tile: each element is the same chain over
//! ascending k.

use super::micro::Start;
use super::panels::Left;
use crate::stored::Element;
use simd::{F32x4, LANES};

/// Rows of B that are read side by side. The processor fetches ahead along each of them; measured on one core, 768 x 2304:
/// 4 rows 14 GB/s, 8 rows 19, 12 rows 25 (a plain read: 25), 16 rows 21, 24 rows 13.
pub const STRIP: usize = 12;
/// Rows of bf16 along n are read side by side, as those of f32 are, from this width on (a memory page). Of shorter ones several lie in a page, and the
/// processor does not see that each goes on: 768 columns gave 2.4 thousand million weights a second where 3072 gave 8; widened first, 3.3 (f32: 4.2).
pub const LEAST_BF16: usize = 2048;
/// Columns of B that are taken together where its rows run along k.
const GROUP: usize = 12 * LANES;

/// Calls `f` for `rows` rows, four, two or one at a time: what they read of B meanwhile stays in the caches.
macro_rules! by_rows {
    ($rows:expr, |$row:ident| [$four:expr, $two:expr, $one:expr]) => {
        let mut $row = 0;
        while $row < $rows {
            $row += match $rows - $row {
                1 => {
                    $one;
                    1
                }
                2 | 3 => {
                    $two;
                    2
                }
                _ => {
                    $four;
                    4
                }
            };
        }
    };
}

/// `out[i, j] = start[i, j] + Σ_k left[i, k] · b[k·stride + j]` for `rows` rows: B's rows run along n.
///
/// # Safety
/// Pointers valid for the sizes; `out` overlaps nothing but the initial values.
pub unsafe fn along_rows<E: Element>(
    rows: usize,
    left: Left,
    b: *const E,
    stride: usize,
    depth: usize,
    cols: usize,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY (whole body): rows, steps below depth and columns of the operands.
    unsafe {
        begin(rows, cols, start, out, out_row);
        let mut k = 0;
        while k < depth {
            let steps = STRIP.min(depth - k);
            let b = b.add(k * stride);
            let left = Left { ptr: left.ptr.add(k * left.step), ..left };
            by_rows!(rows, |i| [
                strip::<E, 4, 2>(left.below(i), b, stride, steps, cols, out.add(i * out_row), out_row),
                strip::<E, 2, 4>(left.below(i), b, stride, steps, cols, out.add(i * out_row), out_row),
                strip::<E, 1, 4>(left.below(i), b, stride, steps, cols, out.add(i * out_row), out_row)
            ]);
            k += steps;
        }
    }
}

/// Writes the initial values into the result, from where the chains carry on.
unsafe fn begin(rows: usize, cols: usize, start: Start, out: *mut f32, out_row: usize) {
    for i in 0..rows {
        // What goes on from the result itself is there already.
        if start.add.is_null() && core::ptr::eq(start.from, out) {
            return;
        }
        for j in 0..cols {
            // SAFETY: row i < rows, column j < cols; zeros are one panel long and never advance.
            unsafe {
                let from = if start.is_zero() { 0.0 } else { *start.from.add(i * start.row + j) };
                let value = if start.add.is_null() { from } else { from + *start.add.add(j) };
                *out.add(i * out_row + j) = value;
            }
        }
    }
}

/// Adds the products of `steps` rows of B, side by side, to `M` rows of the result.
#[inline(never)]
unsafe fn strip<E: Element, const M: usize, const V: usize>(
    left: Left,
    b: *const E,
    stride: usize,
    steps: usize,
    cols: usize,
    out: *mut f32,
    out_row: usize,
) {
    let mut j = 0;
    // SAFETY (whole body): columns below cols only.
    unsafe {
        while j + V * LANES <= cols {
            block::<E, M, V>(left, b.add(j), stride, steps, LANES, out.add(j), out_row);
            j += V * LANES;
        }
        while j < cols {
            let n = LANES.min(cols - j);
            block::<E, M, 1>(left, b.add(j), stride, steps, n, out.add(j), out_row);
            j += n;
        }
    }
}

/// `V` whole vectors of columns, or one of `n` lanes.
#[inline(always)]
unsafe fn block<E: Element, const M: usize, const V: usize>(
    left: Left,
    b: *const E,
    stride: usize,
    steps: usize,
    n: usize,
    out: *mut f32,
    out_row: usize,
) {
    let mut acc = [[F32x4::zero(); V]; M];
    // SAFETY (whole body): M rows, the steps, and the columns said above.
    unsafe {
        for i in 0..M {
            for v in 0..V {
                acc[i][v] = F32x4::load_partial(out.add(i * out_row + v * LANES), n);
            }
        }
        let (mut b, mut x) = (b, left.ptr);
        for _ in 0..steps {
            let mut row = [F32x4::zero(); V];
            for v in 0..V {
                // Volatile: LLVM would else load several rows before it uses one, too many to keep in registers.
                row[v] = if n == LANES { E::load_volatile(b.add(v * LANES)) } else { E::load_partial(b, n) };
            }
            for i in 0..M {
                let x = F32x4::load_splat(x.add(i * left.row));
                for v in 0..V {
                    acc[i][v] = x.madd(row[v], acc[i][v]);
                }
            }
            (b, x) = (b.add(stride), x.add(left.step));
        }
        for i in 0..M {
            for v in 0..V {
                acc[i][v].store_partial(out.add(i * out_row + v * LANES), n);
            }
        }
    }
}

/// `out[i, j] = start[i, j] + Σ_k left[i, k] · b[j·stride + k]` for `rows` rows: B's rows run along k. Four rows of B are
/// transposed in registers, four steps at a time. The steps of `left` must lie side by side (`step` 1).
///
/// # Safety
/// As [`along_rows`].
pub unsafe fn along_columns<E: Element>(
    rows: usize,
    left: Left,
    b: *const E,
    stride: usize,
    depth: usize,
    cols: usize,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    debug_assert_eq!(left.step, 1);
    // SAFETY (whole body): rows and columns of the operands; accumulators and a transposed block fit the registers.
    unsafe {
        begin(rows, cols, start, out, out_row);
        let mut j = 0;
        while j < cols {
            let n = GROUP.min(cols - j);
            let (b, out) = (b.add(j * stride), out.add(j));
            by_rows!(rows, |i| [
                dots::<E, 4, 1>(left.below(i), b, stride, depth, n, out.add(i * out_row), out_row),
                dots::<E, 2, 1>(left.below(i), b, stride, depth, n, out.add(i * out_row), out_row),
                dots::<E, 1, 3>(left.below(i), b, stride, depth, n, out.add(i * out_row), out_row)
            ]);
            j += n;
        }
    }
}

#[inline(never)]
unsafe fn dots<E: Element, const M: usize, const G: usize>(
    left: Left,
    b: *const E,
    stride: usize,
    depth: usize,
    cols: usize,
    out: *mut f32,
    out_row: usize,
) {
    let mut j = 0;
    // SAFETY (whole body): columns below cols only; the last group may be partly filled.
    unsafe {
        while j + G * LANES <= cols {
            dot_groups::<E, M, G>(left, b.add(j * stride), stride, depth, G * LANES, out.add(j), out_row);
            j += G * LANES;
        }
        while j < cols {
            let n = LANES.min(cols - j);
            dot_groups::<E, M, 1>(left, b.add(j * stride), stride, depth, n, out.add(j), out_row);
            j += n;
        }
    }
}

/// `n` columns (4·G, or fewer with G = 1) over all of k.
#[inline(always)]
unsafe fn dot_groups<E: Element, const M: usize, const G: usize>(
    left: Left,
    b: *const E,
    stride: usize,
    depth: usize,
    n: usize,
    out: *mut f32,
    out_row: usize,
) {
    let lanes = n.min(LANES);
    // A column beyond the last repeats the last: it is computed and not stored.
    let row_of = |lane: usize| lane.min(n - 1) * stride;
    let mut acc = [[F32x4::zero(); G]; M];
    // SAFETY (whole body): n columns, M rows, steps below depth.
    unsafe {
        for i in 0..M {
            for g in 0..G {
                acc[i][g] = F32x4::load_partial(out.add(i * out_row + g * LANES), lanes);
            }
        }
        let mut k = 0;
        while k + LANES <= depth {
            let (mut b, x) = (b.add(k), left.ptr.add(k));
            for g in 0..G {
                let rows = [0, 1, 2, 3].map(|lane| E::load_volatile(b.add(row_of(lane)))); // volatile: as above
                let columns = F32x4::transpose4(rows);
                for t in 0..LANES {
                    for i in 0..M {
                        let x = F32x4::load_splat(x.add(i * left.row + t));
                        acc[i][g] = x.madd(columns[t], acc[i][g]);
                    }
                }
                b = b.wrapping_add(LANES * stride);
            }
            k += LANES;
        }
        while k < depth {
            for g in 0..G {
                let column =
                    F32x4::from_array([0, 1, 2, 3].map(|lane| (*b.add(g * LANES * stride + row_of(lane) + k)).widen()));
                for i in 0..M {
                    let x = F32x4::load_splat(left.ptr.add(i * left.row + k));
                    acc[i][g] = x.madd(column, acc[i][g]);
                }
            }
            k += 1;
        }
        for i in 0..M {
            for g in 0..G {
                acc[i][g].store_partial(out.add(i * out_row + g * LANES), lanes);
            }
        }
    }
}
