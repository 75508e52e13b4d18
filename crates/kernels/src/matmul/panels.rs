//! Runs the register tile over a block: packed panels of B against rows of A, with ragged edges and, for causal attention,
//! rows that take part in only some steps of k. What it is not: the choice of blocks, which is the caller's.

use super::micro::{micro, RegisterTile, Start, FULL, HEAD, MAX_MR, MAX_NR, TAIL};
use core::ops::Range;

/// Rows of A, read in place: element (i, k) is `ptr[i·row + k·step]`.
#[derive(Clone, Copy)]
pub struct Left {
    /// Element (0, 0).
    pub ptr: *const f32,
    /// Elements from row to row.
    pub row: usize,
    /// Elements from step to step of k.
    pub step: usize,
}

impl Left {
    /// The rows from `row` on.
    #[inline(always)]
    pub fn below(self, row: usize) -> Self {
        Self { ptr: self.ptr.wrapping_add(row * self.row), ..self }
    }
}

/// Which parts of the result are wanted at all. The others are left as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    All,
    /// Element (i, j) only where `j <= i + shift` (queries by keys).
    Below(isize),
    /// Element (i, j) only where `i <= j + shift` (keys by queries).
    Above(isize),
}

/// Which steps of k each row takes. Steps outside are never read, whatever they hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// `0..depth`.
    All,
    /// Row i takes `0..i + end`, clamped to `0..depth`.
    Ending(isize),
    /// Row i takes `i + begin..depth`, clamped to `0..depth`.
    Starting(isize),
}

/// `out[i, j] = start[i, j] + Σ_k left[i, k] · packed[k, j]`.
#[derive(Clone, Copy)]
pub struct Product {
    /// A.
    pub left: Left,
    /// Rows of A and of the result.
    pub rows: usize,
    /// B, packed in panels of the tile's `nr`, `depth` steps each.
    pub packed: *const f32,
    /// Columns of B and of the result.
    pub cols: usize,
    /// Steps of k.
    pub depth: usize,
    /// Initial values.
    pub start: Start,
    /// The result; may be the initial values.
    pub out: *mut f32,
    /// Elements from row to row of the result.
    pub out_row: usize,
    /// Parts of the result to compute; whole register tiles are, so neighbours of wanted elements may be written too.
    pub wanted: Wanted,
    /// Steps of each row.
    pub steps: Steps,
}

impl Product {
    /// Computes the product with `tile`.
    ///
    /// # Safety
    /// Every pointer valid for the sizes given; the result overlaps nothing but the initial values.
    pub unsafe fn run(&self, tile: RegisterTile) {
        // SAFETY: passed on.
        unsafe { self.dispatch::<false>(tile) }
    }

    /// As [`Product::run`] with all steps for all rows, where `left.ptr` is A as [`super::pack::pack_left`] packs it for
    /// `tile` (`left.row` and `left.step` are not looked at).
    ///
    /// # Safety
    /// As [`Product::run`].
    pub unsafe fn run_packed(&self, tile: RegisterTile) {
        debug_assert!(self.steps == Steps::All && self.wanted == Wanted::All);
        // SAFETY: passed on.
        unsafe { self.dispatch::<true>(tile) }
    }

    unsafe fn dispatch<const PACKED: bool>(&self, tile: RegisterTile) {
        // SAFETY: passed on.
        unsafe {
            match tile {
                RegisterTile::T4x8 => self.run_with::<4, 2, PACKED>(),
                RegisterTile::T6x8 => self.run_with::<6, 2, PACKED>(),
                RegisterTile::T8x8 => self.run_with::<8, 2, PACKED>(),
                RegisterTile::T4x16 => self.run_with::<4, 4, PACKED>(),
                RegisterTile::T6x16 => self.run_with::<6, 4, PACKED>(),
            }
        }
    }

    unsafe fn run_with<const MR: usize, const NV: usize, const PACKED: bool>(&self) {
        let nr = 4 * NV;
        for first in (0..self.rows).step_by(ROW_BLOCK) {
            let block = first..self.rows.min(first + ROW_BLOCK);
            // A panel (depth x nr) stays in the first-level cache while the rows pass by, the rows in the second-level
            // cache while the panels do.
            for column in (0..self.cols).step_by(nr) {
                let wanted = self.wanted_rows(column, nr.min(self.cols - column));
                let rows = wanted.start.max(block.start)..wanted.end.min(block.end);
                let mut row = rows.start;
                while row < rows.end {
                    let piece = self.piece(row, MR.min(rows.end - row));
                    // SAFETY: row + piece.height <= rows, column < cols.
                    unsafe { self.block::<MR, NV, PACKED>(row, column, piece) };
                    row += piece.height;
                }
            }
        }
    }

