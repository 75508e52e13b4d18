//! Logits of a block with their partial sums, and the loss from those.

use super::{HeadBlock, STATS_WORDS};
use crate::linear_cross_entropy::block::{Columns, PAIR, WORDS};
use crate::linear_cross_entropy::forward::Carried;
use crate::matmul::micro::MAX_NR;
use crate::matmul::pack::packed_len;
use crate::scalar_math;
use crate::stored::Storage;
use crate::tile::{blocks, Fault, TileOp};
use crate::vecmath::Exp;
use simd::{F32x4, LANES};

/// Most columns of one work item: with 768 columns of x their packed copy takes 960 KiB, a third of it at a time.
const MOST_COLUMNS: usize = 320;

/// Work items wanted.
const ITEMS: usize = 24;

/// `logits[v, c] = W[v]·x[row of column c]`, and the stats of every 480 words.
#[derive(Clone, Copy, Debug)]
pub struct HeadLogits {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[vocab, cols]`
    pub w: *const f32,
    /// How `w` is stored.
    pub storage: Storage,
    /// `[rows]`
    pub labels: *const i32,
    /// `[vocab, stride]`; columns beyond the counted ones are left alone
    pub logits: *mut f32,
    /// `[ceil(vocab / 480), 2, stride]`: largest logit, then Σ e^(logit − largest)
    pub stats: *mut f32,
    /// Sizes.
    pub dims: HeadBlock,
}

impl HeadLogits {
    /// Columns of one work item.
    fn columns(&self) -> usize {
        let parts = ITEMS / blocks(self.dims.vocab, STATS_WORDS).clamp(1, ITEMS);
        blocks(self.dims.most, parts).next_multiple_of(16).clamp(32, MOST_COLUMNS)
    }
}

impl TileOp for HeadLogits {
    fn tiles(&self) -> usize {
        blocks(self.dims.vocab, STATS_WORDS) * blocks(self.dims.most, self.columns())
    }

    fn scratch_len(&self) -> usize {
        let most = self.columns();
        most.next_multiple_of(PAIR)
            + Carried::scratch_len(most)
            + packed_len(self.dims.cols, most, MAX_NR)
            + self.dims.head(self.x, (self.w, self.storage), self.labels).room()
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let HeadBlock { vocab, most, stride, .. } = self.dims;
        let (part, across) = (self.columns(), blocks(most, self.columns()));
        // Words run slowest: neighbours in the queue share rows of W.
        let (block, from) = (tile / across, tile % across * part);
        let width = part.next_multiple_of(PAIR);
        let list: *mut u32 = scratch.cast();
        let head = self.dims.head(self.x, (self.w, self.storage), self.labels);
        // SAFETY: words and columns of this tile; scratch divided as scratch_len counts. Columns of a tile begin at a multiple of
        // 16 and the stride is one, so whole vectors stay within the tile's part of a row.
        unsafe {
            let count = self.dims.list(self.labels, from, part.min(most - from), list)?;
            if count == 0 {
                return Ok(());
            }
            let carried = scratch.add(width);
            let packed = carried.add(Carried::scratch_len(part));
            let room = packed.add(packed_len(self.dims.cols, part, MAX_NR));
            let columns = Columns::of(&head, list, count, width, stride, packed);
            let mut carried = Carried::begin(&columns, carried);
            let end = vocab.min((block + 1) * STATS_WORDS);
            for word in (block * STATS_WORDS..end).step_by(WORDS) {
                let words = WORDS.min(end - word);
                let logits = self.logits.add(word * stride + from);
                columns.logits(&head, word, words, logits, room);
                carried.add(&columns, words, logits);
            }
            let stats = self.stats.add(block * 2 * stride + from);
            for c in 0..count {
                (*stats.add(c), *stats.add(stride + c)) = carried.partial(c);
            }
        }
        Ok(())
    }
}

/// `log_z[r] = ln Σ e^logit` and `loss[r] = log_z[r] − logit of the label` for the block's rows; zeros for ignored rows, which the
/// first block (`first` 0) writes.
#[derive(Clone, Copy, Debug)]
pub struct HeadLoss {
    /// `[rows]`
    pub labels: *const i32,
    /// `[vocab, stride]`
    pub logits: *const f32,
    /// `[ceil(vocab / 480), 2, stride]`
    pub stats: *const f32,
    /// `[rows]`, the block's rows are written
    pub loss: *mut f32,
    /// `[rows]`, the block's rows are written
    pub log_z: *mut f32,
    /// Sizes; `cols` is not looked at.
    pub dims: HeadBlock,
}

/// Columns of one work item of the loss.
const LOSS_COLUMNS: usize = 64;

impl HeadLoss {
    /// Largest logits of four columns over all words, and their sums relative to those.
    ///
    /// # Safety
    /// Stats readable for four columns from `column` on.
    unsafe fn combine(&self, column: usize) -> ([f32; LANES], [f64; LANES]) {
        let HeadBlock { vocab, stride, .. } = self.dims;
        let n = blocks(vocab, STATS_WORDS);
        // SAFETY: block < n, row 0 or 1.
        let at = |block: usize, row: usize| unsafe { F32x4::load(self.stats.add((block * 2 + row) * stride + column)) };
        let mut largest = F32x4::splat(f32::NEG_INFINITY);
        for block in 0..n {
            largest = largest.max(at(block, 0));
        }
        // Nothing above −infinity: subtract 0, so that −infinity gives 0 and NaN stays NaN.
        let none = largest.eq(F32x4::splat(f32::NEG_INFINITY));
        let shift = F32x4::select(none, F32x4::zero(), largest);
        let exp = Exp::new();
        let mut sums = [0.0f64; LANES];
        for block in 0..n {
            let part = (at(block, 1) * exp.eval_below(at(block, 0) - shift)).to_array();
            for lane in 0..LANES {
                sums[lane] += f64::from(part[lane]);
            }
        }
        (largest.to_array(), sums)
    }
}

impl TileOp for HeadLoss {
    fn tiles(&self) -> usize {
        blocks(self.dims.most, LOSS_COLUMNS)
    }

    fn scratch_len(&self) -> usize {
        LOSS_COLUMNS
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let HeadBlock { most, stride, first, .. } = self.dims;
        let from = tile * LOSS_COLUMNS;
        let list: *mut u32 = scratch.cast();
        // SAFETY: columns of this tile, whose vectors stay below the stride; rows that the labels count, or ignore.
        unsafe {
            if first == 0 && tile == 0 {
                self.dims.each_ignored(self.labels, |row| {
                    (*self.loss.add(row), *self.log_z.add(row)) = (0.0, 0.0);
                })?;
            }
            let count = self.dims.list(self.labels, from, LOSS_COLUMNS.min(most - from), list)?;
            for c in (0..count).step_by(LANES) {
                let (largest, sums) = self.combine(from + c);
                for lane in 0..LANES.min(count - c) {
                    let row = *list.add(c + lane) as usize;
                    let label = *self.labels.add(row) as usize;
                    let at_label = *self.logits.add(label * stride + from + c + lane);
                    let log_sum = scalar_math::ln(sums[lane]);
                    let most = f64::from(largest[lane]);
                    // Differences before sums: a common offset of the logits costs no digits of the loss.
                    *self.loss.add(row) = (log_sum + (most - f64::from(at_label))) as f32;
                    *self.log_z.add(row) = (most + log_sum) as f32;
                }
            }
        }
        Ok(())
    }
}
