//! Weights [rows, columns] as they are stored (f32, bf16 or int8 blocks), read as f32: what products, tables and the head share, so that
//! frozen weights of any storage take part in training. A bf16 number is the upper half of an f32; a weight in int8 blocks is its integer
//! times the scale of its block, rounded once (`matmul/q8.rs` has the layout). Both are exact functions of what is stored, so every
//! result has the bits it would have with those f32 numbers. What it is not: rounding to these types, which happens outside the engine.

use crate::matmul::pack::{pack_columns, pack_rows};
use crate::matmul::q8::{BLOCK, CELL_WORDS, COLS};
use simd::{F32x4, I32x4, LANES};

/// How weights lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Row after row of f32.
    F32,
    /// Row after row of bf16.
    Bf16,
    /// Cells of int8 blocks.
    Q8,
}

impl Storage {
    /// Floats of scratch where `len` are needed to widen a block; none for f32, which is read in place.
    pub fn room(self, len: usize) -> usize {
        if self == Self::F32 {
            0
        } else {
            len
        }
    }

    /// 32-bit words of weights [rows, columns], saturating.
    pub fn words(self, rows: usize, columns: usize) -> usize {
        match self {
            Self::F32 => rows.saturating_mul(columns),
            Self::Bf16 => rows.saturating_mul(columns).div_ceil(2),
            Self::Q8 => crate::matmul::q8::words(rows, columns),
        }
    }
}

/// A bf16 number.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Bf16(u16);

