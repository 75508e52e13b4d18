//! SwiGLU (Shazeer, arXiv:2002.05202): `out = silu(gate)·up`, `silu(g) = g·σ(g)`, and its gradients (opcodes 45 and 46), on rows that
//! may be strided, so that gate and up can lie side by side in one buffer.
//!
//! `1 − σ` is taken as `e^−g·σ`, which cancels nothing. Below −80 a gate counts as −80, where silu is −1e-33.
//! Errors, measured below: 1e-6·|ref|·(1 + |g|/16) + 1e-32·|up| (the exponent's rounding, forward), the same and 2e-7·|dout·up| (backward).

use crate::lanes::{load, map2, pair, range, rows_per_tile, store, store_pair};
use crate::tile::{blocks, Fault, TileOp};
use crate::vecmath::{splats, Exp2};
use simd::F32x4;

/// `silu` and what its slope is made of, constants loaded. Exponents are computed in base 2, where [`Exp2`] takes them as they are.
#[derive(Clone, Copy)]
struct Silu {
    exp2: Exp2,
    minus_log2e: F32x4,
    lowest: F32x4,
    highest: F32x4,
}

/// Beyond ±80 the result is the gate or 0 to the last digit; e^±80 is 1e±35, inside the range of [`Exp2`].
static SILU: [f32; 3] = [-core::f32::consts::LOG2_E, -80.0, 80.0];

impl Silu {
    #[inline(always)]
    fn new() -> Self {
        let [minus_log2e, lowest, highest] = splats(&SILU);
        Self { exp2: Exp2::new(), minus_log2e, lowest, highest }
    }

    /// The gate as it counts, and `e^−g`.
    #[inline(always)]
    fn odds(&self, gate: F32x4) -> (F32x4, F32x4) {
        let gate = gate.max(self.lowest);
        (gate, self.exp2.eval(gate.min(self.highest) * self.minus_log2e))
    }
}

/// `out[r, c] = silu(gate[r·gate_row + c])·up[r·up_row + c]`. `out` may be `gate` or `up` where its rows lie as theirs.
#[derive(Clone, Copy, Debug)]
pub struct Swiglu {
    /// Rows of `cols`, `gate_row` apart.
    pub gate: *const f32,
    /// Rows of `cols`, `up_row` apart.
    pub up: *const f32,
    /// `[rows, cols]`
    pub out: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements from one row of gates to the next.
    pub gate_row: usize,
    /// Elements from one row of `up` to the next.
    pub up_row: usize,
}

impl TileOp for Swiglu {
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
                let (gate, up) = (self.gate.add(row * self.gate_row), self.up.add(row * self.up_row));
                forward(gate, up, self.out.add(row * self.cols), self.cols);
            }
        }
        Ok(())
    }
}

/// # Safety
/// All valid for `n` floats; `out` is another operand or overlaps none.
#[inline(never)]
unsafe fn forward(gate: *const f32, up: *const f32, out: *mut f32, n: usize) {
    let silu = Silu::new();
    // SAFETY: passed on.
    unsafe {
        map2(gate, up, out, n, |gate, up| {
            let (gate, odds) = silu.odds(gate);
            gate / (silu.exp2.one + odds) * up
        });
    }
}

/// `dgate = dout·up·silu'(gate)`, `dup = dout·silu(gate)`; their rows lie as those of gate and up.
#[derive(Clone, Copy, Debug)]
pub struct SwigluBackward {
    /// As in [`Swiglu`].
    pub gate: *const f32,
    /// As in [`Swiglu`].
    pub up: *const f32,
    /// `[rows, cols]`
    pub dout: *const f32,
    /// Rows of `cols`, `gate_row` apart.
    pub dgate: *mut f32,
    /// Rows of `cols`, `up_row` apart.
    pub dup: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements from one row of gates to the next.
    pub gate_row: usize,
    /// Elements from one row of `up` to the next.
    pub up_row: usize,
}

impl TileOp for SwigluBackward {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        for row in first..last {
            let (g, u) = (row * self.gate_row, row * self.up_row);
            // SAFETY: row < rows.
            unsafe {
                let dout = self.dout.add(row * self.cols);
                backward(self.gate.add(g), self.up.add(u), dout, self.dgate.add(g), self.dup.add(u), self.cols);
            }
        }
        Ok(())
    }
}

