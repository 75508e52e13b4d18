//! Normally and uniformly distributed initial values that are the same bits on every engine: Philox words, for normals Box-Muller in f64 and the
//! logarithm, sine and cosine of `scalar_math.rs`.
//!
//! Element `i` of a variable comes from block `i / 4` of the stream (seed, path = FNV-1a 64 of the variable's name, step = micro =
//! 0xFFFFFFFF, which no training step uses): words 0 and 1 make the first two normals, words 2 and 3 the others. Values reach
//! 6.66 standard deviations. A uniform number is word `i % 4` of the block.

use crate::philox::Stream;
use crate::scalar_math::{ln, sin_cos};

/// Standard normals by element.
#[derive(Clone, Copy, Debug)]
pub struct NormalStream {
    stream: Stream,
}

impl NormalStream {
    /// The normals of a variable; `seed` and `path` low word first.
    pub fn new(seed: [u32; 2], path: [u32; 2]) -> Self {
        Self { stream: Stream::new(seed, u32::MAX, u32::MAX, path) }
    }

    /// The normals of elements `4·block .. 4·block + 4`.
    pub fn block(&self, block: u64) -> [f64; 4] {
        let [a, b, c, d] = self.stream.block(block);
        let [n0, n1] = box_muller(a, b);
        let [n2, n3] = box_muller(c, d);
        [n0, n1, n2, n3]
    }
}

/// A word times this lies in [0, 1).
const STEP: f64 = 1.0 / 4_294_967_296.0;

/// Two independent standard normals from two words (Box and Muller 1958).
fn box_muller(a: u32, b: u32) -> [f64; 2] {
    let radius = (-2.0 * ln((f64::from(a) + 1.0) * STEP)).sqrt(); // the argument lies in (0, 1]
    let (sine, cosine) = sin_cos(core::f64::consts::TAU * (f64::from(b) * STEP));
    [radius * cosine, radius * sine]
}

/// `out[i] = mean + std·normal(first + i)`, rounded to f32 once. `first` is the element number of `out[0]`, so that a large variable
/// can be filled in pieces. `seed` and `path` low word first.
pub fn fill_normal(out: &mut [f32], first: u64, mean: f64, std: f64, seed: [u32; 2], path: [u32; 2]) {
    let normals = NormalStream::new(seed, path);
    fill_by_block(out, first, mean, std, |block| normals.block(block));
}

/// `out[i] = low + (high − low)·u(first + i)`, u from 0 to 1 − 2⁻³², rounded to f32 once (so `high` itself may come out). The arguments as of
/// [`fill_normal`].
pub fn fill_uniform(out: &mut [f32], first: u64, low: f64, high: f64, seed: [u32; 2], path: [u32; 2]) {
    let stream = Stream::new(seed, u32::MAX, u32::MAX, path);
    fill_by_block(out, first, low, high - low, |block| stream.block(block).map(|word| f64::from(word) * STEP));
}

