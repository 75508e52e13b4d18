//! Stochastic gradient descent as torch.optim.SGD computes it (dampening 0), with the clipping factor folded in (opcode 31):
//! `d = factor·g + weight_decay·p; buf = momentum·buf + d; d = nesterov ? d + momentum·buf : buf; p = p − lr·d`.
//! A buffer that starts at zero gives torch's first step.

use crate::lanes::{load, range, store, TILE};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// One update of a parameter and its momentum.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// `[n]`, the parameter, updated
    pub p: *mut f32,
    /// `[n]`, its gradient (summed, not yet divided by the count)
    pub g: *const f32,
    /// `[n]`, momentum, updated; null for none
    pub buf: *mut f32,
    /// `[4]` as [`crate::norm::ClipFinish`] writes it, or null (factor 1)
    pub clip: *const f32,
    /// Elements.
    pub n: usize,
    /// Learning rate.
    pub lr: f64,
    /// Momentum factor; without `buf` it has no effect.
    pub momentum: f32,
    /// Weight decay, added to the gradient as torch's SGD does.
    pub weight_decay: f32,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
}

impl TileOp for Sgd {
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
            if self.buf.is_null() {
                self.update::<false>(factor, start, end);
            } else {
                self.update::<true>(factor, start, end);
            }
        }
        Ok(())
    }
}

impl Sgd {
    /// # Safety
    /// As [`TileOp::run_tile`]; `start <= end <= n`, `BUF` says whether `buf` is present.
    #[inline(never)]
    unsafe fn update<const BUF: bool>(&self, factor: f32, start: usize, end: usize) {
        let (factor, decay) = (F32x4::splat(factor), F32x4::splat(self.weight_decay));
        let (momentum, step) = (F32x4::splat(self.momentum), F32x4::splat(-self.lr as f32));
        let moves = self.lr != 0.0; // learning rate 0 leaves every bit of the parameter
        let one = |p: F32x4, g: F32x4, buf: F32x4| {
            let d = g.madd(factor, decay * p);
            let buf = if BUF { buf.madd(momentum, d) } else { d };
            let d = if BUF && self.nesterov { buf.madd(momentum, d) } else { buf };
            (d.madd(step, p), buf)
        };
        // Elements i .. i + l0 + l1; loads before stores.
        // SAFETY: the callers below stay below `end`; buf is touched only if present.
        let pair = |i: usize, l0: usize, l1: usize| unsafe {
            let (p, g, buf) = (self.p.add(i), self.g.add(i), self.buf.wrapping_add(i));
            let (p0, p1) = (load(p, l0), load(p.wrapping_add(4), l1));
            let (g0, g1) = (load(g, l0), load(g.wrapping_add(4), l1));
            let none = F32x4::zero();
            let (b0, b1) = if BUF { (load(buf, l0), load(buf.wrapping_add(4), l1)) } else { (none, none) };
            let ((p0, b0), (p1, b1)) = (one(p0, g0, b0), one(p1, g1, b1));
            if moves {
                store(p0, p, l0);
                store(p1, p.wrapping_add(4), l1);
            }
            if BUF {
                store(b0, buf, l0);
                store(b1, buf.wrapping_add(4), l1);
            }
        };
        let mut i = start;
        while i + 8 <= end {
            pair(i, 4, 4);
            i += 8;
        }
        if i < end {
            let l0 = (end - i).min(4);
            pair(i, l0, end - i - l0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close_by, run_reversed, same_bits, wide, Cases, Rng};

    fn op(p: &mut [f32], g: &[f32], buf: Option<&mut [f32]>, clip: &[f32; 4], settings: (f64, f32, f32, bool)) {
        let (lr, momentum, weight_decay, nesterov) = settings;
        let buf = buf.map_or(core::ptr::null_mut(), <[f32]>::as_mut_ptr);
        let n = p.len();
        let op =
            Sgd { p: p.as_mut_ptr(), g: g.as_ptr(), buf, clip: clip.as_ptr(), n, lr, momentum, weight_decay, nesterov };
        // SAFETY: n floats each.
        unsafe { run_reversed(&op) }.unwrap();
    }

    const PLAIN: [f32; 4] = [1.0, 1.0, 0.0, 1.0];

    #[test]
    fn ten_steps_equal_torchs_formulas_at_every_length() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for n in (0..=67).chain([TILE - 1, TILE, TILE + 1]) {
            for (momentum, decay, nesterov) in
                [(0.0f32, 0.0f32, false), (0.0, 0.1, false), (0.9, 0.0, false), (0.9, 0.1, true)]
            {
                let start = rng.normals(n);
                let (mut p, mut buf) = (start.clone(), vec![0.0; n]);
                let (mut p64, mut b64) = (wide(&start), vec![0.0f64; n]);
                for _ in 0..10 {
                    let g = rng.normals(n);
                    let b = (momentum > 0.0).then_some(&mut buf[..]);
                    op(&mut p, &g, b, &[1.0, 0.5, 0.0, 1.0], (0.05, momentum, decay, nesterov));
                    for i in 0..n {
                        let d = 0.5 * g[i] as f64 + decay as f64 * p64[i];
                        b64[i] = momentum as f64 * b64[i] + d;
                        let d = if nesterov { d + momentum as f64 * b64[i] } else { b64[i] };
                        p64[i] -= 0.05 * d;
                    }
                }
                let result = close_by(&p, &p64, |i| 2e-6 + 1e-6 * p64[i].abs());
                cases.check(|| format!("n {n} momentum {momentum} decay {decay} nesterov {nesterov}"), result);
            }
        }
        cases.finish();
    }

    #[test]
    fn skip_and_learning_rate_zero_leave_the_parameter() {
        let mut rng = Rng::new(2);
        let mut start = rng.normals(19);
        start[5] = -0.0;
        let (g, mut p, mut buf) = (rng.normals(19), start.clone(), vec![0.5; 19]);
        op(&mut p, &g, Some(&mut buf), &[f32::NAN, 0.0, 1.0, 0.0], (0.1, 0.9, 0.1, true));
        same_bits(&p, &start).unwrap();
        assert_eq!(buf, vec![0.5; 19]);
        op(&mut p, &g, Some(&mut buf), &PLAIN, (0.0, 0.9, 0.1, false));
        same_bits(&p, &start).unwrap();
        assert!(buf.iter().all(|b| *b != 0.5));
    }
}
