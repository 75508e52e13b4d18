//! Gradients of the fused loss: dx by blocks of rows, dW by blocks of words. Both make the logits again and turn them into
//! their gradient in place.

use super::block::{Columns, Head, Upstream, WORDS};
use crate::matmul::micro::{register_tile, Start, MAX_NR};
use crate::matmul::pack::{pack_rows_by, packed_len};
use crate::matmul::panels::{Left, Product, Steps, Wanted};
use crate::stored::{Storage, Stored, STRIP};
use crate::tile::{Fault, TileOp};

/// Columns of dx or dW that are multiplied at a time: the packed block is at most 256 x 256 x 4 = 256 KiB.
const COLS: usize = 256;

/// Arguments of the gradient of x. Layouts: [`super::HeadDims`].
#[derive(Clone, Copy, Debug)]
pub struct LinearCrossEntropyBackwardX {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[vocab, cols]`
    pub w: *const f32,
    /// `[rows]`
    pub labels: *const i32,
    /// `[rows]`, from the forward operation
    pub log_z: *const f32,
    /// `[rows]`: gradient of the loss
    pub g: *const f32,
    /// `[rows]` or null: gradient of log_z
    pub gz: *const f32,
    /// `[rows, cols]`, written
    pub dx: *mut f32,
    /// Rows of x.
    pub rows: usize,
    /// Rows of w.
    pub vocab: usize,
    /// Width of x and w.
    pub cols: usize,
    /// The label that does not count.
    pub ignore: i32,
    /// How `w` is stored.
    pub storage: Storage,
}

impl LinearCrossEntropyBackwardX {
    fn head(&self) -> Head {
        let Self { x, w: base, labels, rows, vocab, cols, ignore, .. } = *self;
        let w = Stored { base, columns: cols, storage: self.storage };
        Head { x, w, labels, rows, vocab, cols, ignore }
    }

    /// Where blocks of W become f32: behind what is packed.
    fn room(&self, packed: *mut f32) -> *mut f32 {
        packed.wrapping_add(packed_len(WORDS.min(self.vocab), COLS.min(self.cols), MAX_NR))
    }

    /// `dx += dlogits · W` over the words of a block; the first block starts from zero. Counted rows that follow each other
    /// are multiplied together, straight into dx.
    unsafe fn add_block(&self, columns: &Columns, word: usize, words: usize, logits: *const f32, packed: *mut f32) {
        let (w, room) = (self.head().w, self.room(packed));
        let register = register_tile();
        for col in (0..self.cols).step_by(COLS) {
            let cols = COLS.min(self.cols - col);
            // SAFETY: words, columns and rows of the block.
            unsafe {
                w.pack_rows(word, words, col, cols, register.nr(), packed, room);
                let mut c = 0;
                while c < columns.count {
                    let row = columns.row(c);
                    let run = (c..columns.count).take_while(|&i| columns.row(i) == row + i - c).count();
                    let out = self.dx.add(row * self.cols + col);
                    let from_zero = word == 0;
                    let product = Product {
                        left: Left { ptr: logits.add(c), row: 1, step: columns.stride },
                        rows: run,
                        packed,
                        cols,
                        depth: words,
                        start: if from_zero {
                            Start::zero()
                        } else {
                            Start { from: out, row: self.cols, add: core::ptr::null() }
                        },
                        out,
                        out_row: self.cols,
                        wanted: Wanted::All,
                        steps: Steps::All,
                    };
                    product.run(register);
                    c += run;
                }
            }
        }
    }
}

impl TileOp for LinearCrossEntropyBackwardX {
    fn tiles(&self) -> usize {
        self.rows.div_ceil(self.head().row_block())
    }

    fn scratch_len(&self) -> usize {
        let most = self.head().row_block();
        let words = WORDS.min(self.vocab);
        Columns::scratch_len(most, self.cols)
            + Upstream::scratch_len(most)
            + words * most
            + packed_len(words, COLS.min(self.cols), MAX_NR)
            + self.head().room().max(self.storage.room(words * STRIP))
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let head = self.head();
        let most = head.row_block();
        let first = tile * most;
        let n = most.min(self.rows - first);
        // SAFETY: rows of this tile; scratch divided as scratch_len counts.
        unsafe {
            let columns = Columns::collect(&head, first, n, most, scratch)?;
            for row in first..first + n {
                if head.label(row)?.is_none() {
                    core::slice::from_raw_parts_mut(self.dx.add(row * self.cols), self.cols).fill(0.0);
                }
            }
            let gathered = scratch.add(Columns::scratch_len(most, self.cols));
            let upstream = Upstream::gather(&head, &columns, self.log_z, self.g, self.gz, gathered);
            let logits = gathered.add(Upstream::scratch_len(most));
            let packed = logits.add(WORDS.min(self.vocab) * most);
            for word in (0..self.vocab).step_by(WORDS) {
                let words = WORDS.min(self.vocab - word);
                columns.logits(&head, word, words, logits, self.room(packed));
                upstream.gradients(&columns, word, words, logits);
                self.add_block(&columns, word, words, logits, packed);
            }
        }
        Ok(())
    }
}

/// Arguments of the gradient of W. Layouts: [`super::HeadDims`].
#[derive(Clone, Copy, Debug)]
pub struct LinearCrossEntropyBackwardW {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[vocab, cols]`
    pub w: *const f32,
    /// `[rows]`
    pub labels: *const i32,
    /// `[rows]`, from the forward operation
    pub log_z: *const f32,
    /// `[rows]`: gradient of the loss
    pub g: *const f32,
    /// `[rows]` or null: gradient of log_z
    pub gz: *const f32,
    /// `[vocab, cols]` or null: initial values; may be `dw`
    pub init: *const f32,
    /// `[vocab, cols]`, written
    pub dw: *mut f32,
    /// Rows of x.
    pub rows: usize,
    /// Rows of w.
    pub vocab: usize,
    /// Width of x and w.
    pub cols: usize,
    /// The label that does not count.
    pub ignore: i32,
}

