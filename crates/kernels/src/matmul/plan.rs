//! How a product is cut: into work items for threads and into blocks for the caches. Every size is a function of the dims
//! only; neither the number of threads nor the register tile enters.

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

/// Below this many rows B is read in place, once, instead of being packed (`gemv.rs`): packing costs about as much as two
/// rows of arithmetic.
pub const FEW_ROWS: usize = 4;

const MOST_ROWS: usize = 256;
/// Most columns of one work item with packed B.
pub const MOST_COLS: usize = 256;
/// Most steps of k that are packed at a time.
pub const MOST_DEPTH: usize = 256;
const LEAST_SIDE: usize = 32;
const ITEMS: usize = 24;
const LEAST_WORK: usize = 1 << 18;
const FEW_ROWS_WORK: usize = 1 << 16;

/// Steps of k packed at a time: equal parts of at most 256.
pub const fn depth_block(k: usize) -> usize {
    let parts = k.div_ceil(MOST_DEPTH);
    if parts == 0 {
        1
    } else {
        k.div_ceil(parts)
    }
}

impl Plan {
    /// The cut for these dims.
    ///
    /// Caches: a packed panel is at most 256 steps x 8 columns x 4 bytes = 8 KiB (16 KiB with 16 columns), which stays in a
    /// 32 KiB first-level cache while the rows pass by; the packed block is at most 256 x 256 x 4 = 256 KiB and the rows of A
    /// beside it 256 x 256 x 4 = 256 KiB, together half of a 1 MiB second-level cache.
    ///
    /// Threads: 24 items (divisible by 2, 3, 4, 6, 8) where the product is large enough to give each 2^18 multiply-adds,
    /// about 10 us. Columns are split first, down to 32: splitting rows makes each part pack the same columns again, splitting
    /// columns only reads A again.
    pub fn new(batch: usize, m: usize, n: usize, k: usize) -> Self {
        let depth = depth_block(k);
        if m < FEW_ROWS {
            let cols = (FEW_ROWS_WORK / k.max(1)).clamp(128, 1024);
            return Self { rows: FEW_ROWS, cols: cols / 16 * 16, depth };
        }
        let work = batch.max(1).saturating_mul(m).saturating_mul(n).saturating_mul(k);
        let items = (work / LEAST_WORK).clamp(1, ITEMS).div_ceil(batch.max(1));
        let least_rows = m.div_ceil(MOST_ROWS);
        let col_blocks = items.div_ceil(least_rows).min(n / LEAST_SIDE).max(n.div_ceil(MOST_COLS)).max(1);
        let row_blocks = items.div_ceil(col_blocks).min(m / LEAST_SIDE).max(least_rows);
        let multiple = if n < 128 { 8 } else { 16 };
        Self {
            rows: m.div_ceil(row_blocks).next_multiple_of(4),
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
            let plan = Plan::new(1, m, n, k);
            // The largest item times the number of rounds, against a perfect share.
            for threads in [2, 3, 4, 6, 8] {
                let rounds = plan.items(m, n).div_ceil(threads);
                let time = rounds * plan.rows.min(m) * plan.cols.min(n);
                let share = m * n / threads;
                assert!(time as f64 <= 1.25 * share as f64, "{m}x{n}x{k} on {threads}: {time} for {share}, {plan:?}");
            }
        }
    }

    #[test]
    fn blocks_fit_their_caches_and_cover_everything() {
        for m in [0, 1, 3, 4, 5, 65, 257, 5000] {
            for n in [0, 1, 8, 65, 257, 50257] {
                for k in [0, 1, 255, 256, 257, 512, 768, 4096] {
                    let plan = Plan::new(1, m, n, k);
                    assert!(plan.rows > 0 && plan.cols > 0 && plan.depth > 0 && plan.depth <= MOST_DEPTH);
                    assert!(m < FEW_ROWS || plan.cols <= MOST_COLS && plan.rows <= MOST_ROWS, "{plan:?}");
                    assert!(plan.items(m, n) * plan.rows * plan.cols >= m * n);
                }
            }
        }
    }
}
