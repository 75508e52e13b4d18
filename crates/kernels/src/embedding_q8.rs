//! Rows of a table stored as int8 blocks (opcode 65), by token id. The storage is that of `matmul/q8.rs`: one table serves
//! as embedding and as head.

use crate::embedding::id_at;
use crate::lanes::{range, rows_per_tile};
use crate::matmul::q8::{BLOCK, CELL_WORDS, COLS};
use crate::tile::{blocks, Fault, TileOp};

/// `out[r] = table[ids[r]]`, each element its integer times the scale of its block.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingQ8 {
    /// The cells of `[vocab, cols]`.
    pub table: *const i32,
    /// `[rows]`
    pub ids: *const i32,
    /// `[rows, cols]`
    pub out: *mut f32,
    /// Ids.
    pub rows: usize,
    /// Width of a table row.
    pub cols: usize,
    /// Rows of the table.
    pub vocab: usize,
}

impl TileOp for EmbeddingQ8 {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        for row in first..last {
            // SAFETY: row < rows, id < vocab, column < cols, all inside the cells and the result.
            unsafe {
                let id = id_at(self.ids, row, self.vocab)?;
                let cells = self.table.add(id / COLS * blocks(self.cols, BLOCK) * CELL_WORDS);
                for c in 0..self.cols {
                    let cell = cells.add(c / BLOCK * CELL_WORDS);
                    let pairs = cell as *const i8;
                    let q = *pairs.add(c % BLOCK / 2 * (2 * COLS) + id % COLS * 2 + c % 2);
                    let scale = *(cell as *const f32).add(BLOCK * COLS / 4 + id % COLS);
                    *self.out.add(row * self.cols + c) = f32::from(q) * scale;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::q8::tests::Weights;
    use crate::testkit::{run_reversed, Rng};
    use crate::tile::FaultCode;

    #[test]
    fn rows_are_the_scaled_integers() {
        let mut rng = Rng::new(3);
        for (vocab, cols) in [(1, 1), (9, 31), (20, 32), (23, 33), (8, 100)] {
            let table = Weights::random(&mut rng, vocab, cols);
            let ids: Vec<i32> = (0..50).map(|_| rng.below(vocab) as i32).collect();
            let mut out = vec![f32::NAN; 50 * cols];
            let (cells, out_ptr) = (table.cells.as_ptr(), out.as_mut_ptr());
            let op = EmbeddingQ8 { table: cells, ids: ids.as_ptr(), out: out_ptr, rows: 50, cols, vocab };
            // SAFETY: buffers of these sizes.
            unsafe { run_reversed(&op) }.unwrap();
            for (r, &id) in ids.iter().enumerate() {
                for c in 0..cols {
                    assert_eq!(out[r * cols + c], table.value(id as usize, c) as f32, "{vocab}x{cols} row {r}");
                }
            }
            for bad in [-1, vocab as i32, i32::MIN] {
                let op = EmbeddingQ8 { ids: &bad, rows: 1, ..op };
                let fault = Fault { code: FaultCode::TokenOutOfRange, at: 0, value: bad };
                // SAFETY: as above.
                assert_eq!(unsafe { run_reversed(&op) }, Err(fault));
            }
        }
    }
}
