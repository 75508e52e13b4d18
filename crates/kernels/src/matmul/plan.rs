//! How a product is cut: into work items for threads and into blocks for the caches. Every size is a function of the dims
//! and of the number of threads; the register tile does not enter. No cut shows in a bit.

use super::Form;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The cut of one product `[batch, m, k] x [batch, k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows of one work item.
    pub rows: usize,
    /// Columns of one work item.
    pub cols: usize,
    /// Steps of k that are packed at a time.
    pub depth: usize,
}

/// Up to this many rows B is read in place, once, instead of being packed (`gemv.rs`).
pub const FEW_ROWS: usize = 8;

/// Most columns of one work item with packed B.
pub const MOST_COLS: usize = 256;
/// Most steps of k that are packed at a time. Fewer steps make more passes over the result, which for long batches lies
/// outside the caches: 384 gave 96 GFLOP/s where 256 gave 84 (4096x1152x384, fused to 256 bit).
pub const MOST_DEPTH: usize = 384;
/// Most rows of one work item of the form TN, whose A is packed too. A multiple of [`ROWS`].
pub const MOST_PACKED_ROWS: usize = 240;
/// Most rows of one work item of the other forms. A multiple of [`ROWS`].
const MOST_ROWS: usize = 4104;
/// Every register tile's height divides this.
pub const ROWS: usize = 24;
const LEAST_ROWS: usize = 48;
const LEAST_COLS: usize = 64;
/// Columns of an item where it keeps at least [`MANY_ROWS`] rows: A then comes from memory half as often.
const WIDE_COLS: usize = 128;
const MANY_ROWS: usize = 512;
const LEAST_WORK: usize = 1 << 18;
const FEW_ROWS_WORK: usize = 1 << 16;

static THREADS: AtomicUsize = AtomicUsize::new(6);

/// How many threads share the work of products made from now on: work items become larger with fewer threads, since each
/// item packs its operands for itself. It changes speed, never a bit of any result.
pub fn set_threads(threads: usize) {
    THREADS.store(threads.max(1), Ordering::Relaxed);
}

/// What [`set_threads`] was told last.
pub fn threads() -> usize {
    THREADS.load(Ordering::Relaxed)
}

/// Steps of k packed at a time: equal parts of at most [`MOST_DEPTH`].
pub const fn depth_block(k: usize) -> usize {
    let parts = k.div_ceil(MOST_DEPTH);
    if parts == 0 {
        1
    } else {
        k.div_ceil(parts)
    }
}

impl Plan {
    /// The cut for these dims and `threads` threads.
    ///
    /// Caches: a packed panel is at most 384 steps x 16 columns x 4 bytes = 24 KiB, about what a 32 KiB first-level cache
    /// keeps beside the rows of one tile; the packed block is at most 384 x 256 x 4 = 384 KiB, a block of rows of A
    /// (`panels.rs`) 288 KiB, together two thirds of a 1 MiB second-level cache.
    ///
    /// Threads: four items each, where the product is large enough to give each 2^18 multiply-adds, about 10 us: enough
    /// for a thread that is held up to be relieved of its share. Where A is read in place, columns are split before rows:
    /// each item packs its columns of B, and the more rows use them the better. Where A is packed too, items are
    /// about as high as wide. Few rows (decoding) are one item per thread: memory is the limit, and it delivers more where
    /// each thread reads longer stretches of B's rows (two items each: 77 % of what a plain read gets, one: 87 %).
    pub fn new(threads: usize, form: Form, batch: usize, m: usize, n: usize, k: usize) -> Self {
        let depth = depth_block(k);
        if m <= FEW_ROWS {
            let least = (FEW_ROWS_WORK / k.max(1)).clamp(64, 1024);
            let cols = n.div_ceil(threads.max(1)).clamp(least, 1 << 20);
            return Self { rows: FEW_ROWS, cols: cols.next_multiple_of(16), depth };
        }
        let work = batch.max(1).saturating_mul(m).saturating_mul(n).saturating_mul(k);
        let items = (work / LEAST_WORK).clamp(1, 4 * threads.max(2)).div_ceil(batch.max(1));
        let col_blocks = match form {
            Form::Nn | Form::Nt | Form::Q8 => {
                let wide = items.min(n / WIDE_COLS).max(1);
                if m / items.div_ceil(wide) >= MANY_ROWS {
                    wide
                } else {
                    items.min(n / LEAST_COLS)
                }
            }
            // The side of a square item.
            Form::Tn => n.div_ceil((m * n / items).isqrt().max(LEAST_COLS)),
        };
        let col_blocks = col_blocks.max(n.div_ceil(MOST_COLS)).max(1);
        let most_rows = if form == Form::Tn { MOST_PACKED_ROWS } else { MOST_ROWS };
        let row_blocks = items.div_ceil(col_blocks).min(m / LEAST_ROWS).max(m.div_ceil(most_rows));
        let multiple = if n < 128 { 8 } else { 16 };
        Self {
            rows: m.div_ceil(row_blocks).next_multiple_of(ROWS),
            cols: n.div_ceil(col_blocks).next_multiple_of(multiple).max(multiple),
            depth,
        }
    }

    /// Work items of one matrix of the batch.
    pub fn items(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.cols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_training_shapes_are_cut_evenly_for_two_to_eight_threads() {
        // S, M and L of the design: forward and backward of linear layers.
        for (m, n, k) in [
            (768, 384, 128),
            (768, 128, 128),
            (768, 512, 128),
            (768, 128, 512),
            (768, 128, 384),
            (128, 512, 768),
            (512, 128, 768),
            (128, 384, 768),
            (4096, 1152, 384),
            (4096, 1536, 384),
            (4096, 384, 1536),
            (384, 1536, 4096),
            (256, 3072, 768),
            (256, 768, 3072),
            (768, 3072, 256),
        ] {
            for form in [Form::Nn, Form::Nt, Form::Tn] {
                // The largest item times the number of rounds, against a perfect share.
                for threads in [1, 2, 3, 4, 6, 8] {
                    let plan = Plan::new(threads, form, 1, m, n, k);
                    let rounds = plan.items(m, n).div_ceil(threads);
                    let time = rounds * plan.rows.min(m) * plan.cols.min(n);
                    let share = m * n / threads;
                    assert!(
                        time as f64 <= 1.5 * share as f64,
                        "{form:?} {m}x{n}x{k} on {threads}: {time} for {share}, {plan:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn blocks_fit_their_caches_and_cover_everything() {
        for m in [0, 1, 3, 4, 5, 65, 257, 5000] {
            for n in [0, 1, 8, 65, 257, 50257] {
                for k in [0, 1, 255, 256, 257, 512, 768, 4096] {
                    let plan = Plan::new(2, Form::Nn, 1, m, n, k);
                    assert!(plan.rows > 0 && plan.cols > 0 && plan.depth > 0 && plan.depth <= MOST_DEPTH);
                    assert!(m <= FEW_ROWS || plan.cols <= MOST_COLS && plan.rows <= MOST_ROWS, "{plan:?}");
                    assert!(plan.items(m, n) * plan.rows * plan.cols >= m * n);
                    let packed = Plan::new(2, Form::Tn, 1, m, n, k);
                    assert!(m <= FEW_ROWS || packed.rows <= MOST_PACKED_ROWS && packed.cols <= MOST_COLS, "{packed:?}");
                }
            }
        }
    }
}