    fn wanted_rows(&self, column: usize, width: usize) -> Range<usize> {
        let clamp = |x: isize| x.clamp(0, self.rows as isize) as usize;
        match self.wanted {
            Wanted::All => 0..self.rows,
            Wanted::Below(shift) => clamp(column as isize - shift)..self.rows,
            Wanted::Above(shift) => 0..clamp((column + width) as isize + shift),
        }
    }

    /// At most `most` rows from `row` on that one call of the register tile can take, and the steps of that call.
    #[inline(always)]
    fn piece(&self, row: usize, most: usize) -> Piece {
        let depth = self.depth as isize;
        let full = |height: usize, steps: usize| Piece { height, edge: FULL, first: 0, steps };
        match self.steps {
            Steps::All => full(most, self.depth),
            Steps::Ending(end) => {
                let end = row as isize + end; // of the first row
                if end <= 0 {
                    full(most.min((1 - end) as usize), 0)
                } else if end >= depth {
                    full(most, self.depth)
                } else {
                    let height = most.min((depth - end) as usize + 1);
                    Piece { height, edge: TAIL, first: 0, steps: end as usize }
                }
            }
            Steps::Starting(begin) => {
                let begin = row as isize + begin; // of the first row
                if begin <= 0 {
                    full(most.min((1 - begin) as usize), self.depth)
                } else if begin >= depth {
                    full(most, 0)
                } else {
                    let height = most.min((depth - begin) as usize);
                    let steps = (depth - begin) as usize - (height - 1);
                    Piece { height, edge: HEAD, first: begin as usize, steps }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn block<const MR: usize, const NV: usize, const PACKED: bool>(
        &self,
        row: usize,
        column: usize,
        piece: Piece,
    ) {
        // SAFETY (whole body): the block lies inside the product.
        unsafe {
            let nr = 4 * NV;
            let left = if PACKED {
                // Panels of MR rows, each `depth` steps of MR floats: row panels start at multiples of MR.
                Left { ptr: self.left.ptr.wrapping_add(row * self.depth), row: 1, step: MR }
            } else {
                let offset = row * self.left.row + piece.first * self.left.step;
                Left { ptr: self.left.ptr.wrapping_add(offset), ..self.left }
            };
            let b = self.packed.wrapping_add(column * self.depth + piece.first * nr);
            let start = self.start.advance(row, column);
            let out = self.out.add(row * self.out_row + column);
            let width = nr.min(self.cols - column);
            if width == nr {
                rows::<MR, NV>(piece, left, b, start, out, self.out_row);
            } else {
                ragged::<MR, NV>(piece, width, left, b, start, out, self.out_row);
            }
        }
    }
}

/// Rows whose steps of A (at most 384) take 288 KiB, so that they stay in the second-level cache beside the packed block.
/// A multiple of every tile's height.
const ROW_BLOCK: usize = 192;

/// One call of the register tile: `height` rows, common `steps`, from step `first` on.
#[derive(Clone, Copy)]
struct Piece {
    height: usize,
    edge: u8,
    first: usize,
    steps: usize,
}

#[inline(always)]
unsafe fn rows<const MR: usize, const NV: usize>(
    piece: Piece,
    left: Left,
    b: *const f32,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: passed on.
    unsafe {
        match piece.edge {
            FULL => rows_edge::<MR, NV, FULL>(piece, left, b, start, out, out_row),
            HEAD => rows_edge::<MR, NV, HEAD>(piece, left, b, start, out, out_row),
            _ => rows_edge::<MR, NV, TAIL>(piece, left, b, start, out, out_row),
        }
    }
}

#[inline(always)]
unsafe fn rows_edge<const MR: usize, const NV: usize, const EDGE: u8>(
    piece: Piece,
    left: Left,
    b: *const f32,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    let Left { ptr, row, step } = left;
    let steps = piece.steps;
    // SAFETY: passed on; the height picks the tile of as many rows.
    unsafe {
        if piece.height == MR {
            return micro::<MR, NV, EDGE>(steps, ptr, row, step, b, start, out, out_row);
        }
        match piece.height {
            1 => micro::<1, NV, FULL>(steps, ptr, row, step, b, start, out, out_row),
            2 => micro::<2, NV, EDGE>(steps, ptr, row, step, b, start, out, out_row),
            3 => micro::<3, NV, EDGE>(steps, ptr, row, step, b, start, out, out_row),
            4 if MR > 4 => micro::<4, NV, EDGE>(steps, ptr, row, step, b, start, out, out_row),
            5 if MR > 5 => micro::<5, NV, EDGE>(steps, ptr, row, step, b, start, out, out_row),
            6 if MR > 6 => micro::<6, NV, EDGE>(steps, ptr, row, step, b, start, out, out_row),
            7 if MR > 7 => micro::<7, NV, EDGE>(steps, ptr, row, step, b, start, out, out_row),
            _ => unreachable!("a piece is at most as high as the tile"),
        }
    }
}

/// The last, partly filled panel: the tile works on a copy of the block, of which `width` columns are real.
#[inline(never)]
unsafe fn ragged<const MR: usize, const NV: usize>(
    piece: Piece,
    width: usize,
    left: Left,
    b: *const f32,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    let nr = 4 * NV;
    let mut copy = [0.0f32; MAX_MR * MAX_NR];
    // SAFETY (whole body): height rows of `width` real columns; the copy holds the largest tile.
    unsafe {
        for i in 0..piece.height {
            for j in 0..width {
                let from = *start.from.add(i * start.row + j);
                let add = if start.add.is_null() { None } else { Some(*start.add.add(j)) };
                copy[i * nr + j] = add.map_or(from, |add| from + add);
            }
        }
        let begin = Start { from: copy.as_ptr(), row: nr, add: core::ptr::null() };
        rows::<MR, NV>(piece, left, b, begin, copy.as_mut_ptr(), nr);
        for i in 0..piece.height {
            for j in 0..width {
                *out.add(i * out_row + j) = copy[i * nr + j];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pack::{pack_rows, packed_len};
    use super::*;
    use crate::testkit::{same_bits, Cases, Rng};

    /// A product in scratch of its own, with NaN wherever a row must not look.
    fn run(tile: RegisterTile, rows: usize, cols: usize, depth: usize, steps: Steps) -> (Vec<f32>, Vec<f32>) {
        let mut rng = Rng::new((rows * 10_000 + cols * 100 + depth) as u64);
        let (mut a, b, first) = (rng.normals(rows * depth), rng.normals(depth * cols), rng.normals(rows * cols));
        let range = |i: usize| match steps {
            Steps::All => 0..depth,
            Steps::Ending(end) => 0..(i as isize + end).clamp(0, depth as isize) as usize,
            Steps::Starting(begin) => (i as isize + begin).clamp(0, depth as isize) as usize..depth,
        };
        let mut want = first.clone();
        for i in 0..rows {
            for k in 0..depth {
                if !range(i).contains(&k) {
                    a[i * depth + k] = f32::NAN;
                    continue;
                }
                for j in 0..cols {
                    want[i * cols + j] += a[i * depth + k] * b[k * cols + j];
                }
            }
        }
        let mut packed = vec![f32::NAN; packed_len(depth, cols, MAX_NR)];
        let mut out = first;
        let product = Product {
            left: Left { ptr: a.as_ptr(), row: depth, step: 1 },
            rows,
            packed: packed.as_ptr(),
            cols,
            depth,
            start: Start { from: out.as_ptr(), row: cols, add: core::ptr::null() },
            out: out.as_mut_ptr(),
            out_row: cols,
            wanted: Wanted::All,
            steps,
        };
        // SAFETY: buffers of the sizes given.
        unsafe {
            pack_rows(b.as_ptr(), cols, depth, cols, tile.nr(), packed.as_mut_ptr());
            product.run(tile);
        }
        (out, want)
    }

    #[test]
    fn every_row_takes_its_own_steps_and_reads_no_other() {
        let mut cases = Cases::new();
        for tile in RegisterTile::ALL {
            for (rows, cols, depth) in
                [(1, 3, 4), (4, 8, 1), (5, 9, 6), (13, 16, 9), (12, 17, 20), (6, 5, 0), (30, 8, 7)]
            {
                let mut all = vec![Steps::All];
                for shift in -9..=9 {
                    all.extend([Steps::Ending(shift), Steps::Starting(shift)]);
                }
                for (which, steps) in all.into_iter().enumerate() {
                    let (got, want) = run(tile, rows, cols, depth, steps);
                    cases.check(|| format!("{tile:?} {rows}x{cols}x{depth} steps {which}"), same_bits(&got, &want));
                }
            }
        }
        cases.finish();
    }
}