/// A number that products of few rows read where it lies.
pub trait Element: Copy {
    /// Four of them; the compiler leaves the load in its place where the build can say so.
    ///
    /// # Safety
    /// Readable for four.
    unsafe fn load_volatile(from: *const Self) -> F32x4;
    /// `n` (0 to 4) of them, zeros beyond.
    ///
    /// # Safety
    /// Readable for `n`.
    unsafe fn load_partial(from: *const Self, n: usize) -> F32x4;
    /// Its value.
    fn widen(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load_volatile(from: *const Self) -> F32x4 {
        // SAFETY: passed on.
        unsafe { F32x4::load_volatile(from) }
    }
    #[inline(always)]
    unsafe fn load_partial(from: *const Self, n: usize) -> F32x4 {
        // SAFETY: passed on.
        unsafe { F32x4::load_partial(from, n) }
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Element for Bf16 {
    #[inline(always)]
    unsafe fn load_volatile(from: *const Self) -> F32x4 {
        // SAFETY: passed on.
        unsafe { F32x4::load_bf16(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_partial(from: *const Self, n: usize) -> F32x4 {
        // SAFETY: lanes below n.
        F32x4::from_array([0, 1, 2, 3].map(|lane| if lane < n { unsafe { *from.add(lane) }.widen() } else { 0.0 }))
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// Columns (or rows, where these are packed) that are widened at a time on the way into a packed copy. Every panel's width divides it.
pub const STRIP: usize = 64;

/// A matrix of weights.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// The first element, or the first word of what is not f32.
    pub base: *const f32,
    /// Width of a row.
    pub columns: usize,
    /// How they lie in memory.
    pub storage: Storage,
}

impl Stored {
    /// `rows` rows from `row` on, `cols` columns from `col` on: where they lie if they are f32, else widened to `room`. The first element
    /// and the elements from row to row.
    ///
    /// # Safety
    /// The block lies in the matrix; `room` writable for `rows·cols` floats where the storage is not f32.
    #[inline(always)]
    pub unsafe fn block(
        &self,
        row: usize,
        rows: usize,
        col: usize,
        cols: usize,
        room: *mut f32,
    ) -> (*const f32, usize) {
        if self.storage == Storage::F32 {
            return (self.base.wrapping_add(row * self.columns + col), self.columns);
        }
        // SAFETY: passed on.
        unsafe { self.widen(row, rows, col, cols, room) };
        (room, cols)
    }

    /// `pack_rows` of `depth` rows from `row` on, `cols` columns from `col` on.
    ///
    /// # Safety
    /// As [`pack_rows`] and [`Stored::block`]; `room` for `depth` times [`STRIP`].
    pub unsafe fn pack_rows(
        &self,
        row: usize,
        depth: usize,
        col: usize,
        cols: usize,
        nr: usize,
        packed: *mut f32,
        room: *mut f32,
    ) {
        for first in (0..cols).step_by(self.strip(cols)) {
            let n = self.strip(cols).min(cols - first);
            // SAFETY: columns of the block; a strip is whole panels.
            unsafe {
                let (b, stride) = self.block(row, depth, col + first, n, room);
                pack_rows(b, stride, depth, n, nr, packed.wrapping_add(first * depth));
            }
        }
    }

    /// `pack_columns` of `cols` rows from `row` on, `depth` columns from `col` on.
    ///
    /// # Safety
    /// As [`pack_columns`] and [`Stored::block`]; `room` for `depth` times [`STRIP`].
    pub unsafe fn pack_columns(
        &self,
        row: usize,
        cols: usize,
        col: usize,
        depth: usize,
        nr: usize,
        packed: *mut f32,
        room: *mut f32,
    ) {
        for first in (0..cols).step_by(self.strip(cols)) {
            let n = self.strip(cols).min(cols - first);
            // SAFETY: rows of the block; a strip is whole panels.
            unsafe {
                let (b, stride) = self.block(row + first, n, col, depth, room);
                pack_columns(b, stride, depth, n, nr, packed.wrapping_add(first * depth));
            }
        }
    }

    fn strip(&self, cols: usize) -> usize {
        if self.storage == Storage::F32 {
            cols.max(1)
        } else {
            STRIP
        }
    }

    /// The block as f32, row after row.
    ///
    /// # Safety
    /// The block lies in the matrix; `to` writable for `rows·cols` floats.
    #[inline(never)]
    pub unsafe fn widen(&self, row: usize, rows: usize, col: usize, cols: usize, to: *mut f32) {
        // SAFETY (whole body): rows and columns of the block.
        unsafe {
            if self.storage == Storage::Q8 {
                return self.widen_q8(row, rows, col, cols, to);
            }
            for r in 0..rows {
                let to = to.add(r * cols);
                let at = (row + r) * self.columns + col;
                if self.storage == Storage::F32 {
                    core::ptr::copy_nonoverlapping(self.base.add(at), to, cols);
                    continue;
                }
                let from = (self.base as *const Bf16).add(at);
                let mut c = 0;
                // Four vectors to a trip: rows of a few hundred numbers are most of what generation does.
                while c + 4 * LANES <= cols {
                    let x = [0, 1, 2, 3].map(|v| F32x4::load_bf16(from.add(c + v * LANES).cast()));
                    for v in 0..4 {
                        x[v].store(to.add(c + v * LANES));
                    }
                    c += 4 * LANES;
                }
                while c < cols {
                    let n = LANES.min(cols - c);
                    if n == LANES {
                        F32x4::load_bf16(from.add(c).cast()).store(to.add(c));
                    } else {
                        Bf16::load_partial(from.add(c), n).store_partial(to.add(c), n);
                    }
                    c += n;
                }
            }
        }
    }

    /// The same from int8 blocks: four rows by four columns at a time where the block has them whole.
    unsafe fn widen_q8(&self, row: usize, rows: usize, col: usize, cols: usize, to: *mut f32) {
        let blocks = self.columns.div_ceil(BLOCK);
        let mut r = 0;
        while r < rows {
            let tall = if (row + r) % LANES == 0 && rows - r >= LANES { LANES } else { 1 };
            let lane = (row + r) % COLS;
            let mut c = 0;
            while c < cols {
                let (at, to) = (col + c, to.wrapping_add(r * cols + c));
                // SAFETY: row + r and at lie in the matrix, and what is written in the block.
                unsafe {
                    let cell = (self.base as *const i32).add(((row + r) / COLS * blocks + at / BLOCK) * CELL_WORDS);
                    // Words of pairs of columns, all eight rows of each; two bytes for each row.
                    let pair = (cell as *const i8).add(at % BLOCK / 2 * 2 * COLS + 2 * lane);
                    let scales = (cell as *const f32).add(BLOCK * COLS / 4 + lane);
                    if tall == LANES && at % LANES == 0 && cols - c >= LANES {
                        let scales = F32x4::load(scales);
                        let (low, high) = (I32x4::load_i8_as_i16(pair), I32x4::load_i8_as_i16(pair.add(2 * COLS)));
                        // A lane is a row: its first column in the lower half, its second in the upper one.
                        let columns = [low.shl(16).shr_s(16), low.shr_s(16), high.shl(16).shr_s(16), high.shr_s(16)];
                        let of_rows = F32x4::transpose4(columns.map(|q| q.to_f32() * scales));
                        for i in 0..LANES {
                            of_rows[i].store(to.wrapping_add(i * cols));
                        }
                        c += LANES;
                    } else {
                        for i in 0..tall {
                            *to.wrapping_add(i * cols) = f32::from(*pair.add(2 * i + at % 2)) * *scales.add(i);
                        }
                        c += 1;
                    }
                }
            }
            r += tall;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
