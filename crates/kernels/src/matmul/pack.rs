//! Copies of B as the register tile reads it: panels of `nr` columns, panel after panel, inside a panel one row of `nr`
//! floats per step of k. Columns beyond the matrix are zeros, so every panel is full.

use simd::{F32x4, LANES};

/// Floats that `cols` columns of `depth` steps take when packed for panels of `nr`.
pub const fn packed_len(depth: usize, cols: usize, nr: usize) -> usize {
    cols.div_ceil(nr) * nr * depth
}

/// Packs `b[k, n]` whose rows lie `stride` elements apart: `packed[panel][k][j] = b[k·stride + panel·nr + j]`.
///
/// # Safety
/// `b` readable for `depth` rows of `cols`, `packed` writable for `packed_len(depth, cols, nr)`; no overlap; `nr` a multiple of 4.
pub unsafe fn pack_rows(b: *const f32, stride: usize, depth: usize, cols: usize, nr: usize, packed: *mut f32) {
    // SAFETY: passed on.
    unsafe { pack_rows_by(|k| b.wrapping_add(k * stride), depth, cols, nr, packed) }
}

/// As [`pack_rows`] of the rows that `row(k)` points at.
///
/// # Safety
/// Every `row(k)`, k < `depth`, readable for `cols`; otherwise as [`pack_rows`].
#[inline(always)]
pub unsafe fn pack_rows_by(row: impl Fn(usize) -> *const f32, depth: usize, cols: usize, nr: usize, packed: *mut f32) {
    for first in (0..cols).step_by(nr) {
        let width = nr.min(cols - first);
        // SAFETY (whole body): panels and rows stay inside what the caller vouches for.
        unsafe {
            let panel = packed.add(first * depth);
            match (width == nr, nr / LANES) {
                (true, 2) => pack_panel::<2>(&row, first, depth, panel),
                (true, 4) => pack_panel::<4>(&row, first, depth, panel),
                _ => {
                    for k in 0..depth {
                        for j in (0..nr).step_by(LANES) {
                            let n = width.saturating_sub(j).min(LANES);
                            let from = row(k).wrapping_add(first + j);
                            let x = if n == LANES { F32x4::load(from) } else { F32x4::load_partial(from, n) };
                            x.store(panel.add(k * nr + j));
                        }
                    }
                }
            }
        }
    }
}

/// One full panel of `NV` vectors: `panel[k][j] = row(k)[first + j]`.
///
/// # Safety
/// As [`pack_rows_by`], for this panel.
#[inline(always)]
unsafe fn pack_panel<const NV: usize>(row: &impl Fn(usize) -> *const f32, first: usize, depth: usize, panel: *mut f32) {
    for k in 0..depth {
        let mut x = [F32x4::zero(); NV];
        // SAFETY: passed on from the caller.
        unsafe {
            let from = row(k).add(first);
            for j in 0..NV {
                x[j] = F32x4::load(from.add(j * LANES));
            }
            for j in 0..NV {
                x[j].store(panel.add((k * NV + j) * LANES));
            }
        }
    }
}

/// Packs A of the form TN, `a[k, m]` whose rows lie `stride` elements apart, for tiles of `mr` rows:
/// `packed[panel][k][i] = a[k·stride + panel·mr + i]`. The last panel is as wide in memory, its missing rows are left alone.
///
/// # Safety
/// `a` readable for `depth` rows of `rows`, `packed` writable for `packed_len(depth, rows, mr)`; no overlap; `mr >= 4`.
pub unsafe fn pack_left(a: *const f32, stride: usize, depth: usize, rows: usize, mr: usize, packed: *mut f32) {
    for first in (0..rows).step_by(mr) {
        let height = mr.min(rows - first);
        // SAFETY (whole body): panels and rows stay inside what the caller vouches for.
        unsafe {
            let panel = packed.add(first * depth);
            if height == mr && mr <= 2 * LANES {
                // Two vectors that overlap where mr is no multiple of four.
                let second = mr - LANES;
                for k in 0..depth {
                    let (from, to) = (a.add(k * stride + first), panel.add(k * mr));
                    let (x, y) = (F32x4::load(from), F32x4::load(from.add(second)));
                    x.store(to);
                    y.store(to.add(second));
                }
                continue;
            }
            for k in 0..depth {
                for i in 0..height {
                    *panel.add(k * mr + i) = *a.add(k * stride + first + i);
                }
            }
        }
    }
}

/// Packs the transpose of `b[n, k]` whose rows lie `stride` elements apart:
/// `packed[panel][k][j] = b[(panel·nr + j)·stride + k]`.
///
/// # Safety
/// `b` readable for `cols` rows of `depth`, `packed` writable for `packed_len(depth, cols, nr)`; no overlap; `nr` a multiple of 4.
pub unsafe fn pack_columns(b: *const f32, stride: usize, depth: usize, cols: usize, nr: usize, packed: *mut f32) {
    // SAFETY: passed on.
    unsafe { pack_columns_by(|j| b.wrapping_add(j * stride), depth, cols, nr, packed) }
}

/// As [`pack_columns`] of the rows that `row(j)` points at.
///
/// # Safety
/// Every `row(j)`, j < `cols`, readable for `depth`; otherwise as [`pack_columns`].
#[inline(always)]
pub unsafe fn pack_columns_by(
    row: impl Fn(usize) -> *const f32,
    depth: usize,
    cols: usize,
    nr: usize,
    packed: *mut f32,
) {
    let padded = cols.div_ceil(nr) * nr;
    for first in (0..padded).step_by(LANES) {
        let n = cols.saturating_sub(first).min(LANES);
        // A column beyond the last reads the last and is written as zeros.
        let from = [0, 1, 2, 3].map(|j| if n == 0 { core::ptr::null() } else { row((first + j).min(cols - 1)) });
        // SAFETY: four columns of one panel.
        unsafe {
            let to = packed.add(first / nr * nr * depth + first % nr);
            transpose_in(from, n, depth, to, nr);
        }
    }
}

/// Writes `to[k·nr + j] = from[j][k]` for four j, zeros for `j >= n`.
///
/// # Safety
/// The first `n` of `from` readable for `depth`, `to` writable for four floats at each of `depth` steps of `nr`.
unsafe fn transpose_in(from: [*const f32; LANES], n: usize, depth: usize, to: *mut f32, nr: usize) {
    let mut k = 0;
    // SAFETY (whole body): rows below n and steps below depth only.
    unsafe {
        if n == LANES {
            while k + LANES <= depth {
                let columns = F32x4::transpose4(from.map(|row| F32x4::load(row.add(k))));
                for t in 0..LANES {
                    columns[t].store(to.add((k + t) * nr));
                }
                k += LANES;
            }
        }
        while k < depth {
            for j in 0..LANES {
                *to.add(k * nr + j) = if j < n { *from[j].add(k) } else { 0.0 };
            }
            k += 1;
        }
    }
}

/// Sets the packed rows of the steps with `keep[k] == 0` to zero, so that whatever b holds there never enters a product.
///
/// # Safety
/// `packed` as [`pack_rows`] left it, `keep` readable for `depth`.
pub unsafe fn clear_steps(packed: *mut f32, depth: usize, cols: usize, nr: usize, keep: *const i32) {
    for k in 0..depth {
        // SAFETY: k < depth.
        if unsafe { *keep.add(k) } != 0 {
            continue;
        }
        for panel in 0..cols.div_ceil(nr) {
            for j in (0..nr).step_by(LANES) {
                // SAFETY: inside the packed block.
                unsafe { F32x4::zero().store(packed.add((panel * depth + k) * nr + j)) };
            }
        }
    }
}
