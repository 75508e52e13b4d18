//! What the tests share: seeded data, comparisons that name the worst element, and a collector that reports every failing
//! case instead of the first. Compiled for tests (and behind the feature `testkit` for the crates above) only.

use crate::tile::{Fault, TileOp};

/// A small seeded generator (xorshift64*, Vigna 2016). Good enough for test data, not used by any kernel.
pub struct Rng(u64);

impl Rng {
    /// A generator whose sequence depends only on `seed`.
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03);
        for _ in 0..4 {
            rng.next_u32();
        }
        rng
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / 16_777_216.0
    }

    /// Uniform integer in `0..n` (n > 0; slightly biased, which no test minds).
    pub fn below(&mut self, n: usize) -> usize {
        (self.next_u32() as usize) % n
    }

    /// Standard normal (Box-Muller).
    pub fn normal(&mut self) -> f32 {
        let u = (self.next_u32() as f64 + 1.0) / 4_294_967_296.0;
        let v = self.next_u32() as f64 / 4_294_967_296.0;
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// `n` standard normals.
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }
}

/// The same numbers in f64, for oracles.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| v as f64).collect()
}

/// Whether every `|got − want| <= atol + rtol·|want|` (NaN equals only NaN, infinities only themselves).
/// The error names the worst element and how many are out.
pub fn close(got: &[f32], want: &[f64], atol: f64, rtol: f64) -> Result<(), String> {
    close_by(got, want, |i| atol + rtol * want[i].abs())
}

/// As [`close`], with a bound per element.
pub fn close_by(got: &[f32], want: &[f64], bound: impl Fn(usize) -> f64) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} elements, want {}", got.len(), want.len()));
    }
    let mut worst: Option<(usize, f64)> = None;
    let mut out = 0;
    for i in 0..got.len() {
        let (x, y) = (got[i] as f64, want[i]);
        if x == y || (x.is_nan() && y.is_nan()) {
            continue;
        }
        let ratio = (x - y).abs() / bound(i).max(f64::MIN_POSITIVE);
        if ratio.is_nan() || ratio > 1.0 {
            out += 1;
            let ratio = if ratio.is_nan() { f64::INFINITY } else { ratio };
            if worst.is_none_or(|(_, r)| ratio > r) {
                worst = Some((i, ratio));
            }
        }
    }
    match worst {
        None => Ok(()),
        Some((i, ratio)) => Err(format!(
            "{out} of {} elements out of bounds; worst [{i}]: got {:e}, want {:e}, {ratio:.2} x the bound",
            got.len(),
            got[i],
            want[i]
        )),
    }
}

/// Panics unless [`close`].
pub fn assert_close(got: &[f32], want: &[f64], atol: f64, rtol: f64) {
    if let Err(e) = close(got, want, atol, rtol) {
        panic!("{e}");
    }
}

/// Whether two results are the same bits, NaNs included.
pub fn same_bits(a: &[f32], b: &[f32]) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{} elements against {}", a.len(), b.len()));
    }
    match (0..a.len()).find(|&i| a[i].to_bits() != b[i].to_bits()) {
        None => Ok(()),
        Some(i) => Err(format!("bits differ first at [{i}]: {:e} and {:e}", a[i], b[i])),
    }
}

/// Collects the failures of many cases and reports all of them together.
#[derive(Default)]
pub struct Cases {
    run: usize,
    failures: Vec<String>,
}

impl Cases {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one case; `name` is made only if it failed.
    pub fn check(&mut self, name: impl FnOnce() -> String, result: Result<(), String>) {
        self.run += 1;
        if let Err(e) = result {
            self.failures.push(format!("{}: {e}", name()));
        }
    }

    /// Panics with every failure, or if no case was checked at all.
    pub fn finish(self) {
        assert!(self.run > 0, "no case was checked");
        assert!(
            self.failures.is_empty(),
            "{} of {} cases failed:\n{}",
            self.failures.len(),
            self.run,
            self.failures.join("\n")
        );
    }
}

