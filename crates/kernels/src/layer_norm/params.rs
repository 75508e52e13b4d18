//! The gradients of weight and bias: `dweight[c] = Σ_r dy·(x − mean)·rstd`, `dbias[c] = Σ_r dy`, each one f32 chain over ascending rows.

use crate::lanes::{columns_per_tile, load, pair, range, store, store_pair};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// Rows that are added to a column's two sums while these are in registers.
const GROUP: usize = 4;

/// Gradients with respect to weight and bias.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormBackwardParams {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[rows]`, from the forward op, or null: rows are not centred (RMSNorm)
    pub mean: *const f32,
    /// `[rows]`, from the forward op
    pub rstd: *const f32,
    /// `[rows, cols]`
    pub dy: *const f32,
    /// `[cols]`
    pub dweight: *mut f32,
    /// `[cols]` or null
    pub dbias: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

impl LayerNormBackwardParams {
    /// Adds `R` rows from `row` on to the sums of columns `start .. end`.
    ///
    /// # Safety
    /// The rows and columns exist; `dbias` is valid for these columns.
    #[inline(always)]
    unsafe fn add_rows<const R: usize>(&self, dbias: *mut f32, row: usize, start: usize, end: usize) {
        let mut c = start;
        // SAFETY: row + r < rows, c + m <= end <= cols.
        unsafe {
            let row_of: [_; R] = core::array::from_fn(|r| {
                let (row, at) = (row + r, (row + r) * self.cols);
                let mean = if self.mean.is_null() { F32x4::zero() } else { F32x4::load_splat(self.mean.add(row)) };
                let rstd = F32x4::load_splat(self.rstd.add(row));
                (self.x.add(at), self.dy.add(at), mean, rstd)
            });
            while c + 8 <= end {
                let (mut w0, mut w1) = pair(self.dweight.add(c));
                let (mut b0, mut b1) = pair(dbias.wrapping_add(c));
                for (x, dy, mean, rstd) in row_of {
                    let ((x0, x1), (g0, g1)) = (pair(x.add(c)), pair(dy.add(c)));
                    (w0, w1) = (g0.madd((x0 - mean) * rstd, w0), g1.madd((x1 - mean) * rstd, w1));
                    (b0, b1) = (b0 + g0, b1 + g1);
                }
                store_pair(w0, w1, self.dweight.add(c));
                store_pair(b0, b1, dbias.wrapping_add(c));
                c += 8;
            }
            while c < end {
                let m = (end - c).min(4);
                let mut w = load(self.dweight.add(c), m);
                let mut b = load(dbias.wrapping_add(c), m);
                for (x, dy, mean, rstd) in row_of {
                    let g = load(dy.add(c), m);
                    w = g.madd((load(x.add(c), m) - mean) * rstd, w);
                    b = b + g;
                }
                store(w, self.dweight.add(c), m);
                store(b, dbias.wrapping_add(c), m);
                c += m;
            }
        }
    }
}

impl TileOp for LayerNormBackwardParams {
    fn tiles(&self) -> usize {
        blocks(self.cols, columns_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        if self.dbias.is_null() {
            columns_per_tile(self.cols)
        } else {
            0
        }
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, columns_per_tile(self.cols), self.cols);
        // Without a bias its sums go into scratch: one loop is enough.
        let dbias = if self.dbias.is_null() { scratch.wrapping_sub(start) } else { self.dbias };
        // SAFETY: start <= end <= cols, row + GROUP <= rows, and scratch holds the columns of a tile.
        unsafe {
            for sums in [self.dweight, dbias] {
                core::ptr::write_bytes(sums.wrapping_add(start), 0, end - start);
            }
            let mut row = 0;
            while row + GROUP <= self.rows {
                self.add_rows::<GROUP>(dbias, row, start, end);
                row += GROUP;
            }
            for row in row..self.rows {
                self.add_rows::<1>(dbias, row, start, end);
            }
        }
        Ok(())
    }
}

