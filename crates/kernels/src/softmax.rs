//! Softmax and log-softmax over rows, and their gradient (opcodes 9 and 10).
//!
//! The row's maximum is subtracted first, so any finite offset is harmless; −infinity entries get probability 0. A row without
//! a finite entry gives zeros (logarithms: −infinity). Errors, measured below: probabilities 1e-6 absolute, their sum 2e-6;
//! logarithms 1e-6 + 1e-6·|ref|.

use crate::lanes::{load, map1, map1_sum, map2, maximum, range, rows_per_tile, sums};
use crate::scalar_math;
use crate::tile::{blocks, Fault, TileOp};
use crate::vecmath::Exp;
use simd::F32x4;

/// The maximum `m` of a row and `ln Σ e^(x − m)`; (−infinity, −infinity) if nothing is above −infinity.
///
/// # Safety
/// `x` readable for `n` floats.
pub unsafe fn log_sum_exp(x: *const f32, n: usize) -> (f32, f64) {
    // SAFETY: i + m <= n.
    unsafe {
        let max = maximum(x, n);
        if max == f32::NEG_INFINITY && !any_nan(x, n) {
            return (max, f64::NEG_INFINITY);
        }
        let (f, shift) = (Exp::new(), F32x4::splat(max));
        let [sum] = sums(n, |i, m| [f.eval_below(load(x.add(i), m) - shift)]);
        (max, scalar_math::ln(sum))
    }
}

/// # Safety
/// `x` readable for `n` floats.
unsafe fn any_nan(x: *const f32, n: usize) -> bool {
    // SAFETY: i < n.
    (0..n).any(|i| unsafe { *x.add(i) }.is_nan())
}

/// `out[r] = softmax(x[r])`, or its logarithm.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[rows, cols]`
    pub out: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Entries of a row.
    pub cols: usize,
    /// Whether logarithms of the probabilities are wanted.
    pub log: bool,
}

impl TileOp for Softmax {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        for row in first..last {
            // SAFETY: row < rows.
            unsafe {
                let (x, out) = (self.x.add(row * self.cols), self.out.add(row * self.cols));
                if self.log {
                    log_row(x, out, self.cols);
                } else {
                    row_of_probabilities(x, out, self.cols);
                }
            }
        }
        Ok(())
    }
}

/// # Safety
/// `x` readable and `out` writable for `n` floats; equal or not overlapping.
#[inline(never)]
unsafe fn row_of_probabilities(x: *const f32, out: *mut f32, n: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        let max = maximum(x, n);
        if max == f32::NEG_INFINITY && !any_nan(x, n) {
            return map1(x, out, n, |_| F32x4::zero());
        }
        let (f, shift) = (Exp::new(), F32x4::splat(max));
        let sum = map1_sum(x, out, n, |x| f.eval_below(x - shift));
        let factor = F32x4::splat((1.0 / sum) as f32);
        map1(out, out, n, |e| e * factor);
    }
}

/// # Safety
/// As [`row_of_probabilities`].
#[inline(never)]
unsafe fn log_row(x: *const f32, out: *mut f32, n: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        let (max, log_sum) = log_sum_exp(x, n);
        if log_sum == f64::NEG_INFINITY {
            return map1(x, out, n, |x| x);
        }
        let (shift, log_sum) = (F32x4::splat(max), F32x4::splat(log_sum as f32));
        map1(x, out, n, |x| (x - shift) - log_sum);
    }
}

/// `dx = y·(dy − Σ y·dy)`, or for log-softmax `dx = dy − e^y·Σ dy`; `y` is the forward result.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxBackward {
    /// `[rows, cols]`
    pub y: *const f32,
    /// `[rows, cols]`
    pub dy: *const f32,
    /// `[rows, cols]`
    pub dx: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Entries of a row.
    pub cols: usize,
    /// Whether `y` holds logarithms.
    pub log: bool,
}

impl TileOp for SoftmaxBackward {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        for row in first..last {
            let at = row * self.cols;
            // SAFETY: row < rows, i + m <= cols.
            unsafe {
                let (y, dy, dx) = (self.y.add(at), self.dy.add(at), self.dx.add(at));
                if self.log {
                    let [sum] = sums(self.cols, |i, m| [load(dy.add(i), m)]);
                    let (f, sum) = (Exp::new(), F32x4::splat(sum as f32));
                    map2(y, dy, dx, self.cols, |y, dy| dy - f.eval_below(y) * sum);
                } else {
                    let [dot] = sums(self.cols, |i, m| [load(y.add(i), m) * load(dy.add(i), m)]);
                    let dot = F32x4::splat(dot as f32);
                    map2(y, dy, dx, self.cols, |y, dy| y * (dy - dot));
                }
            }
        }
        Ok(())
    }
}

/// Softmax (or its logarithm) of every row of `x`, `[x.len() / cols, cols]`. # Panics if lengths disagree.
pub fn softmax_forward(x: &[f32], out: &mut [f32], cols: usize, log: bool) {
    let rows = rows_of(x, cols);
    assert_eq!(x.len(), out.len(), "softmax: x and out must have one length");
    let op = Softmax { x: x.as_ptr(), out: out.as_mut_ptr(), rows, cols, log };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("softmax has no faults");
}

