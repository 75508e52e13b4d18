//! A block of logits, transposed: row v is a word, column c a counted row of x. Shared by the three operations.

use crate::matmul::micro::{register_tile, Start, MAX_NR};
use crate::matmul::pack::{pack_columns_by, packed_len};
use crate::matmul::panels::{Left, Product, Steps, Wanted};
use crate::matmul::plan::depth_block;
use crate::tile::{Fault, FaultCode};
use crate::vecmath::Exp;
use simd::{F32x4, I32x4, LANES};

/// Words of one block: with 64 columns its logits take 128 x 64 x 4 = 32 KiB.
pub(super) const WORDS: usize = 128;

/// x, W and labels, as every operation of this module has them.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub x: *const f32,
    pub w: *const f32,
    pub labels: *const i32,
    pub rows: usize,
    pub vocab: usize,
    pub cols: usize,
    pub ignore: i32,
}

impl Head {
    /// Rows of x per work item of the operations that are cut by rows: 16 items where there are rows enough, 16 to 64 rows
    /// each. At least 32 where W exceeds 1 MiB: every item reads all of W, 4 bytes per 2 x 32 operations.
    pub fn row_block(&self) -> usize {
        let least = if self.vocab * self.cols > 1 << 18 { 32 } else { 16 };
        self.rows.div_ceil(16).next_multiple_of(8).clamp(least, 64)
    }

    /// The label of a row, `None` if ignored.
    ///
    /// # Safety
    /// `labels` readable at `row`.
    #[inline(always)]
    pub unsafe fn label(&self, row: usize) -> Result<Option<usize>, Fault> {
        // SAFETY: promised by the caller.
        let label = unsafe { *self.labels.add(row) };
        if label == self.ignore {
            Ok(None)
        } else if label >= 0 && (label as usize) < self.vocab {
            Ok(Some(label as usize))
        } else {
            Err(Fault { code: FaultCode::LabelOutOfRange, at: row as u32, value: label })
        }
    }

    fn x_row(&self, row: usize) -> *const f32 {
        self.x.wrapping_add(row * self.cols)
    }
}

/// The counted rows of a range of rows of x, and x packed as the right-hand side of `W·xᵀ`. Lives in scratch.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    /// Row numbers, ascending.
    rows: *mut u32,
    /// How many.
    pub count: usize,
    packed: *mut f32,
    /// Elements from row to row of a block of logits.
    pub stride: usize,
}

impl Columns {
    /// Floats of scratch for at most `most` columns of width `cols`.
    pub fn scratch_len(most: usize, cols: usize) -> usize {
        most.next_multiple_of(LANES) + packed_len(cols, most, MAX_NR)
    }

    /// Collects the counted rows among `first .. first + n` and packs them. `n` is at most `most`.
    ///
    /// # Safety
    /// x and labels readable for the rows; scratch for [`Columns::scratch_len`].
    pub unsafe fn collect(head: &Head, first: usize, n: usize, most: usize, scratch: *mut f32) -> Result<Self, Fault> {
        let mut columns = Self {
            rows: scratch.cast(),
            count: 0,
            packed: scratch.wrapping_add(most.next_multiple_of(LANES)),
            stride: most.next_multiple_of(LANES),
        };
        // SAFETY: rows below first + n; at most `n` entries are written.
        unsafe {
            for row in first..first + n {
                if head.label(row)?.is_some() {
                    *columns.rows.add(columns.count) = row as u32;
                    columns.count += 1;
                }
            }
            let nr = register_tile().nr();
            let mut k = 0;
            while k < head.cols {
                let depth = depth_block(head.cols).min(head.cols - k);
                let to = columns.packed.wrapping_add(packed_len(k, columns.count, nr));
                pack_columns_by(|c| head.x_row(columns.row(c)).wrapping_add(k), depth, columns.count, nr, to);
                k += depth;
            }
        }
        Ok(columns)
    }