/// Gradients of weight and bias; `x` and `dy` are `[mean.len(), dweight.len()]`. # Panics if lengths disagree.
pub fn layer_norm_backward_params(
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
    dbias: Option<&mut [f32]>,
) {
    let (rows, cols) = (mean.len(), dweight.len());
    assert!(x.len() == rows * cols && dy.len() == x.len(), "layer_norm_backward_params: x and dy must be [rows, cols]");
    assert_eq!(rstd.len(), rows, "layer_norm_backward_params: mean and rstd must be [rows]");
    assert!(dbias.as_ref().is_none_or(|b| b.len() == cols), "layer_norm_backward_params: dbias must be [cols]");
    let op = LayerNormBackwardParams {
        x: x.as_ptr(),
        mean: mean.as_ptr(),
        rstd: rstd.as_ptr(),
        dy: dy.as_ptr(),
        dweight: dweight.as_mut_ptr(),
        dbias: dbias.map_or(core::ptr::null_mut(), <[f32]>::as_mut_ptr),
        rows,
        cols,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("layer_norm has no faults");
}

#[cfg(test)]
mod tests {
    use super::super::naive;
    use super::*;
    use crate::testkit::{close_by, run_reversed, same_bits, wide, Cases, Rng};

    /// Rows, their f32 statistics, and the gradients in f64.
    fn case(rows: usize, cols: usize, rng: &mut Rng) -> (Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>) {
        let (x, dy) = (rng.normals(rows * cols), rng.normals(rows * cols));
        let stats = |r: usize| naive::row(&wide(&x[r * cols..(r + 1) * cols]), None, None, 1e-5);
        let (mean, rstd) = (0..rows).map(|r| (stats(r).1 as f32, stats(r).2 as f32)).unzip();
        (x, dy, mean, rstd)
    }

    #[test]
    fn equals_f64_sums_at_every_width() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let shapes = (1..=67).map(|c| (9, c)).chain([(0, 5), (1, 5), (64, 130), (300, 33), (20_000, 17)]);
        for (rows, cols) in shapes {
            let (x, dy, mean, rstd) = case(rows, cols, &mut rng);
            let (mut dw, mut db) = (vec![f32::NAN; cols], vec![f32::NAN; cols]);
            layer_norm_backward_params(&x, &mean, &rstd, &dy, &mut dw, Some(&mut db));
            let term = |r: usize, c: usize| {
                let (x, m, s) = (x[r * cols + c] as f64, mean[r] as f64, rstd[r] as f64);
                dy[r * cols + c] as f64 * (x - m) * s
            };
            let w: Vec<f64> = (0..cols).map(|c| (0..rows).map(|r| term(r, c)).sum()).collect();
            let b: Vec<f64> = (0..cols).map(|c| (0..rows).map(|r| dy[r * cols + c] as f64).sum()).collect();
            let size = |c: usize| (0..rows).map(|r| term(r, c).abs() + dy[r * cols + c].abs() as f64).sum::<f64>();
            let bound = |c: usize| 1e-9 + 5e-7 * size(c);
            let result = close_by(&dw, &w, bound).and_then(|()| close_by(&db, &b, bound));
            cases.check(|| format!("{rows}x{cols}"), result);
            let mut alone = vec![f32::NAN; cols];
            layer_norm_backward_params(&x, &mean, &rstd, &dy, &mut alone, None);
            cases.check(|| format!("{rows}x{cols} without bias"), same_bits(&alone, &dw));
        }
        cases.finish();
    }

    #[test]
    fn tiles_may_run_in_any_order() {
        let (rows, cols) = (2000, 200);
        let (x, dy, mean, rstd) = case(rows, cols, &mut Rng::new(2));
        let (mut dw, mut db, mut dw2, mut db2) = (vec![0.0; cols], vec![0.0; cols], vec![1.0; cols], vec![1.0; cols]);
        layer_norm_backward_params(&x, &mean, &rstd, &dy, &mut dw, Some(&mut db));
        let op = LayerNormBackwardParams {
            x: x.as_ptr(),
            mean: mean.as_ptr(),
            rstd: rstd.as_ptr(),
            dy: dy.as_ptr(),
            dweight: dw2.as_mut_ptr(),
            dbias: db2.as_mut_ptr(),
            rows,
            cols,
        };
        assert!(op.tiles() > 2);
        // SAFETY: lengths as above.
        unsafe { run_reversed(&op) }.unwrap();
        assert_eq!((dw, db), (dw2, db2));
    }
}