/// `out[i] = offset + scale·x`, x element `(first + i) % 4` of block `(first + i) / 4`.
fn fill_by_block(out: &mut [f32], first: u64, offset: f64, scale: f64, numbers: impl Fn(u64) -> [f64; 4]) {
    let mut i = 0;
    while i < out.len() {
        let element = first + i as u64;
        let skip = (element % 4) as usize;
        for x in &numbers(element / 4)[skip..] {
            if i < out.len() {
                out[i] = (offset + scale * x) as f32;
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normals(n: usize, seed: u32) -> Vec<f32> {
        let mut out = vec![f32::NAN; n];
        fill_normal(&mut out, 0, 0.0, 1.0, [seed, 0], [3, 4]);
        out
    }

    #[test]
    fn moments_tails_and_neighbours_are_those_of_independent_normals() {
        let n = 400_000;
        let x = normals(n, 1);
        let moment = |k: i32| x.iter().map(|&v| (v as f64).powi(k)).sum::<f64>() / n as f64;
        let pairs = |lag: usize| x.iter().zip(&x[lag..]).map(|(&a, &b)| a as f64 * b as f64).sum::<f64>() / n as f64;
        let inside = x.iter().filter(|v| v.abs() < 1.0).count() as f64 / n as f64;
        // Standard errors: mean 0.0016, second 0.0022, third 0.006, fourth 0.016, pairs 0.0016, share 0.0007; bounds are 4 of them.
        assert!(moment(1).abs() < 0.0064 && (moment(2) - 1.0).abs() < 0.009 && moment(3).abs() < 0.025);
        assert!((moment(4) - 3.0).abs() < 0.062 && (inside - 0.682_689_5).abs() < 0.003, "{} {inside}", moment(4));
        for lag in 1..=4 {
            assert!(pairs(lag).abs() < 0.0064, "lag {lag}: {}", pairs(lag));
        }
        assert!(x.iter().all(|v| v.is_finite() && v.abs() < 6.67));
    }

    #[test]
    fn pieces_equal_the_whole_and_seeds_differ() {
        let whole = normals(67, 1);
        for cut in 0..=67 {
            let mut out = vec![f32::NAN; 67];
            let (a, b) = out.split_at_mut(cut);
            fill_normal(a, 0, 0.0, 1.0, [1, 0], [3, 4]);
            fill_normal(b, cut as u64, 0.0, 1.0, [1, 0], [3, 4]);
            assert_eq!(out, whole, "cut {cut}");
        }
        assert_ne!(whole, normals(67, 2));
        assert_eq!(normals(10, 1), whole[..10]);
    }

    #[test]
    fn mean_and_deviation_are_applied_and_rounded_once() {
        let normal = NormalStream::new([1, 0], [3, 4]);
        let mut out = [0.0; 9];
        fill_normal(&mut out, 0, 0.5, 0.02, [1, 0], [3, 4]);
        for i in 0..9 {
            assert_eq!(out[i], (0.5 + 0.02 * normal.block(i as u64 / 4)[i % 4]) as f32);
        }
        fill_normal(&mut out, 0, 0.25, 0.0, [1, 0], [3, 4]);
        assert_eq!(out, [0.25; 9]);
    }

    #[test]
    fn uniform_numbers_fill_their_interval_evenly_in_pieces_too() {
        let n = 400_000;
        let (low, high) = (-0.25f32, 0.75f32);
        let mut x = vec![f32::NAN; n];
        fill_uniform(&mut x, 0, low.into(), high.into(), [1, 0], [3, 4]);
        assert!(x.iter().all(|&v| v >= low && v <= high));
        // 16 equal parts: the share of each has a standard error of 0.0004; bounds are 4.5 of them. Neighbours are independent.
        for part in 0..16 {
            let inside = x.iter().filter(|&&v| ((v - low) * 16.0) as usize == part).count() as f64 / n as f64;
            assert!((inside - 1.0 / 16.0).abs() < 0.0018, "part {part}: {inside}");
        }
        for lag in 1..=4 {
            let product =
                x.iter().zip(&x[lag..]).map(|(&a, &b)| (f64::from(a) - 0.25) * (f64::from(b) - 0.25)).sum::<f64>();
            assert!((product / n as f64).abs() < 6e-4, "lag {lag}"); // standard error 1/12/√n = 1.3e-4
        }
        for cut in 0..=19 {
            let mut out = vec![f32::NAN; 19];
            let (a, b) = out.split_at_mut(cut);
            fill_uniform(a, 0, -0.25, 0.75, [1, 0], [3, 4]);
            fill_uniform(b, cut as u64, -0.25, 0.75, [1, 0], [3, 4]);
            assert_eq!(out, x[..19], "cut {cut}");
        }
        let mut other = vec![f32::NAN; 19];
        fill_uniform(&mut other, 0, -0.25, 0.75, [2, 0], [3, 4]);
        assert_ne!(other, x[..19]);
    }

    /// Written down once: the same bits natively, in every wasm build and on every engine.
    #[test]
    fn bits_are_fixed() {
        let got: Vec<u32> = normals(6, 42).iter().map(|v| v.to_bits()).collect();
        assert_eq!(got, FIXED, "{got:x?}");
    }

    // Computed independently with Python integers and its math library, then rounded to f32.
    const FIXED: [u32; 6] = [0xbf174f61, 0x3f8eced3, 0xbbe3fb69, 0xbfc105b6, 0x400c295f, 0xbf049372];
}
