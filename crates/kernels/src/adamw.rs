//! AdamW (Loshchilov and Hutter, arXiv:1711.05101) as torch.optim.AdamW computes it, with the clipping factor folded in (opcode 30).
//!
//! ```text
//! g ← factor·g       m ← m + (1 − β1)(g − m)       v ← v + (1 − β2)(g² − v)
//! p ← p − (lr·weight_decay·p + (lr / c1)·m / (√v / c2 + eps))         c1 = 1 − β1^t, c2 = √(1 − β2^t)
//! ```
//! Decay and step are added before they meet the parameter: torch's `p·(1 − lr·weight_decay)` first is the same in exact arithmetic,
//! but the factor's rounding to f32 repeats in every step (1e-5 after 1000).
//! The moments are written with 1 − β, not β: β2 = 0.999 rounded to f32 is off by 1.3e-8, which over 1000 steps moves v by 6e-6,
//! while 0.001 rounded is off by 5e-11.

use crate::lanes::{load, range, TILE};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// One update of a parameter and its moments.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// `[n]`, the parameter, updated
    pub p: *mut f32,
    /// `[n]`, its gradient (summed, not yet divided by the count)
    pub g: *const f32,
    /// `[n]`, first moment, updated
    pub m: *mut f32,
    /// `[n]`, second moment, updated
    pub v: *mut f32,
    /// `[4]` as [`crate::norm::ClipFinish`] writes it, or null (factor 1)
    pub clip: *const f32,
    /// Elements.
    pub n: usize,
    /// Learning rate.
    pub lr: f64,
    /// 1 − β1^t
    pub c1: f64,
    /// √(1 − β2^t)
    pub c2: f64,
    /// β1, for the record: see the head of this file.
    pub beta1: f32,
    /// β2, for the record.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// Decoupled weight decay; 0 for norms and biases.
    pub weight_decay: f32,
    /// 1 − β1
    pub one_minus_beta1: f32,
    /// 1 − β2
    pub one_minus_beta2: f32,
}

impl TileOp for AdamW {
    fn tiles(&self) -> usize {
        blocks(self.n, TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, TILE, self.n);
        // SAFETY: start <= end <= n; clip is read only if present.
        unsafe {
            let (factor, skip) =
                if self.clip.is_null() { (1.0, false) } else { (*self.clip.add(1), *self.clip.add(2) != 0.0) };
            if skip {
                return Ok(());
            }
            // Learning rate 0 leaves every bit of the parameter, also the sign of −0, which p − 0·m would not.
            if self.lr == 0.0 {
                self.update::<false>(factor, start, end);
            } else {
                self.update::<true>(factor, start, end);
            }
        }
        Ok(())
    }
}