/// Runs every tile from last to first, with scratch full of NaN before each: results must not depend on the order of tiles
/// or on what scratch holds.
///
/// # Safety
/// As [`TileOp::run_tile`], for every tile.
pub unsafe fn run_reversed<T: TileOp + ?Sized>(op: &T) -> Result<(), Fault> {
    let mut scratch = vec![f32::NAN; op.scratch_len()];
    for tile in (0..op.tiles()).rev() {
        scratch.fill(f32::NAN);
        // SAFETY: passed on from the caller; the scratch is ours and as long as asked.
        unsafe { op.run_tile(tile, scratch.as_mut_ptr())? };
    }
    Ok(())
}

/// The largest error of a [`sweep`] and where it was.
#[derive(Clone, Copy, Debug)]
pub struct Worst {
    /// The largest error; infinity where one was NaN.
    pub error: f64,
    /// The operand.
    pub at: f32,
}

/// Applies `f` to every `stride`-th of the 2³² floats, infinities and NaNs among them, four at a time, and returns the largest
/// `error(x, f(x))`. On two threads.
pub fn sweep(stride: usize, f: impl Fn([f32; 4]) -> [f32; 4] + Sync, error: impl Fn(f32, f32) -> f64 + Sync) -> Worst {
    let half = |start: u64| {
        let mut worst = Worst { error: 0.0, at: 0.0 };
        for bits in (start..start + (1 << 31)).step_by(4 * stride) {
            let x = core::array::from_fn(|lane| f32::from_bits((bits + (lane * stride) as u64) as u32));
            for (x, y) in x.into_iter().zip(f(x)) {
                let e = error(x, y);
                if e.is_nan() || e > worst.error {
                    worst = Worst { error: if e.is_nan() { f64::INFINITY } else { e }, at: x };
                }
            }
        }
        worst
    };
    let [a, b] = std::thread::scope(|scope| {
        let second = scope.spawn(|| half(1 << 31));
        [half(0), second.join().expect("the sweep does not panic")]
    });
    if a.error < b.error {
        b
    } else {
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_refuses_what_is_out_of_bounds_and_only_that() {
        assert!(close(&[1.0, 0.0], &[1.0, 0.0], 0.0, 0.0).is_ok());
        assert!(close(&[1.0e-6], &[0.0], 1e-6, 0.0).is_ok());
        assert!(close(&[1.1e-6], &[0.0], 1e-6, 1.0).is_err());
        assert!(close(&[f32::NAN], &[0.0], 1.0, 1.0).is_err());
        assert!(close(&[0.0], &[f64::NAN], 1.0, 1.0).is_err());
        assert!(close(&[f32::INFINITY], &[1.0], 1.0, 1.0).is_err());
        assert!(close(&[f32::NAN], &[f64::NAN], 0.0, 0.0).is_ok());
        assert!(close(&[1.0], &[], 1.0, 1.0).is_err());
        assert!(same_bits(&[0.0], &[-0.0]).is_err());
    }

    #[test]
    #[should_panic(expected = "1 of 2 cases failed")]
    fn cases_report_failures() {
        let mut cases = Cases::new();
        cases.check(|| "good".into(), Ok(()));
        cases.check(|| "bad".into(), Err("wrong".into()));
        cases.finish();
    }

    #[test]
    fn the_generator_is_seeded_and_roughly_normal() {
        let (a, b) = (Rng::new(1).normals(4000), Rng::new(1).normals(4000));
        assert_eq!(a, b);
        assert_ne!(a, Rng::new(2).normals(4000));
        let mean = a.iter().sum::<f32>() / 4000.0;
        let variance = a.iter().map(|x| x * x).sum::<f32>() / 4000.0;
        assert!(mean.abs() < 0.06 && (variance - 1.0).abs() < 0.1, "mean {mean}, variance {variance}");
    }
}