impl LinearCrossEntropyBackwardW {
    fn head(&self) -> Head {
        let Self { x, w: base, labels, rows, vocab, cols, ignore, .. } = *self;
        let w = Stored { base, columns: cols, storage: Storage::F32 };
        Head { x, w, labels, rows, vocab, cols, ignore }
    }

    /// Words of one work item: 16 items where there are words enough, 16 to 128 words each. Every item packs all of x twice,
    /// which 16 words pay for five times over.
    fn word_block(&self) -> usize {
        self.vocab.div_ceil(16).next_multiple_of(4).clamp(16, WORDS)
    }

    /// Rows of x taken at a time: as many as pack into 64 Ki floats, 32 to 256.
    fn row_chunk(&self) -> usize {
        ((1 << 16) / self.cols.max(1)).clamp(32, COLS) / 8 * 8
    }

    /// `dW += dlogits · x` over the counted rows of a chunk, from `start`.
    unsafe fn add_chunk(
        &self,
        columns: &Columns,
        word: usize,
        words: usize,
        logits: *const f32,
        begun: bool,
        packed: *mut f32,
    ) {
        let register = register_tile();
        for col in (0..self.cols).step_by(COLS) {
            let cols = COLS.min(self.cols - col);
            let at = word * self.cols + col;
            let from = if begun { self.dw.cast_const() } else { self.init };
            let start = if from.is_null() {
                Start::zero()
            } else {
                Start { from: from.wrapping_add(at), row: self.cols, add: core::ptr::null() }
            };
            // SAFETY: words and columns of the block, counted rows of x.
            unsafe {
                let row = |k: usize| self.x.wrapping_add(columns.row(k) * self.cols + col);
                pack_rows_by(row, columns.count, cols, register.nr(), packed);
                let product = Product {
                    left: Left { ptr: logits, row: columns.stride, step: 1 },
                    rows: words,
                    packed,
                    cols,
                    depth: columns.count,
                    start,
                    out: self.dw.add(at),
                    out_row: self.cols,
                    wanted: Wanted::All,
                    steps: Steps::All,
                };
                product.run(register);
            }
        }
    }
}

impl TileOp for LinearCrossEntropyBackwardW {
    fn tiles(&self) -> usize {
        self.vocab.div_ceil(self.word_block())
    }

    fn scratch_len(&self) -> usize {
        let most = self.row_chunk();
        Columns::scratch_len(most, self.cols)
            + Upstream::scratch_len(most)
            + self.word_block() * most
            + packed_len(most, COLS.min(self.cols), MAX_NR)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let head = self.head();
        let most = self.row_chunk();
        let word = tile * self.word_block();
        let words = self.word_block().min(self.vocab - word);
        let gathered = scratch.wrapping_add(Columns::scratch_len(most, self.cols));
        let logits = gathered.wrapping_add(Upstream::scratch_len(most));
        let packed = logits.wrapping_add(self.word_block() * most);
        let mut first = 0;
        // SAFETY: words of this tile, rows below `rows`; scratch divided as scratch_len counts.
        unsafe {
            // At least once: with no rows at all the initial values still have to reach dw.
            while first == 0 || first < self.rows {
                let n = most.min(self.rows - first);
                let columns = Columns::collect(&head, first, n, most, scratch)?;
                let upstream = Upstream::gather(&head, &columns, self.log_z, self.g, self.gz, gathered);
                if columns.count > 0 || first == 0 {
                    columns.logits(&head, word, words, logits, core::ptr::null_mut());
                    upstream.gradients(&columns, word, words, logits);
                    self.add_chunk(&columns, word, words, logits, first > 0, packed);
                }
                first += most;
            }
        }
        Ok(())
    }
}