impl AdamW {
    /// # Safety
    /// As [`TileOp::run_tile`]; `start <= end <= n`.
    #[inline(never)]
    unsafe fn update<const MOVE: bool>(&self, factor: f32, start: usize, end: usize) {
        let splat = |x: f64| F32x4::splat(x as f32);
        let factor = F32x4::splat(factor);
        let (w1, w2) = (F32x4::splat(self.one_minus_beta1), F32x4::splat(self.one_minus_beta2));
        let decay = splat(self.lr * f64::from(self.weight_decay));
        let step = splat(self.lr / self.c1);
        let (root_scale, eps) = (splat(1.0 / self.c2), F32x4::splat(self.eps));
        // Moments of an element without gradient shrink forever. Below the normal numbers every operation on them would be slow
        // and they count for nothing beside eps, so they become 0 there (without eps they are kept).
        let tiny = F32x4::splat(if self.eps > 0.0 { f32::MIN_POSITIVE } else { 0.0 });
        let flush = |x: F32x4| F32x4::from_bits(x.to_bits() & !x.abs().lt(tiny));
        let one = |p: F32x4, g: F32x4, m: F32x4, v: F32x4| {
            let g = g * factor;
            let m = flush((g - m).madd(w1, m));
            let v = flush((g * g - v).madd(w2, v));
            let denominator = v.sqrt().madd(root_scale, eps);
            (p - p.madd(decay, step * m / denominator), m, v)
        };
        let mut i = start;
        // SAFETY: every access is below `end`.
        unsafe {
            while i + 8 <= end {
                let (p, g, m, v) = (self.p.add(i), self.g.add(i), self.m.add(i), self.v.add(i));
                let (p0, p1) = (F32x4::load(p), F32x4::load(p.add(4)));
                let (g0, g1) = (F32x4::load(g), F32x4::load(g.add(4)));
                let (m0, m1) = (F32x4::load(m), F32x4::load(m.add(4)));
                let (v0, v1) = (F32x4::load(v), F32x4::load(v.add(4)));
                let ((p0, m0, v0), (p1, m1, v1)) = (one(p0, g0, m0, v0), one(p1, g1, m1, v1));
                if MOVE {
                    p0.store(p);
                    p1.store(p.add(4));
                }
                m0.store(m);
                m1.store(m.add(4));
                v0.store(v);
                v1.store(v.add(4));
                i += 8;
            }
            while i < end {
                let l = (end - i).min(4);
                let (p, m, v) = (self.p.add(i), self.m.add(i), self.v.add(i));
                let (p0, m0, v0) = one(load(p, l), load(self.g.add(i), l), load(m, l), load(v, l));
                if MOVE {
                    p0.store_partial(p, l);
                }
                m0.store_partial(m, l);
                v0.store_partial(v, l);
                i += l;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close_by, run_reversed, same_bits, Cases, Rng};

    #[derive(Clone, Copy)]
    struct Settings {
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    }

    /// One step of the op on slices.
    fn step(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], clip: &[f32; 4], t: i32, lr: f64, s: Settings) {
        let op = AdamW {
            p: p.as_mut_ptr(),
            g: g.as_ptr(),
            m: m.as_mut_ptr(),
            v: v.as_mut_ptr(),
            clip: clip.as_ptr(),
            n: p.len(),
            lr,
            c1: 1.0 - s.beta1.powi(t),
            c2: (1.0 - s.beta2.powi(t)).sqrt(),
            beta1: s.beta1 as f32,
            beta2: s.beta2 as f32,
            eps: s.eps as f32,
            weight_decay: s.weight_decay as f32,
            one_minus_beta1: (1.0 - s.beta1) as f32,
            one_minus_beta2: (1.0 - s.beta2) as f32,
        };
        // SAFETY: n floats each.
        unsafe { run_reversed(&op) }.unwrap();
    }

    /// torch.optim.AdamW's single-tensor formulas in f64.
    fn naive(p: &mut [f64], g: &[f32], m: &mut [f64], v: &mut [f64], factor: f64, t: i32, lr: f64, s: Settings) {
        for i in 0..p.len() {
            let g = g[i] as f64 * factor;
            p[i] *= 1.0 - lr * s.weight_decay;
            m[i] = s.beta1 * m[i] + (1.0 - s.beta1) * g;
            v[i] = s.beta2 * v[i] + (1.0 - s.beta2) * g * g;
            let denominator = v[i].sqrt() / (1.0 - s.beta2.powi(t)).sqrt() + s.eps;
            p[i] -= lr / (1.0 - s.beta1.powi(t)) * m[i] / denominator;
        }
    }

    const USUAL: Settings = Settings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };
    const PLAIN: [f32; 4] = [1.0, 1.0, 0.0, 1.0];

    #[test]
    fn a_thousand_steps_stay_within_1e_5_of_f64() {
        let mut cases = Cases::new();
        let all = [
            USUAL,
            Settings { beta2: 0.99, ..USUAL },
            Settings { weight_decay: 0.0, beta2: 0.95, ..USUAL },
            Settings { eps: 1e-3, ..USUAL },
            Settings { eps: 0.0, beta1: 0.0, ..USUAL },
        ];
        for (number, s) in all.into_iter().enumerate() {
            let n = 531;
            let mut rng = Rng::new(number as u64);
            let start: Vec<f32> = rng.normals(n).iter().map(|v| v + 3.0f32.copysign(*v)).collect();
            // Gradients of many sizes, half of them with a steady direction: frozen, the same for both sides.
            let size: Vec<f32> = (0..n).map(|i| 10f32.powi(i as i32 % 9 - 6)).collect();
            let (mut p, mut m, mut v) = (start.clone(), vec![0.0; n], vec![0.0; n]);
            let (mut p64, mut m64, mut v64) = (crate::testkit::wide(&start), vec![0.0; n], vec![0.0; n]);
            for t in 1..=1000 {
                let lr = 1e-3 * if t <= 100 { t as f64 / 100.0 } else { 1.0 - 0.9 * (t - 100) as f64 / 900.0 };
                let g: Vec<f32> = (0..n).map(|i| size[i] * (rng.normal() + (i % 2) as f32)).collect();
                let clip = [1.0, 0.37, 0.0, 1.0];
                step(&mut p, &g, &mut m, &mut v, &clip, t, lr, s);
                naive(&mut p64, &g, &mut m64, &mut v64, 0.37f32 as f64, t, lr, s);
            }
            cases.check(|| format!("settings {number}"), close_by(&p, &p64, |i| 1e-5 * p64[i].abs()));
            // Moments cross zero, so their error is measured against the size of the gradients.
            let bound = |i: usize| 1e-5 * (m64[i].abs() + size[i] as f64 * 0.37);
            cases.check(|| format!("settings {number} m"), close_by(&m, &m64, bound));
            cases.check(|| format!("settings {number} v"), close_by(&v, &v64, |i| 2e-5 * v64[i]));
        }
        cases.finish();
    }

