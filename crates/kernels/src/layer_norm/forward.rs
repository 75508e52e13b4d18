//! The forward pass: see `mod.rs`.

use crate::lanes::{folds, load, map1, map2, map3, range, rows_per_tile, sums};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// Normalised rows and their statistics.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[cols]` or null (ones)
    pub weight: *const f32,
    /// `[cols]` or null (zeros)
    pub bias: *const f32,
    /// `[rows, cols]`
    pub out: *mut f32,
    /// `[rows]`, or null: rows are not centred (RMSNorm)
    pub mean: *mut f32,
    /// `[rows]`
    pub rstd: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Added to the variance; above 0.
    pub eps: f32,
}

impl TileOp for LayerNorm {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        for row in (first..last).step_by(2) {
            // SAFETY: row < rows.
            unsafe { self.rows_at([row, (row + 1).min(last - 1)]) };
        }
        Ok(())
    }
}

/// What a row is normalised with: `out = (x − mean)·scale + offset`.
#[derive(Clone, Copy)]
struct Statistics {
    mean: f32,
    rstd: f32,
    offset: f32,
}

impl LayerNorm {
    /// Two rows (or twice the same): what follows from a row's sums is one long chain, and two of them take hardly longer than one.
    ///
    /// # Safety
    /// As [`TileOp::run_tile`]; both rows exist.
    #[inline(never)]
    unsafe fn rows_at(&self, rows: [usize; 2]) {
        let n = self.cols;
        // SAFETY: i + m <= cols, row < rows.
        unsafe {
            let [x0, x1] = rows.map(|row| self.x.add(row * n));
            let per_count = 1.0 / n as f64;
            let centred = !self.mean.is_null();
            let means = if centred {
                let totals = sums(n, |i, m| [load(x0.add(i), m), load(x1.add(i), m)]);
                totals.map(|total| (total * per_count) as f32)
            } else {
                [0.0; 2]
            };
            let [c0, c1] = means.map(F32x4::splat);
            let [first0, second0, first1, second1] = folds(n, |i, m, [a, b, c, d]| {
                let (d0, d1) = (load(x0.add(i), m) - c0, load(x1.add(i), m) - c1);
                [a + d0, d0.madd(d0, b), c + d1, d1.madd(d1, d)]
            });
            let statistics = [(means[0], first0, second0), (means[1], first1, second1)].map(|(mean, first, second)| {
                // first/count is what rounding took from the mean; the variance about the true mean subtracts its square.
                let shift = if centred { first * per_count } else { 0.0 };
                let variance = (second * per_count - shift * shift).max(0.0);
                let rstd = 1.0 / (variance + f64::from(self.eps)).sqrt();
                let finite = mean.is_finite() && second.is_finite();
                finite.then_some(Statistics { mean, rstd: rstd as f32, offset: (-shift * rstd) as f32 })
            });
            self.normalise(rows[0], statistics[0]);
            if rows[1] != rows[0] {
                self.normalise(rows[1], statistics[1]);
            }
        }
    }

    /// # Safety
    /// As [`TileOp::run_tile`]; `row < rows`.
    #[inline(always)]
    unsafe fn normalise(&self, row: usize, statistics: Option<Statistics>) {
        let n = self.cols;
        // SAFETY: row < rows; null operands are not read.
        unsafe {
            let Some(Statistics { mean, rstd, offset }) = statistics else {
                return self.row_wide(row);
            };
            if !self.mean.is_null() {
                *self.mean.add(row) = mean;
            }
            *self.rstd.add(row) = rstd;
            let (x, out) = (self.x.add(row * n), self.out.add(row * n));
            let (center, scale, offset) = (F32x4::splat(mean), F32x4::splat(rstd), F32x4::splat(offset));
            let normal = |x: F32x4| (x - center).madd(scale, offset);
            match (self.weight.is_null(), self.bias.is_null()) {
                (true, true) => map1(x, out, n, normal),
                (true, false) => map2(x, self.bias, out, n, |x, b| normal(x) + b),
                (false, true) => map2(x, self.weight, out, n, |x, w| normal(x) * w),
                (false, false) => map3(x, self.weight, self.bias, out, n, |x, w, b| normal(x).madd(w, b)),
            }
        }
    }

    /// A row whose squares overflow f32 (elements beyond 1e19): everything in f64, slowly.
    ///
    /// # Safety
    /// As [`TileOp::run_tile`]; `row < rows`.
    #[cold]
    unsafe fn row_wide(&self, row: usize) {
        let n = self.cols;
        // SAFETY: i < cols, row < rows; null operands are not read.
        unsafe {
            let x = |i: usize| f64::from(*self.x.add(row * n + i));
            let centred = !self.mean.is_null();
            let mean = if centred { (0..n).fold(0.0, |s, i| s + x(i)) / n as f64 } else { 0.0 };
            let variance = (0..n).fold(0.0, |s, i| s + (x(i) - mean) * (x(i) - mean)) / n as f64;
            let rstd = 1.0 / (variance + f64::from(self.eps)).sqrt();
            if centred {
                *self.mean.add(row) = mean as f32;
            }
            *self.rstd.add(row) = rstd as f32;
            for i in 0..n {
                let weight = if self.weight.is_null() { 1.0 } else { f64::from(*self.weight.add(i)) };
                let bias = if self.bias.is_null() { 0.0 } else { f64::from(*self.bias.add(i)) };
                *self.out.add(row * n + i) = ((x(i) - mean) * rstd * weight + bias) as f32;
            }
        }
    }
}

