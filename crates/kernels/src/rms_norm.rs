//! Root-mean-square normalisation over rows (Zhang and Sennrich, arXiv:1910.07467), opcodes 41 to 43:
//! `out = x·rstd·weight`, `rstd = 1/√(mean(x²) + eps)`. With `g = dy·weight`, `h = x·rstd`:
//! `dx = addend + rstd·(g − h·avg(g·h))`, `dweight = Σ_rows dy·h`.
//!
//! The kernels are those of LayerNorm without a mean (`layer_norm/`), so here are only their safe shells, the definition and the tests.
//! Sums of squares: eight f32 lanes over 256 elements, lanes and blocks in f64; rows with squares beyond f32 in f64.
//! Errors, measured in the tests: forward 5e-7·|ref|, dx 1e-6 + 1e-5·|ref|.

use crate::layer_norm::{LayerNorm, LayerNormBackward, LayerNormBackwardParams};
use core::ptr;

/// Normalises every row of `x`, `[rstd.len(), cols]`. # Panics if lengths disagree.
pub fn rms_norm_forward(x: &[f32], weight: Option<&[f32]>, out: &mut [f32], rstd: &mut [f32], cols: usize, eps: f32) {
    let rows = rstd.len();
    assert!(x.len() == rows * cols && out.len() == x.len(), "rms_norm: x and out must be [rows, cols]");
    assert!(weight.is_none_or(|w| w.len() == cols), "rms_norm: weight must be [cols]");
    let op = LayerNorm {
        x: x.as_ptr(),
        weight: weight.map_or(ptr::null(), <[f32]>::as_ptr),
        bias: ptr::null(),
        out: out.as_mut_ptr(),
        mean: ptr::null_mut(),
        rstd: rstd.as_mut_ptr(),
        rows,
        cols,
        eps,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("rms_norm has no faults");
}

/// Gradient of [`rms_norm_forward`] with respect to `x`, plus `addend`. # Panics if lengths disagree.
pub fn rms_norm_backward(
    x: &[f32],
    weight: Option<&[f32]>,
    rstd: &[f32],
    dy: &[f32],
    addend: Option<&[f32]>,
    dx: &mut [f32],
    cols: usize,
) {
    let rows = rstd.len();
    let n = rows * cols;
    assert!([x.len(), dy.len(), dx.len()] == [n; 3], "rms_norm_backward: x, dy and dx must be [rows, cols]");
    assert!(weight.is_none_or(|w| w.len() == cols), "rms_norm_backward: weight must be [cols]");
    assert!(addend.is_none_or(|a| a.len() == n), "rms_norm_backward: addend must be [rows, cols]");
    let op = LayerNormBackward {
        x: x.as_ptr(),
        weight: weight.map_or(ptr::null(), <[f32]>::as_ptr),
        mean: ptr::null(),
        rstd: rstd.as_ptr(),
        dy: dy.as_ptr(),
        addend: addend.map_or(ptr::null(), <[f32]>::as_ptr),
        dx: dx.as_mut_ptr(),
        rows,
        cols,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("rms_norm has no faults");
}

/// Gradient of the weight; `x` and `dy` are `[rstd.len(), dweight.len()]`. # Panics if lengths disagree.
pub fn rms_norm_backward_params(x: &[f32], rstd: &[f32], dy: &[f32], dweight: &mut [f32]) {
    let (rows, cols) = (rstd.len(), dweight.len());
    assert!([x.len(), dy.len()] == [rows * cols; 2], "rms_norm_backward_params: x and dy must be [rows, cols]");
    let op = LayerNormBackwardParams {
        x: x.as_ptr(),
        mean: ptr::null(),
        rstd: rstd.as_ptr(),
        dy: dy.as_ptr(),
        dweight: dweight.as_mut_ptr(),
        dbias: ptr::null_mut(),
        rows,
        cols,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("rms_norm has no faults");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close, close_by, same_bits, wide, Cases, Rng};

    const EPS: f32 = 1e-5;

    /// The definition in f64: out and rstd of one row.
    fn naive(x: &[f64], weight: Option<&[f32]>) -> (Vec<f64>, f64) {
        let rstd = 1.0 / (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + f64::from(EPS)).sqrt();
        (x.iter().enumerate().map(|(i, v)| v * rstd * weight.map_or(1.0, |w| f64::from(w[i]))).collect(), rstd)
    }

    fn forward(x: &[f32], weight: Option<&[f32]>, cols: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut out, mut rstd) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len() / cols]);
        rms_norm_forward(x, weight, &mut out, &mut rstd, cols, EPS);
        (out, rstd)
    }

    #[test]
    fn forward_equals_the_definition_at_every_width_and_size() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let shapes = (1..=67).map(|c| (3, c)).chain([(2, 255), (2, 256), (2, 257), (5, 768), (1, 20_000), (2000, 9)]);
        for (rows, cols) in shapes {
            let weight = rng.normals(cols);
            for (scale, offset) in [(1.0f32, 0.0f32), (1.0, 1e4), (1e30, 0.0), (1e-30, 0.0), (0.0, 0.0), (1e-3, 0.5)] {
                let x: Vec<f32> = rng.normals(rows * cols).iter().map(|v| v * scale + offset).collect();
                for w in [None, Some(&weight[..])] {
                    let (out, rstd) = forward(&x, w, cols);
                    let result = (0..rows).try_for_each(|r| {
                        let at = r * cols..(r + 1) * cols;
                        let (want, s) = naive(&wide(&x[at.clone()]), w);
                        close(&out[at], &want, 1e-37, 5e-7).map_err(|e| format!("out: {e}"))?;
                        close(&rstd[r..=r], &[s], 0.0, 3e-7).map_err(|e| format!("rstd: {e}"))
                    });
                    cases.check(|| format!("{rows}x{cols} x{scale:e} +{offset:e} weight {}", w.is_some()), result);
                }
            }
        }
        cases.finish();
    }

    #[test]
    fn backward_equals_central_differences_at_every_width() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for cols in (1..=67).chain([255, 256, 257]) {
            let (x, dy, weight, addend) =
                (rng.normals(2 * cols), rng.normals(2 * cols), rng.normals(cols), rng.normals(2 * cols));
            for (w, a) in [
                (None, None),
                (Some(&weight[..]), None),
                (None, Some(&addend[..])),
                (Some(&weight[..]), Some(&addend[..])),
            ] {
                let (_, rstd) = forward(&x, w, cols);
                let mut dx = vec![f32::NAN; x.len()];
                rms_norm_backward(&x, w, &rstd, &dy, a, &mut dx, cols);
                let want: Vec<f64> = (0..x.len())
                    .map(|j| {
                        let at = j / cols * cols..(j / cols + 1) * cols;
                        let value = |h: f64| {
                            let mut moved = wide(&x[at.clone()]);
                            moved[j % cols] += h;
                            let out = naive(&moved, w).0;
                            out.iter().zip(&dy[at.clone()]).map(|(o, &d)| o * f64::from(d)).sum::<f64>()
                        };
                        (value(1e-5) - value(-1e-5)) / 2e-5 + a.map_or(0.0, |a| f64::from(a[j]))
                    })
                    .collect();
                let bound = |j: usize| 1e-6 * (1.0 + f64::from(rstd[j / cols]) * 3.0) + 1e-5 * want[j].abs();
                let name = || format!("cols {cols} weight {} addend {}", w.is_some(), a.is_some());
                cases.check(name, close_by(&dx, &want, bound));
            }
        }
        cases.finish();
    }

    #[test]
    fn the_gradient_of_the_weight_is_a_chain_over_rows() {
        let (mut rng, mut cases) = (Rng::new(3), Cases::new());
        for (rows, cols) in [(1, 1), (3, 5), (7, 64), (33, 65), (130, 257)] {
            let (x, dy) = (rng.normals(rows * cols), rng.normals(rows * cols));
            let (_, rstd) = forward(&x, None, cols);
            let mut got = vec![f32::NAN; cols];
            rms_norm_backward_params(&x, &rstd, &dy, &mut got);
            let want: Vec<f64> = (0..cols)
                .map(|c| {
                    let term = |r: usize| f64::from(dy[r * cols + c]) * f64::from(x[r * cols + c]) * f64::from(rstd[r]);
                    (0..rows).map(term).sum()
                })
                .collect();
            cases.check(|| format!("{rows}x{cols}"), close(&got, &want, 1e-5, 1e-5));
        }
        cases.finish();
    }

    #[test]
    fn rows_do_not_depend_on_their_neighbours_and_nan_shows() {
        let mut x = Rng::new(4).normals(5 * 77);
        let (whole, _) = forward(&x, None, 77);
        for r in 0..5 {
            same_bits(&whole[r * 77..(r + 1) * 77], &forward(&x[r * 77..(r + 1) * 77], None, 77).0).unwrap();
        }
        x[2 * 77 + 3] = f32::NAN;
        let (out, _) = forward(&x, None, 77);
        assert!(out[2 * 77..3 * 77].iter().all(|v| v.is_nan()));
        same_bits(&out[..2 * 77], &whole[..2 * 77]).unwrap();
        assert_eq!(forward(&[0.0; 8], None, 8).0, [0.0; 8]);
    }
}
