//! The gradient of the normalised rows: see `mod.rs`. With `g = dy·weight` and `h = (x − mean)·rstd`:
//! `dx = addend + rstd·(g − avg(g) − h·avg(g·h))`, averages over the row.

use crate::lanes::{folds, load, pair, range, rows_per_tile, store, store_pair};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// Gradient with respect to `x`.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormBackward {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[cols]` or null (ones)
    pub weight: *const f32,
    /// `[rows]`, from the forward op, or null: rows are not centred (RMSNorm)
    pub mean: *const f32,
    /// `[rows]`, from the forward op
    pub rstd: *const f32,
    /// `[rows, cols]`
    pub dy: *const f32,
    /// `[rows, cols]` or null: the gradient that arrives past the normalisation; may be `dx`
    pub addend: *const f32,
    /// `[rows, cols]`
    pub dx: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
}

impl TileOp for LayerNormBackward {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        for row in first..last {
            // SAFETY: row < rows; the flags say which operands are there.
            unsafe {
                match (self.weight.is_null(), self.addend.is_null()) {
                    (true, true) => self.row::<false, false>(row),
                    (true, false) => self.row::<false, true>(row),
                    (false, true) => self.row::<true, false>(row),
                    (false, false) => self.row::<true, true>(row),
                }
            }
        }
        Ok(())
    }
}

impl LayerNormBackward {
    /// # Safety
    /// As [`TileOp::run_tile`]; `row < rows`, `WEIGHT` and `ADDEND` say whether these operands are there.
    #[inline(never)]
    unsafe fn row<const WEIGHT: bool, const ADDEND: bool>(&self, row: usize) {
        let n = self.cols;
        // SAFETY: i + m <= cols, row < rows; null operands are not read.
        unsafe {
            let (x, dy, dx) = (self.x.add(row * n), self.dy.add(row * n), self.dx.add(row * n));
            let (weight, addend) = (self.weight, self.addend.wrapping_add(row * n));
            let centred = !self.mean.is_null();
            let (mean, rstd) = (if centred { *self.mean.add(row) } else { 0.0 }, *self.rstd.add(row));
            let (center, scale) = (F32x4::splat(mean), F32x4::splat(rstd));
            let weighted = |i: usize, m: usize| {
                let dy = load(dy.add(i), m);
                if WEIGHT {
                    dy * load(weight.add(i), m)
                } else {
                    dy
                }
            };
            // With d = x − mean, h is d·rstd.
            let [sum_g, sum_gd, sum_d] = folds(n, |i, m, [a, b, c]| {
                let (g, d) = (weighted(i, m), load(x.add(i), m) - center);
                [a + g, g.madd(d, b), c + d]
            });
            // Where rows are not centred neither average is taken off.
            let (sum_g, sum_d) = if centred { (sum_g, sum_d) } else { (0.0, 0.0) };
            // h as computed has the average `avg_h`, which is what rounding took from the mean: h − avg_h is the true one.
            let (per_count, rstd) = (1.0 / n as f64, f64::from(rstd));
            let (avg_g, avg_h) = (sum_g * per_count, sum_d * rstd * per_count);
            let avg_gh = sum_gd * rstd * per_count - avg_h * avg_g;
            // rstd·(g − avg_g − (h − avg_h)·avg_gh) = rstd·g + d·slope + constant
            let constant = F32x4::splat((-rstd * (avg_g - avg_h * avg_gh)) as f32);
            let slope = F32x4::splat((-rstd * rstd * avg_gh) as f32);
            let result = |x: F32x4, g: F32x4| g.madd(scale, (x - center).madd(slope, constant));
            let mut i = 0;
            while i + 8 <= n {
                let (x0, x1) = pair(x.add(i));
                let (mut g0, mut g1) = pair(dy.add(i));
                if WEIGHT {
                    let (w0, w1) = pair(weight.add(i));
                    (g0, g1) = (g0 * w0, g1 * w1);
                }
                let (mut d0, mut d1) = (result(x0, g0), result(x1, g1));
                if ADDEND {
                    let (a0, a1) = pair(addend.add(i));
                    (d0, d1) = (a0 + d0, a1 + d1);
                }
                store_pair(d0, d1, dx.add(i));
                i += 8;
            }
            while i < n {
                let m = (n - i).min(4);
                let mut d = result(load(x.add(i), m), weighted(i, m));
                if ADDEND {
                    d = load(addend.add(i), m) + d;
                }
                store(d, dx.add(i), m);
                i += m;
            }
        }
    }
}

