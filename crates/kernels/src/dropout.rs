//! Dropout (opcode 18): `out[i] = x[i]·(kept ? 1/(1 − p) : 0)`, decided by Philox (see `philox.rs`) from seed, step, micro-batch, module
//! path and element index alone. The gradient is the same op applied to `dy`.

use crate::lanes::{load, pair, range, store_pair, TILE};
use crate::philox::{Keep, Stream};
use crate::tile::{blocks, Fault, TileOp};

/// Zeroes elements with probability `p` and scales the rest. `out` may be `x`. With `p = 0` a copy.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// `[n]`
    pub x: *const f32,
    /// `[n]`
    pub out: *mut f32,
    /// Elements.
    pub n: usize,
    /// Probability of dropping, in `[0, 1]`.
    pub p: f32,
    /// FNV-1a 64 of the module path, low word.
    pub path_lo: u32,
    /// FNV-1a 64 of the module path, high word.
    pub path_hi: u32,
    /// Low word of the run's seed.
    pub seed_lo: u32,
    /// High word of the run's seed.
    pub seed_hi: u32,
    /// Optimizer step.
    pub step: u32,
    /// Micro-batch and shard index.
    pub micro: u32,
}

impl TileOp for Dropout {
    fn tiles(&self) -> usize {
        blocks(self.n, TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, TILE, self.n); // start is a multiple of 16
                                                      // SAFETY: start <= i < end <= n.
        unsafe {
            if self.p == 0.0 {
                core::ptr::copy(self.x.add(start), self.out.add(start), end - start);
                return Ok(());
            }
            let keep = self.keep();
            let mut i = start;
            while i + 32 <= end {
                let factors = keep.factors32(i as u64 / 4);
                let (x, out) = (self.x.add(i), self.out.add(i));
                for g in 0..2 {
                    let (x, out, [f0, f1, f2, f3]) = (x.add(16 * g), out.add(16 * g), factors[g]);
                    let ((x0, x1), (x2, x3)) = (pair(x), pair(x.add(8)));
                    store_pair(x0 * f0, x1 * f1, out);
                    store_pair(x2 * f2, x3 * f3, out.add(8));
                }
                i += 32;
            }
            while i < end {
                let m = (end - i).min(4);
                let v = load(self.x.add(i), m) * keep.factors4(i as u64 / 4);
                v.store_partial(self.out.add(i), m);
                i += m;
            }
        }
        Ok(())
    }
}

impl Dropout {
    fn keep(&self) -> Keep {
        let stream = Stream::new([self.seed_lo, self.seed_hi], self.step, self.micro, [self.path_lo, self.path_hi]);
        Keep::new(self.p, stream)
    }
}

/// Dropout on slices of equal length. # Panics if the lengths differ.
pub fn dropout(x: &[f32], out: &mut [f32], p: f32, seed: [u32; 2], step: u32, micro: u32, path: [u32; 2]) {
    assert_eq!(x.len(), out.len(), "dropout: x and out must have one length");
    let op = Dropout {
        x: x.as_ptr(),
        out: out.as_mut_ptr(),
        n: x.len(),
        p,
        path_lo: path[0],
        path_hi: path[1],
        seed_lo: seed[0],
        seed_hi: seed[1],
        step,
        micro,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("dropout has no faults");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::{philox4x32, uniform24};
    use crate::testkit::{same_bits, Cases, Rng};

    /// The contract, word by word.
    fn naive(x: &[f32], p: f32, seed: [u32; 2], step: u32, micro: u32, path: [u32; 2]) -> Vec<f32> {
        let key = philox4x32(seed, [step, micro, path[0], path[1]]);
        let one = |(i, &x): (usize, &f32)| {
            let word = philox4x32([key[0], key[1]], [i as u32 / 4, 0, 0, 0])[i % 4];
            x * if uniform24(word) >= p { (1.0 / (1.0 - p as f64)) as f32 } else { 0.0 }
        };
        x.iter().enumerate().map(one).collect()
    }

    #[test]
    fn equals_the_contract_at_every_length() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for n in (0..=67).chain([TILE - 1, TILE, TILE + 1, 2 * TILE + 7]) {
            for p in [0.0f32, 0.1, 0.5, 0.9] {
                let x = rng.normals(n);
                let mut out = vec![f32::NAN; n];
                dropout(&x, &mut out, p, [5, 6], 7, 8, [9, 10]);
                cases.check(|| format!("n {n} p {p}"), same_bits(&out, &naive(&x, p, [5, 6], 7, 8, [9, 10])));
            }
        }
        cases.finish();
    }

    #[test]
    fn the_share_of_kept_elements_is_that_of_p() {
        let n = 1_000_000;
        let x = vec![1.0f32; n];
        let mut out = vec![0.0; n];
        for (p, step) in [(0.05f32, 0), (0.1, 1), (0.5, 2), (0.8, 3)] {
            dropout(&x, &mut out, p, [42, 0], step, 0, [1, 2]);
            // Chi-square over the 16 patterns of four neighbours: rates and independence at once. 15 degrees of freedom.
            let mut counts = [0.0f64; 16];
            for four in out.chunks(4) {
                counts[four.iter().fold(0, |bits, &v| bits * 2 + usize::from(v != 0.0))] += 1.0;
            }
            let expected = |bits: usize| {
                let kept = bits.count_ones() as i32;
                n as f64 / 4.0 * (1.0 - p as f64).powi(kept) * (p as f64).powi(4 - kept)
            };
            let chi: f64 = (0..16).map(|b| (counts[b] - expected(b)).powi(2) / expected(b)).sum();
            assert!(chi < 44.3, "p {p}: chi-square {chi}, whose probability is below 1e-4");
            assert!(out.iter().all(|&v| v == 0.0 || v == (1.0 / (1.0 - p as f64)) as f32));
        }
    }

    #[test]
    fn all_is_dropped_at_one_and_in_place_works() {
        let x = Rng::new(3).normals(40);
        let mut out = vec![f32::NAN; 40];
        dropout(&x, &mut out, 1.0, [1, 1], 0, 0, [0, 0]);
        assert!(out.iter().all(|&v| v == 0.0));
        dropout(&x, &mut out, 0.3, [1, 1], 0, 0, [0, 0]);
        let mut shared = x.clone();
        let pointer = shared.as_mut_ptr();
        let op = Dropout {
            x: pointer,
            out: pointer,
            n: 40,
            p: 0.3,
            path_lo: 0,
            path_hi: 0,
            seed_lo: 1,
            seed_hi: 1,
            step: 0,
            micro: 0,
        };
        // SAFETY: in place is allowed.
        unsafe { crate::run_all(&op) }.unwrap();
        assert_eq!(shared, out);
    }
}
