//! Rows of a table by token id, and their gradient (opcodes 14 and 15). An id outside `0..vocab` is a
//! [`FaultCode::TokenOutOfRange`] that names its place and value.

use crate::lanes::{map2, range, rows_per_tile, TILE};
use crate::stored::{Storage, Stored};
use crate::tile::{blocks, Fault, FaultCode, TileOp};

/// The id at `row` as an index.
///
/// # Safety
/// `ids` readable at `row`.
#[inline(always)]
pub(crate) unsafe fn id_at(ids: *const i32, row: usize, vocab: usize) -> Result<usize, Fault> {
    // SAFETY: promised by the caller.
    let id = unsafe { *ids.add(row) };
    if id >= 0 && (id as usize) < vocab {
        Ok(id as usize)
    } else {
        Err(Fault { code: FaultCode::TokenOutOfRange, at: row as u32, value: id })
    }
}

/// `out[r] = table[ids[r]]`.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// `[vocab, cols]`
    pub table: *const f32,
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
    /// How the table is stored.
    pub storage: Storage,
}

impl TileOp for Embedding {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        let table = Stored { base: self.table, columns: self.cols, storage: self.storage };
        for row in first..last {
            // SAFETY: row < rows, id < vocab; the table and the result do not overlap.
            unsafe {
                let id = id_at(self.ids, row, self.vocab)?;
                table.widen(id, 1, 0, self.cols, self.out.add(row * self.cols));
            }
        }
        Ok(())
    }
}

/// `dtable[v] = init[v] + Σ dy[r]` over the rows with `ids[r] = v`, in ascending order of `r`.
///
/// A tile owns a rectangle of the table, so no two write one element. In place (`init` is `dtable`: a table tied to the head) only the
/// rows that an id names are touched, and tiles are ranges of columns: the work is `rows x cols` additions however tall the table
/// is and however often one token appears. Otherwise the whole table is written, by at most 128 ranges of rows where it is tall
/// (every tile scans all ids, which costs little beside writing its part), by columns where it is short.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingBackward {
    /// `[rows]`
    pub ids: *const i32,
    /// `[rows, cols]`
    pub dy: *const f32,
    /// `[vocab, cols]` or null (zeros); may be `dtable`
    pub init: *const f32,
    /// `[vocab, cols]`
    pub dtable: *mut f32,
    /// Ids.
    pub rows: usize,
    /// Width of a table row.
    pub cols: usize,
    /// Rows of the table.
    pub vocab: usize,
}

/// Most ranges of rows that a table is cut into: every one scans all ids.
const MOST_RANGES: usize = 128;

impl EmbeddingBackward {
    /// Height and width of a tile's rectangle.
    fn rectangle(&self) -> (usize, usize) {
        if self.vocab >= self.rows && !self.in_place() {
            ((2 * TILE / self.cols.max(1)).max(blocks(self.vocab, MOST_RANGES)).max(1), self.cols)
        } else {
            // A multiple of a cache line; rows·width is the work of adding.
            (self.vocab, (TILE / self.rows.max(1) / 16).max(1) * 16)
        }
    }

    fn in_place(&self) -> bool {
        !self.init.is_null() && core::ptr::eq(self.init, self.dtable)
    }
}

impl TileOp for EmbeddingBackward {
    fn tiles(&self) -> usize {
        if self.cols == 0 || self.vocab == 0 {
            return 0;
        }
        let (height, width) = self.rectangle();
        blocks(self.vocab, height) * blocks(self.cols, width)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (height, width) = self.rectangle();
        let across = blocks(self.cols, width);
        let (top, bottom) = range(tile / across, height, self.vocab);
        let (left, right) = range(tile % across, width, self.cols);
        let n = right - left;
        // SAFETY: top <= v < bottom <= vocab, left + n <= cols, row < rows.
        unsafe {
            let to_fill = if self.in_place() { top..top } else { top..bottom };
            for v in to_fill {
                let at = v * self.cols + left;
                if self.init.is_null() {
                    core::ptr::write_bytes(self.dtable.add(at), 0, n);
                } else {
                    core::ptr::copy_nonoverlapping(self.init.add(at), self.dtable.add(at), n);
                }
            }
            for row in 0..self.rows {
                let id = id_at(self.ids, row, self.vocab)?;
                if id >= top && id < bottom {
                    let d = self.dtable.add(id * self.cols + left);
                    map2(d, self.dy.add(row * self.cols + left), d, n, |d, dy| d + dy);
                }
            }
        }
        Ok(())
    }
}

/// `out[r] = table[ids[r]]`; `out` is `[ids.len(), cols]`. # Panics if lengths disagree.
pub fn embedding_forward(table: &[f32], ids: &[i32], out: &mut [f32], cols: usize, vocab: usize) -> Result<(), Fault> {
    assert_eq!(table.len(), vocab * cols, "embedding: table must be [vocab, cols]");
    assert_eq!(out.len(), ids.len() * cols, "embedding: out must be [rows, cols]");
    let op = Embedding {
        table: table.as_ptr(),
        ids: ids.as_ptr(),
        out: out.as_mut_ptr(),
        rows: ids.len(),
        cols,
        vocab,
        storage: Storage::F32,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }
}

