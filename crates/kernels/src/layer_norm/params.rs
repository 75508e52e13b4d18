//! The gradients of weight and bias: `dweight[c] = Σ_r dy·(x − mean)·rstd`, `dbias[c] = Σ_r dy`, each one f32 chain over ascending rows.

use crate::lanes::{load, range, store, TILE};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// Columns whose two sums stay in registers while the rows go by: four vectors each, one cache line per row and operand.
const STRIP: usize = 16;

/// Gradients with respect to weight and bias.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormBackwardParams {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[rows]`, from the forward op
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
    fn width(&self) -> usize {
        (TILE / self.rows.max(1) / STRIP).max(1) * STRIP
    }

    /// Sums `V` vectors of columns from column `c`, `m` lanes of the last one.
    ///
    /// # Safety
    /// Columns `c .. c + 4·(V − 1) + m` exist.
    #[inline(always)]
    unsafe fn strip<const V: usize>(&self, c: usize, m: usize) {
        let (mut dw, mut db) = ([F32x4::zero(); V], [F32x4::zero(); V]);
        // SAFETY: row < rows, and the columns exist; dbias is written only if present.
        unsafe {
            for row in 0..self.rows {
                let (x, dy) = (self.x.add(row * self.cols + c), self.dy.add(row * self.cols + c));
                let (mean, rstd) = (F32x4::load_splat(self.mean.add(row)), F32x4::load_splat(self.rstd.add(row)));
                for v in 0..V {
                    let lanes = if v + 1 == V { m } else { 4 };
                    let g = load(dy.add(4 * v), lanes);
                    dw[v] = g.madd((load(x.add(4 * v), lanes) - mean) * rstd, dw[v]);
                    db[v] = db[v] + g;
                }
            }
            for v in 0..V {
                store(dw[v], self.dweight.add(c + 4 * v), if v + 1 == V { m } else { 4 });
            }
            if !self.dbias.is_null() {
                for v in 0..V {
                    store(db[v], self.dbias.add(c + 4 * v), if v + 1 == V { m } else { 4 });
                }
            }
        }
    }
}

impl TileOp for LayerNormBackwardParams {
    fn tiles(&self) -> usize {
        blocks(self.cols, self.width())
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (mut c, end) = range(tile, self.width(), self.cols);
        // SAFETY: every strip ends at or before `end <= cols`.
        unsafe {
            while c + STRIP <= end {
                self.strip::<{ STRIP / 4 }>(c, 4);
                c += STRIP;
            }
            while c + 4 <= end {
                self.strip::<1>(c, 4);
                c += 4;
            }
            if c < end {
                self.strip::<1>(c, end - c);
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
        let (rows, cols) = (2000, 100);
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