    #[test]
    fn one_step_equals_the_reference_at_every_length() {
        let (mut rng, mut cases) = (Rng::new(7), Cases::new());
        for n in (0..=67).chain([TILE - 1, TILE, TILE + 1]) {
            let (start, g) = (rng.normals(n), rng.normals(n));
            let (mut p, mut m, mut v) = (start.clone(), vec![0.0; n], vec![0.0; n]);
            let (mut p64, mut m64, mut v64) = (crate::testkit::wide(&start), vec![0.0; n], vec![0.0; n]);
            step(&mut p, &g, &mut m, &mut v, &PLAIN, 1, 1e-2, USUAL);
            naive(&mut p64, &g, &mut m64, &mut v64, 1.0, 1, 1e-2, USUAL);
            let result = close_by(&p, &p64, |i| 1e-8 + 2e-7 * p64[i].abs());
            cases.check(|| format!("n {n}"), result);
        }
        cases.finish();
    }

    #[test]
    fn learning_rate_zero_moves_only_the_moments() {
        let n = 45;
        let mut rng = Rng::new(8);
        let mut start = rng.normals(n);
        (start[0], start[44], start[3]) = (-0.0, -0.0, 1e-41);
        let g = rng.normals(n);
        let (mut p, mut m, mut v) = (start.clone(), vec![0.5; n], vec![0.5; n]);
        step(&mut p, &g, &mut m, &mut v, &PLAIN, 3, 0.0, USUAL);
        same_bits(&p, &start).unwrap();
        assert!(m.iter().zip(&v).all(|(m, v)| *m != 0.5 && *v != 0.5));
    }

    #[test]
    fn moments_without_gradient_end_in_zero_not_in_subnormals() {
        let (mut p, mut m, mut v) = (vec![1.0; 13], vec![1e-30; 13], vec![1e-30; 13]);
        for t in 1..=2000 {
            step(&mut p, &[0.0; 13], &mut m, &mut v, &PLAIN, t, 1e-3, Settings { beta2: 0.98, ..USUAL });
            assert!(m.iter().chain(&v).all(|&x| x == 0.0 || x.is_normal()), "step {t}: {} {}", m[0], v[0]);
        }
        assert_eq!((m, v), (vec![0.0; 13], vec![0.0; 13]));
        // NaN is not tiny: without a skip it must show.
        let (mut p, mut m, mut v) = (vec![1.0; 13], vec![0.0; 13], vec![0.0; 13]);
        step(&mut p, &[f32::NAN; 13], &mut m, &mut v, &PLAIN, 1, 1e-3, USUAL);
        assert!(p.iter().chain(&m).chain(&v).all(|x| x.is_nan()));
    }

    #[test]
    fn skip_leaves_everything_and_a_zero_gradient_only_decays() {
        let n = 21;
        let mut rng = Rng::new(9);
        let (start, g) = (rng.normals(n), vec![f32::NAN; n]);
        let (mut p, mut m, mut v) = (start.clone(), vec![0.25; n], vec![0.5; n]);
        step(&mut p, &g, &mut m, &mut v, &[f32::NAN, 0.0, 1.0, 0.0], 1, 1e-3, USUAL);
        assert_eq!((&p, &m, &v), (&start, &vec![0.25; n], &vec![0.5; n]));
        let zero = vec![0.0; n];
        let (mut m, mut v) = (zero.clone(), zero.clone());
        step(&mut p, &zero, &mut m, &mut v, &PLAIN, 1, 1e-2, USUAL);
        let decayed: Vec<f64> = start.iter().map(|&x| x as f64 * (1.0 - 1e-2 * 0.1)).collect();
        close_by(&p, &decayed, |i| 6.1e-8 * decayed[i].abs()).unwrap();
        let mut p = start.clone();
        step(&mut p, &zero, &mut m, &mut v, &PLAIN, 2, 1e-2, Settings { weight_decay: 0.0, ..USUAL });
        same_bits(&p, &start).unwrap();
    }
}