/// Gradient of [`embedding_forward`] with respect to the table, on top of `init`. # Panics if lengths disagree.
pub fn embedding_backward(
    ids: &[i32],
    dy: &[f32],
    init: Option<&[f32]>,
    dtable: &mut [f32],
    cols: usize,
    vocab: usize,
) -> Result<(), Fault> {
    assert_eq!(dtable.len(), vocab * cols, "embedding_backward: dtable must be [vocab, cols]");
    assert_eq!(dy.len(), ids.len() * cols, "embedding_backward: dy must be [rows, cols]");
    assert!(init.is_none_or(|i| i.len() == dtable.len()), "embedding_backward: init must be [vocab, cols]");
    let op = EmbeddingBackward {
        ids: ids.as_ptr(),
        dy: dy.as_ptr(),
        init: init.map_or(core::ptr::null(), <[f32]>::as_ptr),
        dtable: dtable.as_mut_ptr(),
        rows: ids.len(),
        cols,
        vocab,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{run_reversed, same_bits, Cases, Rng};

    fn shapes() -> Vec<(usize, usize, usize)> {
        let mut shapes: Vec<_> = (0..=67).flat_map(|c| [(7, c, 5), (3, c, 11)]).collect();
        shapes.extend([(0, 4, 4), (300, 33, 7), (5000, 40, 3), (6, 16, 9000), (100, 1, 100), (40, 50, 70_000)]);
        shapes
    }

    #[test]
    fn rows_are_copied() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for (rows, cols, vocab) in shapes() {
            let table = rng.normals(vocab * cols);
            let ids: Vec<i32> = (0..rows).map(|_| rng.below(vocab) as i32).collect();
            let mut out = vec![f32::NAN; rows * cols];
            embedding_forward(&table, &ids, &mut out, cols, vocab).unwrap();
            let want: Vec<f32> = ids.iter().flat_map(|&i| table[i as usize * cols..][..cols].to_vec()).collect();
            cases.check(|| format!("{rows}x{cols} of {vocab}"), same_bits(&out, &want));
        }
        cases.finish();
    }

    #[test]
    fn gradients_are_chains_over_ascending_rows() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for (rows, cols, vocab) in shapes() {
            let dy = rng.normals(rows * cols);
            let ids: Vec<i32> = (0..rows).map(|_| rng.below(vocab) as i32).collect();
            let start = rng.normals(vocab * cols);
            for init in [None, Some(&start[..])] {
                let mut want = init.map_or(vec![0.0; vocab * cols], <[f32]>::to_vec);
                for (r, &id) in ids.iter().enumerate() {
                    for c in 0..cols {
                        want[id as usize * cols + c] += dy[r * cols + c];
                    }
                }
                let mut got = vec![f32::NAN; vocab * cols];
                embedding_backward(&ids, &dy, init, &mut got, cols, vocab).unwrap();
                cases.check(|| format!("{rows}x{cols} of {vocab} init {}", init.is_some()), same_bits(&got, &want));
                let mut shared = start.clone();
                let op = EmbeddingBackward {
                    ids: ids.as_ptr(),
                    dy: dy.as_ptr(),
                    init: shared.as_ptr(),
                    dtable: shared.as_mut_ptr(),
                    rows,
                    cols,
                    vocab,
                };
                // SAFETY: sharing init and dtable is allowed.
                unsafe { run_reversed(&op) }.unwrap();
                if init.is_some() {
                    cases.check(
                        || format!("{rows}x{cols} of {vocab} in place, tiles reversed"),
                        same_bits(&shared, &want),
                    );
                }
            }
        }
        cases.finish();
    }

    #[test]
    fn in_place_only_named_rows_are_touched() {
        // Reading or writing another row would be a race with nobody, but 150 MB of traffic for GPT-2's table.
        let (ids, dy) = ([3, 1, 3], [1.0f32; 3 * 20]);
        let mut table = vec![f32::from_bits(0x7fa0_0001); 5 * 20]; // a signalling NaN would come back quiet
        table[20..40].fill(1.0);
        table[60..80].fill(2.0);
        let dtable = table.as_mut_ptr();
        let op =
            EmbeddingBackward { ids: ids.as_ptr(), dy: dy.as_ptr(), init: dtable, dtable, rows: 3, cols: 20, vocab: 5 };
        // SAFETY: buffers of these sizes; init may be dtable.
        unsafe { run_reversed(&op) }.unwrap();
        assert!(table[20..40].iter().all(|&v| v == 2.0) && table[60..80].iter().all(|&v| v == 4.0));
        assert!([0..20, 40..60, 80..100].into_iter().all(|r| table[r].iter().all(|v| v.to_bits() == 0x7fa0_0001)));
    }

    #[test]
    fn bad_ids_are_named() {
        let table = [0.0; 10];
        for bad in [-1, 5, i32::MIN, i32::MAX] {
            let ids = [0, 4, bad, 1];
            let fault = Err(Fault { code: FaultCode::TokenOutOfRange, at: 2, value: bad });
            assert_eq!(embedding_forward(&table, &ids, &mut [0.0; 8], 2, 5), fault);
            assert_eq!(embedding_backward(&ids, &[0.0; 8], None, &mut [0.0; 10], 2, 5), fault);
            assert_eq!(embedding_backward(&ids, &[0.0; 20], None, &mut [0.0; 25], 5, 5), fault);
            let (dy, mut table) = ([0.0; 8], [0.0; 10]);
            let dtable = table.as_mut_ptr();
            let op = EmbeddingBackward {
                ids: ids.as_ptr(),
                dy: dy.as_ptr(),
                init: dtable,
                dtable,
                rows: 4,
                cols: 2,
                vocab: 5,
            };
            // SAFETY: buffers of these sizes; init may be dtable.
            assert_eq!(unsafe { run_reversed(&op) }, fault);
        }
    }
}