/// Normalises every row of `x`, `[mean.len(), cols]`. # Panics if lengths disagree.
pub fn layer_norm_forward(
    x: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    out: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
    cols: usize,
    eps: f32,
) {
    let rows = mean.len();
    assert!(x.len() == rows * cols && out.len() == x.len(), "layer_norm: x and out must be [rows, cols]");
    assert_eq!(rstd.len(), rows, "layer_norm: mean and rstd must be [rows]");
    assert!([weight, bias].iter().flatten().all(|p| p.len() == cols), "layer_norm: weight and bias must be [cols]");
    let op = LayerNorm {
        x: x.as_ptr(),
        weight: weight.map_or(core::ptr::null(), <[f32]>::as_ptr),
        bias: bias.map_or(core::ptr::null(), <[f32]>::as_ptr),
        out: out.as_mut_ptr(),
        mean: mean.as_mut_ptr(),
        rstd: rstd.as_mut_ptr(),
        rows,
        cols,
        eps,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("layer_norm has no faults");
}

#[cfg(test)]
mod tests {
    use super::super::naive;
    use super::*;
    use crate::testkit::{close, wide, Cases, Rng};

    fn check(x: &[f32], weight: Option<&[f32]>, bias: Option<&[f32]>, cols: usize) -> Result<(), String> {
        let rows = x.len() / cols;
        let (mut out, mut mean, mut rstd) = (vec![f32::NAN; x.len()], vec![f32::NAN; rows], vec![f32::NAN; rows]);
        layer_norm_forward(x, weight, bias, &mut out, &mut mean, &mut rstd, cols, 1e-5);
        for r in 0..rows {
            let at = r * cols..(r + 1) * cols;
            let (want, m, s) = naive::row(&wide(&x[at.clone()]), weight, bias, 1e-5f32 as f64);
            close(&out[at], &want, 1e-5, 1.3e-6).map_err(|e| format!("out: {e}"))?;
            close(&mean[r..=r], &[m], 1e-6, 1e-6).map_err(|e| format!("mean: {e}"))?;
            close(&rstd[r..=r], &[s], 0.0, 2e-6).map_err(|e| format!("rstd: {e}"))?;
        }
        Ok(())
    }

    #[test]
    fn equals_the_definition_at_every_width_with_any_offset() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let shapes = (1..=67).map(|c| (3, c)).chain([(2, 255), (2, 256), (2, 257), (2, 768), (1, 20_000), (2000, 9)]);
        for (rows, cols) in shapes {
            let (weight, bias) = (rng.normals(cols), rng.normals(cols));
            for (scale, offset) in [(1.0f32, 0.0f32), (1.0, 1e4), (3.0, -1e4), (1e30, 0.0), (1e-30, 0.0), (1e-3, 0.5)] {
                let x: Vec<f32> = rng.normals(rows * cols).iter().map(|v| v * scale + offset).collect();
                for (w, b) in [
                    (None, None),
                    (Some(&weight[..]), None),
                    (None, Some(&bias[..])),
                    (Some(&weight[..]), Some(&bias[..])),
                ] {
                    let name =
                        || format!("{rows}x{cols} x{scale:e} +{offset:e} weight {} bias {}", w.is_some(), b.is_some());
                    cases.check(name, check(&x, w, b, cols));
                }
            }
        }
        cases.finish();
    }

    #[test]
    fn constant_rows_give_the_bias() {
        let mut cases = Cases::new();
        for cols in [1usize, 2, 3, 7, 8, 64, 300, 768] {
            for value in [0.0f32, -0.0, 1.0, 0.1, 1e4, -3.3e7, 1e30, 1e-40] {
                let x = vec![value; cols];
                let (mut out, mut mean, mut rstd) = (vec![f32::NAN; cols], [0.0], [0.0]);
                let bias = vec![0.25; cols];
                layer_norm_forward(&x, None, Some(&bias), &mut out, &mut mean, &mut rstd, cols, 1e-5);
                let result = close(&out, &vec![0.25; cols], 1e-5, 0.0);
                cases.check(|| format!("{cols} x {value:e}"), result);
            }
        }
        cases.finish();
    }

    #[test]
    fn rows_do_not_depend_on_their_neighbours() {
        let mut rng = Rng::new(3);
        let x = rng.normals(5 * 77);
        let run = |x: &[f32]| {
            let rows = x.len() / 77;
            let (mut out, mut mean, mut rstd) = (vec![0.0; x.len()], vec![0.0; rows], vec![0.0; rows]);
            layer_norm_forward(x, None, None, &mut out, &mut mean, &mut rstd, 77, 1e-5);
            out
        };
        let whole = run(&x);
        for r in 0..5 {
            assert_eq!(whole[r * 77..(r + 1) * 77], run(&x[r * 77..(r + 1) * 77]));
        }
    }

    #[test]
    fn nan_shows() {
        let (mut out, mut mean, mut rstd) = ([0.0; 3], [0.0], [0.0]);
        layer_norm_forward(&[1.0, f32::NAN, 2.0], None, None, &mut out, &mut mean, &mut rstd, 3, 1e-5);
        assert!(out.iter().all(|v| v.is_nan()));
    }
}
