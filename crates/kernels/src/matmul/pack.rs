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
    let full = cols / nr * nr;
    // SAFETY (whole body): panels and rows stay inside what the caller vouches for.
    unsafe {
        for first in (0..full).step_by(GROUP * nr) {
            let panels = GROUP.min((full - first) / nr);
            let to = packed.add(first * depth);
            match nr / LANES {
                2 => pack_panels::<2>(&row, first, panels, depth, to),
                _ => pack_panels::<4>(&row, first, panels, depth, to),
            }
        }
        if full < cols {
            let panel = packed.add(full * depth);
            for k in 0..depth {
                for j in (0..nr).step_by(LANES) {
                    let n = (cols - full).saturating_sub(j).min(LANES);
                    let from = row(k).wrapping_add(full + j);
                    let x = if n == LANES { F32x4::load(from) } else { F32x4::load_partial(from, n) };
                    x.store(panel.add(k * nr + j));
                }
            }
        }
    }
}

/// Panels that are packed side by side: neighbouring cache lines of B's rows are read together, and of a row that is a
/// memory page of its own more than one line.
const GROUP: usize = 4;

/// Full panels of `NV` vectors: `panel[k][j] = row(k)[first + j]`.
///
/// # Safety
/// As [`pack_rows_by`], for these panels.
#[inline(always)]
unsafe fn pack_panels<const NV: usize>(
    row: &impl Fn(usize) -> *const f32,
    first: usize,
    panels: usize,
    depth: usize,
    to: *mut f32,
) {
    for k in 0..depth {
        for p in 0..panels {
            let mut x = [F32x4::zero(); NV];
            // SAFETY: passed on from the caller.
            unsafe {
                let from = row(k).add(first + p * NV * LANES);
                for j in 0..NV {
                    x[j] = F32x4::load(from.add(j * LANES));
                }
                for j in 0..NV {
                    x[j].store(to.add(((p * depth + k) * NV + j) * LANES));
                }
            }
        }
    }
}

/// Packs A of the form TN, `a[k, m]` whose rows lie `stride` elements apart, for tiles of `mr` rows:
/// `packed[panel][k][i] = a[k·stride + panel·mr + i]`. The last panel is as wide in memory, its missing rows are left alone.
///
/// # Safety
/// `a` readable for `depth` rows of `rows`, `packed` writable for `packed_len(depth, rows, mr)`; no overlap; `mr` 4, 6 or 8.
pub unsafe fn pack_left(a: *const f32, stride: usize, depth: usize, rows: usize, mr: usize, packed: *mut f32) {
    let full = rows / mr * mr;
    // SAFETY (whole body): panels and rows stay inside what the caller vouches for.
    unsafe {
        for first in (0..full).step_by(GROUP * mr) {
            let panels = GROUP.min((full - first) / mr);
            let (from, to) = (a.add(first), packed.add(first * depth));
            match mr {
                4 => pack_left_panels::<4>(from, stride, depth, panels, to),
                6 => pack_left_panels::<6>(from, stride, depth, panels, to),
                _ => pack_left_panels::<8>(from, stride, depth, panels, to),
            }
        }
        let panel = packed.add(full * depth);
        for k in 0..depth {
            for i in 0..rows - full {
                *panel.add(k * mr + i) = *a.add(k * stride + full + i);
            }
        }
    }
}

/// Full panels of `MR` (4 to 8) rows: `panel[k][i] = a[k·stride + panel·MR + i]`.
///
/// # Safety
/// As [`pack_left`], for these panels.
#[inline(always)]
unsafe fn pack_left_panels<const MR: usize>(a: *const f32, stride: usize, depth: usize, panels: usize, to: *mut f32) {
    // Two vectors, which overlap where MR is no multiple of four.
    let second = MR - LANES;
    for k in 0..depth {
        for p in 0..panels {
            // SAFETY: passed on from the caller.
            unsafe {
                let (from, to) = (a.add(k * stride + p * MR), to.add((p * depth + k) * MR));
                let (x, y) = (F32x4::load(from), F32x4::load(from.add(second)));
                x.store(to);
                y.store(to.add(second));
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
