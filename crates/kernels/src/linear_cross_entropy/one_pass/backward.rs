//! Gradients of a block: dW with the gradient of the logits on the way, then dx.

use super::{HeadBlock, NONE};
use crate::linear_cross_entropy::block::{Columns, Upstream, PAIR};
use crate::matmul::micro::{register_tile, Start, MAX_NR};
use crate::matmul::pack::{pack_left, pack_rows_by, packed_len};
use crate::matmul::panels::{Left, Product, Steps, Wanted};
use crate::matmul::plan::ROWS;
use crate::stored::{Storage, Stored, STRIP};
use crate::tile::{blocks, Fault, TileOp};

/// Columns of dW, and steps of k of either product, that are packed at a time: at most 256 x 256 x 4 = 256 KiB.
const BLOCK: usize = 256;

/// Most words of one item of dW: their logits (240 x 272 x 4 = 255 KiB for 256 rows) stay in the second-level cache beside the
/// packed block. Every register tile's height divides it.
const MOST_WORDS: usize = 240;

/// Turns the block's logits into their gradient `g·(softmax − onehot)` and adds `dlogits·x` to dW:
/// `dw = init + Σ over the block's rows`.
#[derive(Clone, Copy, Debug)]
pub struct HeadBackwardW {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[rows]`
    pub labels: *const i32,
    /// `[rows]`
    pub log_z: *const f32,
    /// `[rows]`: gradient of the loss
    pub g: *const f32,
    /// `[vocab, cols]` or null: initial values; may be `dw`
    pub init: *const f32,
    /// `[vocab, cols]` or null: not wanted
    pub dw: *mut f32,
    /// `[vocab, stride]`: logits before, their gradient afterwards
    pub logits: *mut f32,
    /// Sizes.
    pub dims: HeadBlock,
}

impl HeadBackwardW {
    /// Words of one work item: 16 items where there are words enough, 16 to 240 words each. Every item packs x once, which 240
    /// words pay for a hundred times over.
    fn words(&self) -> usize {
        blocks(self.dims.vocab, 16).next_multiple_of(4).clamp(16, MOST_WORDS)
    }

    /// `dw = init` for words without a counted row.
    unsafe fn pass_on(&self, word: usize, words: usize) {
        let (at, n) = (word * self.dims.cols, words * self.dims.cols);
        // SAFETY: words of the tile.
        unsafe {
            if self.init.is_null() {
                core::slice::from_raw_parts_mut(self.dw.add(at), n).fill(0.0);
            } else if !core::ptr::eq(self.init, self.dw) {
                core::ptr::copy_nonoverlapping(self.init.add(at), self.dw.add(at), n);
            }
        }
    }

    /// `dw = init + dlogits·x` for the words of a tile.
    unsafe fn add(&self, columns: &Columns, word: usize, words: usize, packed: *mut f32) {
        let register = register_tile();
        let HeadBlock { cols: width, stride, .. } = self.dims;
        for col in (0..width).step_by(BLOCK) {
            let cols = BLOCK.min(width - col);
            let at = word * width + col;
            let from = |p: *const f32| Start { from: p.wrapping_add(at), row: width, add: core::ptr::null() };
            let mut start = if self.init.is_null() { Start::zero() } else { from(self.init) };
            for k in (0..columns.count).step_by(BLOCK) {
                let depth = BLOCK.min(columns.count - k);
                // SAFETY: words and columns of the tile, counted rows of x.
                unsafe {
                    let row = |c: usize| self.x.wrapping_add(columns.row(k + c) * width + col);
                    pack_rows_by(row, depth, cols, register.nr(), packed);
                    let product = Product {
                        left: Left { ptr: self.logits.add(word * stride + k), row: stride, step: 1 },
                        rows: words,
                        packed,
                        cols,
                        depth,
                        start,
                        out: self.dw.add(at),
                        out_row: width,
                        wanted: Wanted::All,
                        steps: Steps::All,
                    };
                    product.run(register);
                }
                start = from(self.dw);
            }
        }
    }
}

impl TileOp for HeadBackwardW {
    fn tiles(&self) -> usize {
        blocks(self.dims.vocab, self.words())
    }

    fn scratch_len(&self) -> usize {
        let HeadBlock { most, cols, .. } = self.dims;
        let packed = packed_len(most.min(BLOCK), cols.min(BLOCK), MAX_NR);
        most.next_multiple_of(PAIR) + Upstream::scratch_len(most) + packed
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let HeadBlock { vocab, most, stride, .. } = self.dims;
        let word = tile * self.words();
        let words = self.words().min(vocab - word);
        let width = most.next_multiple_of(PAIR);
        let list: *mut u32 = scratch.cast();
        // SAFETY: words of this tile; scratch divided as scratch_len counts; the stride is a multiple of 16, so that whole vectors
        // of the columns stay within a row.
        unsafe {
            let count = self.dims.list(self.labels, 0, most, list)?;
            if count == 0 {
                if !self.dw.is_null() {
                    self.pass_on(word, words);
                }
                return Ok(());
            }
            let head = self.dims.head(self.x, NONE, self.labels);
            let columns = Columns::listed(list, count, width, stride);
            let gathered = scratch.add(width);
            let upstream = Upstream::gather(&head, &columns, self.log_z, self.g, core::ptr::null(), gathered);
            upstream.gradients(&columns, word, words, self.logits.add(word * stride));
            if !self.dw.is_null() {
                self.add(&columns, word, words, gathered.add(Upstream::scratch_len(most)));
            }
        }
        Ok(())
    }
}

/// `dx[row of column c] = Σ_v dlogits[v, c]·W[v]` for the block's rows; zeros for ignored rows, which the first block writes.
#[derive(Clone, Copy, Debug)]
pub struct HeadBackwardX {
    /// `[vocab, cols]`
    pub w: *const f32,
    /// How `w` is stored.
    pub storage: Storage,
    /// `[rows]`
    pub labels: *const i32,
    /// `[vocab, stride]`
    pub dlogits: *const f32,
    /// `[rows, cols]`, the block's rows are written
    pub dx: *mut f32,
    /// Sizes.
    pub dims: HeadBlock,
    /// How many threads share the work ([`crate::matmul::threads`]); no bit depends on it.
    pub threads: usize,
}

/// Most columns of the block in one work item.
const MOST_COLUMNS: usize = 320;

impl HeadBackwardX {
    /// Columns of the block, and of dx, that make one work item. Every item packs its columns of W and its columns of the logits'
    /// gradient, which comes from main memory: few wide items, two for each thread where dx is wide enough (256 x 50257 x 768
    /// with 256-bit fusing: 66 GFLOP/s with 48 columns of dx, 85 to 90 with 192). No size shows in a bit.
    fn item(&self) -> (usize, usize) {
        let HeadBlock { most, cols, .. } = self.dims;
        let down = blocks(most, MOST_COLUMNS).max(1);
        let across = blocks((2 * self.threads).max(4), down).min(cols / 48).max(blocks(cols, BLOCK)).max(1);
        (blocks(most, down).next_multiple_of(16).max(16), blocks(cols, across).next_multiple_of(16).max(16))
    }

    /// Sums over all words into `sums`, rows of `cols`.
    unsafe fn sum(&self, from: usize, count: usize, col: usize, cols: usize, sums: *mut f32, packed: *mut f32) {
        let register = register_tile();
        let left = packed.wrapping_add(packed_len(self.dims.vocab.min(BLOCK), cols, MAX_NR));
        let HeadBlock { vocab, cols: width, stride, .. } = self.dims;
        let w = Stored { base: self.w, columns: width, storage: self.storage };
        let mut start = Start::zero();
        for word in (0..vocab).step_by(BLOCK) {
            let words = BLOCK.min(vocab - word);
            // SAFETY: columns of the item, words below vocab.
            unsafe {
                // What is widened lies where A is packed afterwards.
                w.pack_rows(word, words, col, cols, register.nr(), packed, left);
                pack_left(self.dlogits.add(word * stride + from), stride, words, count, register.mr(), left);
                let product = Product {
                    left: Left { ptr: left, row: 1, step: register.mr() },
                    rows: count,
                    packed,
                    cols,
                    depth: words,
                    start,
                    out: sums,
                    out_row: cols,
                    wanted: Wanted::All,
                    steps: Steps::All,
                };
                product.run_packed(register);
            }
            start = Start { from: sums, row: cols, add: core::ptr::null() };
        }
    }
}

impl TileOp for HeadBackwardX {
    fn tiles(&self) -> usize {
        let (columns, cols) = self.item();
        blocks(self.dims.most, columns) * blocks(self.dims.cols, cols)
    }

    fn scratch_len(&self) -> usize {
        let (columns, cols) = self.item();
        let depth = self.dims.vocab.min(BLOCK);
        let left = packed_len(depth, columns, ROWS).max(self.storage.room(depth * STRIP));
        columns + columns * cols + packed_len(depth, cols, MAX_NR) + left
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let HeadBlock { cols: width, most, first, .. } = self.dims;
        let (columns, wide) = self.item();
        let across = blocks(width, wide);
        let (from, col) = (tile / across * columns, tile % across * wide);
        let cols = wide.min(width - col);
        let list: *mut u32 = scratch.cast();
        // SAFETY: columns of this tile; rows below `rows`; scratch divided as scratch_len counts.
        unsafe {
            if first == 0 && from == 0 {
                self.dims.each_ignored(self.labels, |row| {
                    core::slice::from_raw_parts_mut(self.dx.add(row * width + col), cols).fill(0.0);
                })?;
            }
            let count = self.dims.list(self.labels, from, columns.min(most - from), list)?;
            if count == 0 {
                return Ok(());
            }
            let sums = scratch.add(columns);
            self.sum(from, count, col, cols, sums, sums.add(columns * wide));
            for c in 0..count {
                let to = self.dx.add(*list.add(c) as usize * width + col);
                core::ptr::copy_nonoverlapping(sums.add(c * cols), to, cols);
            }
        }
        Ok(())
    }
}
