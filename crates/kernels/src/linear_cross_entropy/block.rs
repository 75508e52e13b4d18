//! A block of logits, transposed: row v is a word, column c a counted row of x. Shared by all operations of this module.

use crate::lanes::{pair, store_pair};
use crate::matmul::micro::{register_tile, RegisterTile, Start, MAX_NR};
use crate::matmul::pack::{pack_columns_by, packed_len};
use crate::matmul::panels::{Left, Product, Steps, Wanted};
use crate::matmul::plan::{depth_block, MOST_DEPTH};
use crate::stored::Stored;
use crate::tile::{Fault, FaultCode};
use crate::vecmath::Exp;
use simd::LANES;

/// Words of one block: with 64 columns its logits take 120 x 64 x 4 = 30 KiB. Every register tile's height divides it.
pub(super) const WORDS: usize = 120;

/// Columns are worked on two vectors at a time; lists by column are as long as a multiple of this.
pub(super) const PAIR: usize = 2 * LANES;

/// x, W and labels, as every operation of this module has them.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub x: *const f32,
    pub w: Stored,
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

    /// Floats of scratch in which a block of W becomes f32.
    pub fn room(&self) -> usize {
        self.w.storage.room(WORDS.min(self.vocab) * MOST_DEPTH.min(self.cols))
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
    /// The register tile that `packed` is made for.
    register: RegisterTile,
    /// Elements from row to row of a block of logits.
    pub stride: usize,
    /// Columns there is room for beside each other, a multiple of [`PAIR`]: the length of every list by column.
    pub width: usize,
}

impl Columns {
    /// Floats of scratch for at most `most` columns of width `cols`.
    pub fn scratch_len(most: usize, cols: usize) -> usize {
        most.next_multiple_of(PAIR) + packed_len(cols, most, MAX_NR)
    }

    /// Collects the counted rows among `first .. first + n` and packs them. `n` is at most `most`.
    ///
    /// # Safety
    /// x and labels readable for the rows; scratch for [`Columns::scratch_len`].
    pub unsafe fn collect(head: &Head, first: usize, n: usize, most: usize, scratch: *mut f32) -> Result<Self, Fault> {
        let rows: *mut u32 = scratch.cast();
        let mut count = 0;
        // SAFETY: rows below first + n; at most `n` entries are written.
        unsafe {
            for row in first..first + n {
                if head.label(row)?.is_some() {
                    *rows.add(count) = row as u32;
                    count += 1;
                }
            }
            let width = most.next_multiple_of(PAIR);
            Ok(Self::of(head, rows, count, width, width, scratch.wrapping_add(width)))
        }
    }

    /// The columns that `rows` lists, packed.
    ///
    /// # Safety
    /// `rows` holds `count` numbers below the rows of x; `packed` writable for `packed_len(cols, count, MAX_NR)`.
    pub unsafe fn of(head: &Head, rows: *mut u32, count: usize, width: usize, stride: usize, packed: *mut f32) -> Self {
        let columns = Self { packed, ..Self::listed(rows, count, width, stride) };
        let nr = columns.register.nr();
        let mut k = 0;
        while k < head.cols {
            let depth = depth_block(head.cols).min(head.cols - k);
            let to = columns.packed.wrapping_add(packed_len(k, columns.count, nr));
            // SAFETY: steps k .. k + depth of listed rows of x.
            unsafe { pack_columns_by(|c| head.x_row(columns.row(c)).wrapping_add(k), depth, columns.count, nr, to) };
            k += depth;
        }
        columns
    }

    /// A list of rows alone, for operations that need no x by columns.
    pub fn listed(rows: *mut u32, count: usize, width: usize, stride: usize) -> Self {
        Self { rows, count, packed: core::ptr::null_mut(), register: register_tile(), stride, width }
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
    /// The words exist; `logits` writable for `words` rows of `stride`, `room` for [`Head::room`].
    pub unsafe fn logits(&self, head: &Head, word: usize, words: usize, logits: *mut f32, room: *mut f32) {
        let register = self.register;
        let mut start = Start::zero();
        let mut k = 0;
        // SAFETY: words and columns of the block; depth as packed.
        unsafe {
            loop {
                let depth = depth_block(head.cols).min(head.cols - k);
                let (ptr, row) = head.w.block(word, words, k, depth, room);
                let product = Product {
                    left: Left { ptr, row, step: 1 },
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
        4 * most.next_multiple_of(PAIR)
    }

    /// Gathers the columns' values. `gz` may be null.
    ///
    /// # Safety
    /// Inputs readable for the columns' rows; scratch for [`Upstream::scratch_len`] of `columns.width`.
    pub unsafe fn gather(
        head: &Head,
        columns: &Columns,
        log_z: *const f32,
        g: *const f32,
        gz: *const f32,
        scratch: *mut f32,
    ) -> Self {
        let part = |i: usize| scratch.wrapping_add(i * columns.width);
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
    /// `logits` as [`Columns::logits`] left them; every row readable and writable up to the columns' next multiple of [`PAIR`],
    /// which nobody else uses (what stands there has no meaning before or after).
    #[inline(never)]
    pub unsafe fn gradients(&self, columns: &Columns, word: usize, words: usize, logits: *mut f32) {
        let exp = Exp::new();
        // SAFETY (whole body): rows of the block; lists by column are `width` long, a multiple of PAIR.
        unsafe {
            for v in 0..words {
                let row = logits.wrapping_add(v * columns.stride);
                for c in (0..columns.count).step_by(PAIR) {
                    let (x0, x1) = pair(row.add(c));
                    let (z0, z1) = pair(self.log_z.add(c));
                    let (w0, w1) = pair(self.weight.add(c));
                    store_pair(exp.eval_below(x0 - z0) * w0, exp.eval_below(x1 - z1) * w1, row.add(c));
                }
            }
            for c in 0..columns.count {
                let label = *self.labels.add(c) as usize;
                if (word..word + words).contains(&label) {
                    *logits.add((label - word) * columns.stride + c) -= *self.g.add(c);
                }
            }
        }
    }
}