/// # Safety
/// All valid for `n` floats; no result overlaps anything.
#[inline(never)]
unsafe fn backward(gate: *const f32, up: *const f32, dout: *const f32, dgate: *mut f32, dup: *mut f32, n: usize) {
    let silu = Silu::new();
    let gradients = |gate: F32x4, up: F32x4, dout: F32x4| {
        let (gate, odds) = silu.odds(gate);
        let sigmoid = silu.exp2.one / (silu.exp2.one + odds);
        let value = gate * sigmoid;
        (dout * up * (value * odds).madd(sigmoid, sigmoid), dout * value)
    };
    let mut i = 0;
    // SAFETY (whole body): every access is at i .. i + 8 <= n, or partial up to n.
    unsafe {
        while i + 8 <= n {
            let ((g0, g1), (u0, u1), (d0, d1)) = (pair(gate.add(i)), pair(up.add(i)), pair(dout.add(i)));
            let ((dg0, du0), (dg1, du1)) = (gradients(g0, u0, d0), gradients(g1, u1, d1));
            store_pair(dg0, dg1, dgate.add(i));
            store_pair(du0, du1, dup.add(i));
            i += 8;
        }
        while i < n {
            let m = (n - i).min(4);
            let (dg, du) = gradients(load(gate.add(i), m), load(up.add(i), m), load(dout.add(i), m));
            store(dg, dgate.add(i), m);
            store(du, dup.add(i), m);
            i += m;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close_by, run_reversed, same_bits, Cases, Rng};

    fn silu(g: f64) -> f64 {
        g / (1.0 + (-g).exp())
    }

    /// Rows of `cols` at `gap` elements from each other: out, dgate and dup (gaps of the gradients stay as they were).
    fn run(gate: &[f32], up: &[f32], dout: &[f32], rows: usize, cols: usize, row: usize) -> [Vec<f32>; 3] {
        let (mut out, mut dgate, mut dup) = (vec![f32::NAN; rows * cols], vec![7.0; gate.len()], vec![7.0; up.len()]);
        let (gate, up, dout) = (gate.as_ptr(), up.as_ptr(), dout.as_ptr());
        let (gate_row, up_row) = (row, row);
        let forward = Swiglu { gate, up, out: out.as_mut_ptr(), rows, cols, gate_row, up_row };
        let (dg, du) = (dgate.as_mut_ptr(), dup.as_mut_ptr());
        let backward = SwigluBackward { gate, up, dout, dgate: dg, dup: du, rows, cols, gate_row, up_row };
        // SAFETY: all hold `rows` rows of `cols` at these distances.
        unsafe { run_reversed(&forward).and_then(|()| run_reversed(&backward)) }.unwrap();
        [out, dgate, dup]
    }

    fn check(gate: &[f32], up: &[f32], dout: &[f32], cols: usize) -> Result<(), String> {
        let rows = gate.len() / cols.max(1);
        let [out, dgate, dup] = run(gate, up, dout, rows, cols, cols);
        let at = |i: usize| (f64::from(gate[i]), f64::from(up[i]), f64::from(dout[i]));
        let of =
            |f: fn(f64, f64, f64) -> f64| -> Vec<f64> { (0..out.len()).map(at).map(|(g, u, d)| f(g, u, d)).collect() };
        let relative = |i: usize| 1e-6 * (1.0 + at(i).0.abs() / 16.0);
        let want = of(|g, u, _| silu(g) * u);
        close_by(&out, &want, |i| relative(i) * want[i].abs() + 1e-32 * at(i).1.abs())
            .map_err(|e| format!("out: {e}"))?;
        let want = of(|g, _, d| silu(g) * d);
        close_by(&dup, &want, |i| relative(i) * want[i].abs() + 1e-32 * at(i).2.abs())
            .map_err(|e| format!("dup: {e}"))?;
        let want = of(|g, u, d| {
            let s = 1.0 / (1.0 + (-g).exp());
            d * u * (s + g * s * (1.0 / (1.0 + g.exp())))
        });
        close_by(&dgate, &want, |i| relative(i) * want[i].abs() + 2e-7 * (at(i).1 * at(i).2).abs())
            .map_err(|e| format!("dgate: {e}"))
    }

    #[test]
    fn forward_and_backward_equal_the_definition_at_every_length() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for (rows, cols) in (0..=67).map(|c| (3, c)).chain([(1, 20_000), (300, 65), (7, 5461)]) {
            let n = rows * cols;
            for scale in [1.0f32, 30.0, 1e-3] {
                let gate: Vec<f32> = rng.normals(n).iter().map(|x| x * scale).collect();
                let result = check(&gate, &rng.normals(n), &rng.normals(n), cols);
                cases.check(|| format!("{rows}x{cols} gates x{scale}"), result);
            }
        }
        let gates = [0.0, -0.0, 1e-30, -1e-30, 80.0, -80.0, 88.0, -88.0, 1e4, -1e4, 1e30, -1e30, f32::MIN_POSITIVE];
        cases.check(|| "corners".into(), check(&gates, &[2.0; 13], &[0.5; 13], 13));
        cases.finish();
    }

    #[test]
    fn the_slope_is_that_of_the_definition() {
        for g in [-9.0f64, -1.2785, -0.3, 0.0, 0.4, 2.0, 11.0] {
            let slope = (silu(g + 1e-6) - silu(g - 1e-6)) / 2e-6;
            let [_, dgate, _] = run(&[g as f32], &[1.0], &[1.0], 1, 1, 1);
            assert!((f64::from(dgate[0]) - slope).abs() < 1e-6, "{g}: {} and {slope}", dgate[0]);
        }
    }

    #[test]
    fn rows_may_lie_apart_and_side_by_side() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for (rows, cols) in [(3, 5), (4, 8), (2, 67), (9, 3000)] {
            let packed = rng.normals(rows * 2 * cols);
            let dout = rng.normals(rows * cols);
            let half = |x: &[f32], first: usize| -> Vec<f32> {
                x.chunks(2 * cols).flat_map(|row| row[first..first + cols].to_vec()).collect()
            };
            let want = run(&half(&packed, 0), &half(&packed, cols), &dout, rows, cols, cols);
            let got = run(&packed, &packed[cols..], &dout, rows, cols, 2 * cols);
            // The second operand begins `cols` later, so its halves lie first in what is left.
            let dup: Vec<f32> = [vec![0.0; cols], got[2].clone()].concat();
            let result = same_bits(&want[0], &got[0])
                .and_then(|()| same_bits(&want[1], &half(&got[1], 0)))
                .and_then(|()| same_bits(&want[2], &half(&dup, cols)));
            cases.check(|| format!("{rows}x{cols}"), result);
            assert!(half(&got[1], cols).iter().all(|&x| x == 7.0), "what lies between rows is left alone");
        }
        cases.finish();
    }

    #[test]
    fn in_place_gives_the_same_bits_and_nan_shows() {
        let mut rng = Rng::new(3);
        let (mut gate, up) = (rng.normals(133), rng.normals(133));
        let [want, ..] = run(&gate, &up, &up, 1, 133, 133);
        let (gate_row, up_row) = (133, 133);
        let op = Swiglu {
            gate: gate.as_ptr(),
            up: up.as_ptr(),
            out: gate.as_mut_ptr(),
            rows: 1,
            cols: 133,
            gate_row,
            up_row,
        };
        // SAFETY: out may be gate.
        unsafe { crate::run_all(&op) }.unwrap();
        same_bits(&want, &gate).unwrap();
        let nan = f32::NAN;
        let [out, dgate, dup] = run(&[nan, 1.0, 1.0, nan, 2.0], &[1.0, nan, 1.0, 1.0, 2.0], &[1.0; 5], 1, 5, 5);
        assert_eq!(out.map_nan(), [true, true, false, true, false]);
        assert_eq!(dgate.map_nan(), [true, true, false, true, false]);
        assert_eq!(dup.map_nan(), [true, false, false, true, false]);
    }

    trait MapNan {
        fn map_nan(&self) -> Vec<bool>;
    }

    impl MapNan for Vec<f32> {
        fn map_nan(&self) -> Vec<bool> {
            self.iter().map(|x| x.is_nan()).collect()
        }
    }
}