/// Gradient of [`super::layer_norm_forward`] with respect to `x`, plus `addend`. # Panics if lengths disagree.
pub fn layer_norm_backward(
    x: &[f32],
    weight: Option<&[f32]>,
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    addend: Option<&[f32]>,
    dx: &mut [f32],
    cols: usize,
) {
    let rows = mean.len();
    assert!(
        x.len() == rows * cols && dy.len() == x.len() && dx.len() == x.len(),
        "layer_norm_backward: x, dy and dx must be [rows, cols]"
    );
    assert_eq!(rstd.len(), rows, "layer_norm_backward: mean and rstd must be [rows]");
    assert!(weight.is_none_or(|w| w.len() == cols), "layer_norm_backward: weight must be [cols]");
    assert!(addend.is_none_or(|a| a.len() == x.len()), "layer_norm_backward: addend must be [rows, cols]");
    let op = LayerNormBackward {
        x: x.as_ptr(),
        weight: weight.map_or(core::ptr::null(), <[f32]>::as_ptr),
        mean: mean.as_ptr(),
        rstd: rstd.as_ptr(),
        dy: dy.as_ptr(),
        addend: addend.map_or(core::ptr::null(), <[f32]>::as_ptr),
        dx: dx.as_mut_ptr(),
        rows,
        cols,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("layer_norm has no faults");
}

#[cfg(test)]
mod tests {
    use super::super::{layer_norm_forward, naive};
    use super::*;
    use crate::testkit::{close_by, same_bits, wide, Cases, Rng};

    /// Central differences of the f64 definition.
    fn want(x: &[f32], weight: Option<&[f32]>, dy: &[f32], addend: Option<&[f32]>, cols: usize) -> Vec<f64> {
        (0..x.len())
            .map(|j| {
                let at = j / cols * cols..(j / cols + 1) * cols;
                let base = wide(&x[at.clone()]);
                let value = |h: f64| {
                    let mut moved = base.clone();
                    moved[j % cols] += h;
                    let out = naive::row(&moved, weight, None, 1e-5f32 as f64).0;
                    out.iter().zip(&dy[at.clone()]).map(|(o, &d)| o * d as f64).sum::<f64>()
                };
                (value(1e-5) - value(-1e-5)) / 2e-5 + addend.map_or(0.0, |a| a[j] as f64)
            })
            .collect()
    }

    fn run(x: &[f32], weight: Option<&[f32]>, dy: &[f32], addend: Option<&[f32]>, cols: usize) -> Vec<f32> {
        let rows = x.len() / cols;
        let (mut out, mut mean, mut rstd) = (vec![0.0; x.len()], vec![0.0; rows], vec![0.0; rows]);
        layer_norm_forward(x, weight, None, &mut out, &mut mean, &mut rstd, cols, 1e-5);
        layer_norm_backward(x, weight, &mean, &rstd, dy, addend, &mut out, cols);
        out
    }

    #[test]
    fn equals_central_differences_at_every_width() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for cols in (1..=67).chain([255, 256, 257]) {
            for offset in [0.0f32, 1e4] {
                let x: Vec<f32> = rng.normals(2 * cols).iter().map(|v| v + offset).collect();
                let (dy, weight, addend) = (rng.normals(2 * cols), rng.normals(cols), rng.normals(2 * cols));
                for (w, a) in [
                    (None, None),
                    (Some(&weight[..]), None),
                    (None, Some(&addend[..])),
                    (Some(&weight[..]), Some(&addend[..])),
                ] {
                    let want = want(&x, w, &dy, a, cols);
                    // Two elements nearly equal make rstd, and with it every rounding, large.
                    let rstd =
                        |j: usize| naive::row(&wide(&x[j / cols * cols..(j / cols + 1) * cols]), None, None, 1e-5).2;
                    let bound = |j: usize| {
                        (1e-6 + if offset > 0.0 { 1e-6 } else { 0.0 }) * (1.0 + rstd(j) * 3.0) + 1e-5 * want[j].abs()
                    };
                    let name = || format!("cols {cols} offset {offset} weight {} addend {}", w.is_some(), a.is_some());
                    cases.check(name, close_by(&run(&x, w, &dy, a, cols), &want, bound));
                }
            }
        }
        cases.finish();
    }

    #[test]
    fn the_addend_may_be_the_result() {
        let mut rng = Rng::new(2);
        let (x, dy, weight, addend) = (rng.normals(4 * 33), rng.normals(4 * 33), rng.normals(33), rng.normals(4 * 33));
        let apart = run(&x, Some(&weight), &dy, Some(&addend), 33);
        let (mut out, mut mean, mut rstd) = (vec![0.0; 4 * 33], vec![0.0; 4], vec![0.0; 4]);
        layer_norm_forward(&x, Some(&weight), None, &mut out, &mut mean, &mut rstd, 33, 1e-5);
        let mut shared = addend.clone();
        let op = LayerNormBackward {
            x: x.as_ptr(),
            weight: weight.as_ptr(),
            mean: mean.as_ptr(),
            rstd: rstd.as_ptr(),
            dy: dy.as_ptr(),
            addend: shared.as_ptr(),
            dx: shared.as_mut_ptr(),
            rows: 4,
            cols: 33,
        };
        // SAFETY: sharing addend and dx is allowed.
        unsafe { crate::run_all(&op) }.unwrap();
        same_bits(&shared, &apart).unwrap();
    }

    #[test]
    fn constant_rows_have_finite_gradients_equal_to_the_reference() {
        let mut rng = Rng::new(3);
        for (cols, value) in [(8usize, 0.0f32), (64, 1.0), (65, 0.1), (1, 3.0)] {
            let (x, dy) = (vec![value; cols], rng.normals(cols));
            let got = run(&x, None, &dy, None, cols);
            // With variance 0: dx = (dy − avg dy)/√eps.
            let avg = dy.iter().map(|&d| d as f64).sum::<f64>() / cols as f64;
            let want: Vec<f64> = dy.iter().map(|&d| (d as f64 - avg) / (1e-5f32 as f64).sqrt()).collect();
            close_by(&got, &want, |j| 1e-3 + 1e-5 * want[j].abs()).unwrap_or_else(|e| panic!("{cols} x {value}: {e}"));
        }
    }
}
