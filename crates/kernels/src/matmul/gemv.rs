//! Products with fewer rows than a register tile (generating one token at a time): B is read in place, exactly once and
//! front to back, because memory is the limit here. Same bits as the tile: each element is the same chain over ascending k.

use super::micro::Start;
use super::panels::Left;
use simd::{F32x4, LANES};

/// `out[i, j] = start[i, j] + Σ_k left[i, k] · b[k·stride + j]` for `rows` (1..=3) rows: B's rows run along n.
///
/// # Safety
/// Pointers valid for the sizes; `out` overlaps nothing but the initial values.
pub unsafe fn along_rows(
    rows: usize,
    left: Left,
    b: *const f32,
    stride: usize,
    depth: usize,
    cols: usize,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: passed on; steps at a time are chosen so that the splats and accumulators fit 15 registers.
    unsafe {
        begin(rows, cols, start, out, out_row);
        match rows {
            1 => sweep::<1, 8>(left, b, stride, depth, cols, out, out_row),
            2 => sweep::<2, 4>(left, b, stride, depth, cols, out, out_row),
            3 => sweep::<3, 3>(left, b, stride, depth, cols, out, out_row),
            _ => debug_assert!(rows == 0),
        }
    }
}

/// Writes the initial values into the result, from where the sweeps carry on.
unsafe fn begin(rows: usize, cols: usize, start: Start, out: *mut f32, out_row: usize) {
    for i in 0..rows {
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

/// Passes over the result once per `K` rows of B, which are read side by side.
#[inline(never)]
unsafe fn sweep<const M: usize, const K: usize>(
    left: Left,
    b: *const f32,
    stride: usize,
    depth: usize,
    cols: usize,
    out: *mut f32,
    out_row: usize,
) {
    let mut k = 0;
    // SAFETY (whole body): steps below depth only.
    unsafe {
        while k + K <= depth {
            add_rows::<M, K>(left, k, b, stride, cols, out, out_row);
            k += K;
        }
        while k < depth {
            add_rows::<M, 1>(left, k, b, stride, cols, out, out_row);
            k += 1;
        }
    }
}

#[inline(always)]
unsafe fn add_rows<const M: usize, const K: usize>(
    left: Left,
    k: usize,
    b: *const f32,
    stride: usize,
    cols: usize,
    out: *mut f32,
    out_row: usize,
) {
    let mut x = [[F32x4::zero(); K]; M];
    // SAFETY (whole body): M rows, steps k..k + K, columns below cols.
    unsafe {
        for i in 0..M {
            for t in 0..K {
                x[i][t] = F32x4::load_splat(left.ptr.add(i * left.row + (k + t) * left.step));
            }
        }
        let b = b.add(k * stride);
        let mut j = 0;
        while j + LANES <= cols {
            let mut acc = [F32x4::zero(); M];
            for i in 0..M {
                acc[i] = F32x4::load(out.add(i * out_row + j));
            }
            for t in 0..K {
                // Volatile: LLVM would load all K vectors before it uses one, too many to keep in registers.
                let row = F32x4::load_volatile(b.add(t * stride + j));
                for i in 0..M {
                    acc[i] = x[i][t].madd(row, acc[i]);
                }
            }
            for i in 0..M {
                acc[i].store(out.add(i * out_row + j));
            }
            j += LANES;
        }
        let n = cols - j;
        if n > 0 {
            for i in 0..M {
                let mut acc = F32x4::load_partial(out.add(i * out_row + j), n);
                for t in 0..K {
                    acc = x[i][t].madd(F32x4::load_partial(b.add(t * stride + j), n), acc);
                }
                acc.store_partial(out.add(i * out_row + j), n);
            }
        }
    }
}

/// `out[i, j] = start[i, j] + Σ_k left[i, k] · b[j·stride + k]` for `rows` (1..=3) rows: B's rows run along k. Four rows of
/// B are transposed in registers, four steps at a time.
///
/// # Safety
/// As [`along_rows`].
pub unsafe fn along_columns(
    rows: usize,
    left: Left,
    b: *const f32,
    stride: usize,
    depth: usize,
    cols: usize,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: passed on; groups are chosen so that accumulators and a transposed block fit the registers.
    unsafe {
        begin(rows, cols, start, out, out_row);
        match rows {
            1 => dots::<1, 4>(left, b, stride, depth, cols, out, out_row),
            2 => dots::<2, 1>(left, b, stride, depth, cols, out, out_row),
            3 => dots::<3, 1>(left, b, stride, depth, cols, out, out_row),
            _ => debug_assert!(rows == 0),
        }
    }
}

#[inline(never)]
unsafe fn dots<const M: usize, const G: usize>(
    left: Left,
    b: *const f32,
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
            dot_groups::<M, G>(left, b.add(j * stride), stride, depth, G * LANES, out.add(j), out_row);
            j += G * LANES;
        }
        while j < cols {
            let n = LANES.min(cols - j);
            dot_groups::<M, 1>(left, b.add(j * stride), stride, depth, n, out.add(j), out_row);
            j += n;
        }
    }
}

/// `n` columns (4·G, or fewer with G = 1) over all of k.
#[inline(always)]
unsafe fn dot_groups<const M: usize, const G: usize>(
    left: Left,
    b: *const f32,
    stride: usize,
    depth: usize,
    n: usize,
    out: *mut f32,
    out_row: usize,
) {
    let lanes = n.min(LANES);
    // A column beyond the last repeats the last: it is computed and not stored.
    let row_of = |g: usize, lane: usize| (g * LANES + lane).min(n - 1) * stride;
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
            for g in 0..G {
                let rows = [0, 1, 2, 3].map(|lane| F32x4::load_volatile(b.add(row_of(g, lane) + k))); // volatile: as above
                let columns = F32x4::transpose4(rows);
                for t in 0..LANES {
                    for i in 0..M {
                        let x = F32x4::load_splat(left.ptr.add(i * left.row + (k + t) * left.step));
                        acc[i][g] = x.madd(columns[t], acc[i][g]);
                    }
                }
            }
            k += LANES;
        }
        while k < depth {
            for g in 0..G {
                let column = F32x4::from_array([0, 1, 2, 3].map(|lane| *b.add(row_of(g, lane) + k)));
                for i in 0..M {
                    let x = F32x4::load_splat(left.ptr.add(i * left.row + k * left.step));
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