    /// The row of x that column `c` stands for.
    #[inline(always)]
    pub fn row(&self, c: usize) -> usize {
        debug_assert!(c < self.count);
        // SAFETY: c < count, written by `collect`.
        (unsafe { *self.rows.add(c) }) as usize
    }

    /// `logits[v, c] = W[word + v] · x[row(c)]` for `words` words.
    ///
    /// # Safety
    /// The words exist; `logits` writable for `words` rows of `stride`.
    pub unsafe fn logits(&self, head: &Head, word: usize, words: usize, logits: *mut f32) {
        let register = register_tile();
        let mut start = Start::zero();
        let mut k = 0;
        // SAFETY: words and columns of the block; depth as packed.
        unsafe {
            loop {
                let depth = depth_block(head.cols).min(head.cols - k);
                let product = Product {
                    left: Left { ptr: head.w.wrapping_add(word * head.cols + k), row: head.cols, step: 1 },
                    rows: words,
                    packed: self.packed.wrapping_add(packed_len(k, self.count, register.nr())),
                    cols: self.count,
                    depth,
                    start,
                    out: logits,
                    out_row: self.stride,
                    wanted: Wanted::All,
                    steps: Steps::All,
                };
                product.run(register);
                k += depth;
                if k >= head.cols {
                    return;
                }
                start = Start { from: logits, row: self.stride, add: core::ptr::null() };
            }
        }
    }
}

/// What the gradient of the logits needs of each column, gathered side by side.
#[derive(Clone, Copy)]
pub(super) struct Upstream {
    log_z: *mut f32,
    /// g + gz.
    weight: *mut f32,
    g: *mut f32,
    labels: *mut i32,
}

impl Upstream {
    /// Floats of scratch for at most `most` columns.
    pub fn scratch_len(most: usize) -> usize {
        4 * most.next_multiple_of(LANES)
    }

    /// Gathers the columns' values. `gz` may be null.
    ///
    /// # Safety
    /// Inputs readable for the columns' rows; scratch for [`Upstream::scratch_len`] of `columns.stride`.
    pub unsafe fn gather(
        head: &Head,
        columns: &Columns,
        log_z: *const f32,
        g: *const f32,
        gz: *const f32,
        scratch: *mut f32,
    ) -> Self {
        let part = |i: usize| scratch.wrapping_add(i * columns.stride);
        let own = Self { log_z: part(0), weight: part(1), g: part(2), labels: part(3).cast() };
        for c in 0..columns.count {
            let row = columns.row(c);
            // SAFETY: rows of x; columns below count.
            unsafe {
                let (upstream, z) = (*g.add(row), if gz.is_null() { 0.0 } else { *gz.add(row) });
                *own.log_z.add(c) = *log_z.add(row);
                *own.weight.add(c) = upstream + z;
                *own.g.add(c) = upstream;
                *own.labels.add(c) = *head.labels.add(row);
            }
        }
        own
    }

    /// Turns a block of logits into their gradient, in place.
    ///
    /// # Safety
    /// `logits` as [`Columns::logits`] left them.
    pub unsafe fn gradients(&self, columns: &Columns, word: usize, words: usize, logits: *mut f32) {
        let exp = Exp::new();
        for v in 0..words {
            let this = I32x4::splat((word + v) as i32);
            let row = logits.wrapping_add(v * columns.stride);
            // Whole vectors: the last may hold columns beyond the count, which nobody reads.
            for c in (0..columns.count).step_by(LANES) {
                // SAFETY: c + 4 <= stride, the length of every row of scratch here.
                unsafe {
                    let p = exp.eval(F32x4::load(row.add(c)) - F32x4::load(self.log_z.add(c)));
                    let hit = I32x4::load(self.labels.add(c)).eq(this);
                    let onehot = F32x4::from_bits(F32x4::load(self.g.add(c)).to_bits() & hit);
                    (p * F32x4::load(self.weight.add(c)) - onehot).store(row.add(c));
                }
            }
        }
    }
}
