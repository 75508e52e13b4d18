//! The global gradient norm in f64 and what is made of it (opcodes 28 and 29): one partial sum per 4096 elements, so that any number of
//! parameters and threads gives the same bits.

use crate::tile::{blocks, Fault, TileOp};

/// Elements of one partial sum.
pub const PARTIAL: usize = 4096;

/// Partial sums of one tile: 32k elements.
const PARTIALS_PER_TILE: usize = 8;

/// `partials[i] = Σ g²` over elements `4096·i .. 4096·(i + 1)`, eight f64 lanes (element j in lane j % 8) added pairwise.
#[derive(Clone, Copy, Debug)]
pub struct SquaredNorm {
    /// `[n]`
    pub g: *const f32,
    /// `[ceil(n / 4096)]`
    pub partials: *mut f64,
    /// Elements.
    pub n: usize,
}

impl TileOp for SquaredNorm {
    fn tiles(&self) -> usize {
        blocks(self.n, PARTIAL * PARTIALS_PER_TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let first = tile * PARTIALS_PER_TILE;
        let last = blocks(self.n, PARTIAL).min(first + PARTIALS_PER_TILE);
        for i in first..last {
            let start = i * PARTIAL;
            // SAFETY: start + length <= n, and there is one partial per started 4096 elements.
            unsafe { *self.partials.add(i) = squares(self.g.add(start), PARTIAL.min(self.n - start)) };
        }
        Ok(())
    }
}

/// Σ g² of `n` floats.
///
/// # Safety
/// `g` readable for `n` floats.
#[inline(never)]
unsafe fn squares(g: *const f32, n: usize) -> f64 {
    let mut lanes = [0.0f64; 8];
    let mut i = 0;
    // SAFETY: every access is below n.
    unsafe {
        while i + 8 <= n {
            for lane in 0..8 {
                let v = f64::from(*g.add(i + lane));
                lanes[lane] += v * v;
            }
            i += 8;
        }
        for lane in 0..n - i {
            let v = f64::from(*g.add(i + lane));
            lanes[lane] += v * v;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// `out = [norm, factor, skip, count]`: `norm = √Σ partials / count`, `factor = (1/count)·min(1, max_norm/(norm + 1e-6))` as
/// torch.nn.utils.clip_grad_norm_ has it (`max_norm` 0: no clipping), `skip` 1 if `count` is not above 0 or the norm is not finite
/// (then `factor` is 0). Partials in ascending order. One tile.
#[derive(Clone, Copy, Debug)]
pub struct ClipFinish {
    /// `[n_partials]`
    pub partials: *const f64,
    /// `[1]` or null (1): what the gradients are divided by
    pub count: *const f32,
    /// `[4]`
    pub out: *mut f32,
    /// Partial sums.
    pub n_partials: usize,
    /// Largest norm, 0 for none.
    pub max_norm: f64,
}

impl TileOp for ClipFinish {
    fn tiles(&self) -> usize {
        1
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, _tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        // SAFETY: i < n_partials; count is read only if present; out holds four floats.
        unsafe {
            let sum = (0..self.n_partials).fold(0.0, |s, i| s + *self.partials.add(i));
            let count = if self.count.is_null() { 1.0 } else { f64::from(*self.count) };
            let out = finish(sum, count, self.max_norm);
            for (i, v) in out.into_iter().enumerate() {
                *self.out.add(i) = v;
            }
        }
        Ok(())
    }
}

fn finish(sum: f64, count: f64, max_norm: f64) -> [f32; 4] {
    if count.is_nan() || count <= 0.0 {
        return [0.0, 0.0, 1.0, count as f32];
    }
    let norm = sum.sqrt() / count;
    if !norm.is_finite() {
        return [norm as f32, 0.0, 1.0, count as f32];
    }
    let clip = if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    [norm as f32, (clip / count) as f32, 0.0, count as f32]
}

/// Partial sums of the squares of `g`; `partials` has one element per started 4096. # Panics if it has not.
pub fn squared_norm(g: &[f32], partials: &mut [f64]) {
    assert_eq!(partials.len(), blocks(g.len(), PARTIAL), "squared_norm: one partial per started 4096 elements");
    let op = SquaredNorm { g: g.as_ptr(), partials: partials.as_mut_ptr(), n: g.len() };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("squared_norm has no faults");
}

/// `[norm, factor, skip, count]` of partial sums: see [`ClipFinish`].
pub fn clip_finish(partials: &[f64], count: Option<f32>, max_norm: f64) -> [f32; 4] {
    let mut out = [0.0; 4];
    let op = ClipFinish {
        partials: partials.as_ptr(),
        count: count.as_ref().map_or(core::ptr::null(), |c| c as *const f32),
        out: out.as_mut_ptr(),
        n_partials: partials.len(),
        max_norm,
    };
    // SAFETY: the operands live until the call ends.
    unsafe { crate::run_all(&op) }.expect("clip_finish has no faults");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Cases, Rng};

    #[test]
    fn partials_equal_f64_sums_at_every_length() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for n in (0..=67).chain([4095, 4096, 4097, 8 * 4096, 8 * 4096 + 1, 100_000]) {
            let g = rng.normals(n);
            let mut partials = vec![f64::NAN; n.div_ceil(PARTIAL)];
            squared_norm(&g, &mut partials);
            let mut result = Ok(());
            for (i, (&got, part)) in partials.iter().zip(g.chunks(PARTIAL)).enumerate() {
                let want: f64 = part.iter().map(|&v| v as f64 * v as f64).sum();
                if (got - want).abs() > 1e-14 * want {
                    result = Err(format!("partial {i}: {got}, want {want}"));
                }
            }
            cases.check(|| format!("n {n}"), result);
        }
        cases.finish();
    }

    #[test]
    fn the_clipping_rule_is_torchs() {
        // norm 5 over count 1: max_norm 1 clips to 1/(5 + 1e-6), 10 does not, 0 is off.
        assert_eq!(clip_finish(&[9.0, 16.0], None, 1.0), [5.0, (1.0 / 5.000001) as f32, 0.0, 1.0]);
        assert_eq!(clip_finish(&[9.0, 16.0], None, 10.0), [5.0, 1.0, 0.0, 1.0]);
        assert_eq!(clip_finish(&[9.0, 16.0], None, 0.0), [5.0, 1.0, 0.0, 1.0]);
        // Counted: gradients are sums over 4 tokens, so their mean has norm 1.25.
        assert_eq!(clip_finish(&[9.0, 16.0], Some(4.0), 0.0), [1.25, 0.25, 0.0, 4.0]);
        assert_eq!(clip_finish(&[9.0, 16.0], Some(4.0), 0.5), [1.25, (0.25 * (0.5 / 1.250001)) as f32, 0.0, 4.0]);
        assert_eq!(clip_finish(&[0.0], None, 1.0), [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(clip_finish(&[], None, 1.0), [0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn huge_gradients_clip_right_and_broken_ones_skip() {
        let mut partials = [0.0];
        squared_norm(&[1e20, -1e20], &mut partials);
        let [norm, factor, skip, _] = clip_finish(&partials, None, 1.0);
        let want = 2f64.sqrt() * 1e20f32 as f64;
        assert!((norm as f64 / want - 1.0).abs() < 1e-6 && (factor as f64 * want - 1.0).abs() < 1e-6 && skip == 0.0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            squared_norm(&[1.0, bad], &mut partials);
            let [norm, factor, skip, _] = clip_finish(&partials, None, 1.0);
            assert!(!norm.is_finite() && factor == 0.0 && skip == 1.0, "{bad}");
        }
        assert_eq!(clip_finish(&[4.0], Some(0.0), 1.0), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(clip_finish(&[4.0], Some(f32::NAN), 1.0)[2], 1.0);
    }
}