/// Gradient of [`softmax_forward`] given its result `y`. # Panics if lengths disagree.
pub fn softmax_backward(y: &[f32], dy: &[f32], dx: &mut [f32], cols: usize, log: bool) {
    let rows = rows_of(y, cols);
    assert!(y.len() == dy.len() && y.len() == dx.len(), "softmax_backward: y, dy and dx must have one length");
    let op = SoftmaxBackward { y: y.as_ptr(), dy: dy.as_ptr(), dx: dx.as_mut_ptr(), rows, cols, log };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("softmax has no faults");
}

fn rows_of(x: &[f32], cols: usize) -> usize {
    let rows = x.len().checked_div(cols).unwrap_or(0);
    assert_eq!(rows * cols, x.len(), "softmax: x must be [rows, cols]");
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close, wide, Cases, Rng};

    /// The definition in f64.
    fn naive(x: &[f64], cols: usize, log: bool) -> Vec<f64> {
        let mut out = vec![];
        for row in x.chunks(cols.max(1)) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|v| (v - max).exp()).sum();
            out.extend(row.iter().map(|v| if log { v - max - sum.ln() } else { (v - max).exp() / sum }));
        }
        out
    }

    fn shapes() -> Vec<(usize, usize)> {
        let mut shapes: Vec<(usize, usize)> = (0..=67).map(|n| (3, n)).collect();
        shapes.extend([(2, 255), (2, 256), (2, 257), (1, 50_257), (5000, 5), (0, 7), (1, 1)]);
        shapes
    }

    #[test]
    fn forward_equals_the_definition_with_any_offset() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for (rows, cols) in shapes() {
            for offset in [0.0f32, 1e4, -1e4] {
                let x: Vec<f32> = rng.normals(rows * cols).iter().map(|v| v * 3.0 + offset).collect();
                for log in [false, true] {
                    let mut out = vec![f32::NAN; x.len()];
                    softmax_forward(&x, &mut out, cols, log);
                    let want = naive(&wide(&x), cols, log);
                    let mut result = close(&out, &want, 1e-6, if log { 1e-6 } else { 0.0 });
                    if !log {
                        for row in out.chunks(cols.max(1)) {
                            let sum: f64 = row.iter().map(|&v| v as f64).sum();
                            if (sum - 1.0).abs() > 2e-6 {
                                result = Err(format!("a row sums to {sum}"));
                            }
                        }
                    }
                    cases.check(|| format!("{rows}x{cols} offset {offset} log {log}"), result);
                }
            }
        }
        cases.finish();
    }

    #[test]
    fn extremes_give_no_nan() {
        let inf = f32::NEG_INFINITY;
        let mut cases = Cases::new();
        for row in [
            vec![-1e9, -1e9, 0.0, -1e9],
            vec![1e30, -1e30, 0.0, 1e30],
            vec![f32::MAX, f32::MIN, 0.0],
            vec![inf, 1.0, inf, 2.0, inf],
            vec![1e-40, 0.0, -1e-40],
            vec![-0.0; 9],
            vec![3.0],
        ] {
            for log in [false, true] {
                let mut out = vec![f32::NAN; row.len()];
                softmax_forward(&row, &mut out, row.len(), log);
                // In f32's range: a logarithm below it is −infinity, as is that of a −infinity entry.
                let want: Vec<f64> = naive(&wide(&row), row.len(), log).iter().map(|&w| w as f32 as f64).collect();
                cases.check(|| format!("{row:?} log {log}"), close(&out, &want, 1e-6, 1e-6));
            }
        }
        cases.finish();
        let mut out = [7.0; 9];
        softmax_forward(&[inf; 9], &mut out, 9, false);
        assert_eq!(out, [0.0; 9]);
        softmax_forward(&[inf; 9], &mut out, 9, true);
        assert_eq!(out, [inf; 9]);
        for bad in [f32::NAN, f32::INFINITY] {
            softmax_forward(&[1.0, bad, inf, inf, inf, inf, inf, inf, inf], &mut out, 9, false);
            assert!(out.iter().any(|v| v.is_nan()), "{bad} must show");
        }
        softmax_forward(&[inf, f32::NAN, inf, inf, inf, inf, inf, inf, inf], &mut out, 9, false);
        assert!(out[1].is_nan());
    }

    #[test]
    fn backward_equals_central_differences() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for cols in (1..=67).chain([255, 256, 257]) {
            for log in [false, true] {
                let x = rng.normals(2 * cols);
                let dy = rng.normals(2 * cols);
                let (mut y, mut dx) = (vec![0.0; 2 * cols], vec![f32::NAN; 2 * cols]);
                softmax_forward(&x, &mut y, cols, log);
                softmax_backward(&y, &dy, &mut dx, cols, log);
                let want: Vec<f64> = (0..2 * cols)
                    .map(|j| {
                        let row = j / cols * cols..(j / cols + 1) * cols;
                        let at = |h: f64| {
                            let mut moved = wide(&x[row.clone()]);
                            moved[j % cols] += h;
                            let y = naive(&moved, cols, log);
                            y.iter().zip(&dy[row.clone()]).map(|(y, &d)| y * d as f64).sum::<f64>()
                        };
                        (at(1e-5) - at(-1e-5)) / 2e-5
                    })
                    .collect();
                cases.check(|| format!("cols {cols} log {log}"), close(&dx, &want, 2e-6, 1e-5));
            }
        }
        cases.finish();
    }
}
