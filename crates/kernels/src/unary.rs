//! Elementwise functions of one operand and their gradients (opcodes 3 and 4).

use crate::gelu::{gelu_erf, gelu_erf_backward, gelu_tanh, gelu_tanh_backward};
use crate::lanes::{map1, map2, range, TILE};
use crate::tile::{blocks, Fault, TileOp};
use crate::vecmath::{Exp, Log, Sigmoid, Tanh};
use simd::{F32x4, I32x4};

/// Which function; the numbers are those of the program format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum UnaryKind {
    /// x
    Copy,
    /// −x
    Neg,
    /// e^x
    Exp,
    /// ln x
    Log,
    /// √x
    Sqrt,
    /// x²
    Square,
    /// tanh x
    Tanh,
    /// 1 / (1 + e^−x)
    Sigmoid,
    /// max(x, 0); NaN stays NaN
    Relu,
    /// GELU, tanh form
    GeluTanh,
    /// GELU, erf form
    GeluErf,
    /// c·x
    Scale,
    /// x + c
    AddScalar,
    /// 1 / x
    Reciprocal,
    /// |x|
    Abs,
}

impl UnaryKind {
    /// Every kind, in the order of the program format.
    pub const ALL: [Self; 15] = [
        Self::Copy,
        Self::Neg,
        Self::Exp,
        Self::Log,
        Self::Sqrt,
        Self::Square,
        Self::Tanh,
        Self::Sigmoid,
        Self::Relu,
        Self::GeluTanh,
        Self::GeluErf,
        Self::Scale,
        Self::AddScalar,
        Self::Reciprocal,
        Self::Abs,
    ];

    /// The kind of a number of the program format.
    pub fn from_word(word: u32) -> Option<Self> {
        Self::ALL.get(word as usize).copied()
    }
}

/// `out[i] = f(x[i])`. `out` may be `x`.
#[derive(Clone, Copy, Debug)]
pub struct Unary {
    /// `[n]`
    pub x: *const f32,
    /// `[n]`
    pub out: *mut f32,
    /// Elements.
    pub n: usize,
    /// Which function.
    pub kind: UnaryKind,
    /// The constant of `Scale` and `AddScalar`.
    pub c: f32,
}

impl TileOp for Unary {
    fn tiles(&self) -> usize {
        blocks(self.n, TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, TILE, self.n);
        // SAFETY: start <= end <= n, and the operands hold n floats.
        unsafe { forward(self.kind, self.c, self.x.add(start), self.out.add(start), end - start) };
        Ok(())
    }
}

/// One range of [`Unary`].
///
/// # Safety
/// `x` readable and `out` writable for `n` floats; equal or not overlapping.
unsafe fn forward(kind: UnaryKind, c: f32, x: *const f32, out: *mut f32, n: usize) {
    let constant = F32x4::splat(c);
    let one = F32x4::splat(1.0);
    // SAFETY: passed on from the caller.
    unsafe {
        match kind {
            UnaryKind::Copy => core::ptr::copy(x, out, n),
            UnaryKind::Neg => map1(x, out, n, |x| -x),
            UnaryKind::Exp => {
                let f = Exp::new();
                map1(x, out, n, |x| f.eval(x));
            }
            UnaryKind::Log => {
                let f = Log::new();
                map1(x, out, n, |x| f.eval(x));
            }
            UnaryKind::Sqrt => map1(x, out, n, |x| x.sqrt()),
            UnaryKind::Square => map1(x, out, n, |x| x * x),
            UnaryKind::Tanh => {
                let f = Tanh::new();
                map1(x, out, n, |x| f.eval(x));
            }
            UnaryKind::Sigmoid => {
                let f = Sigmoid::new();
                map1(x, out, n, |x| f.eval(x));
            }
            UnaryKind::Relu => map1(x, out, n, |x| x.max(F32x4::zero())),
            UnaryKind::GeluTanh => gelu_tanh(x, out, n),
            UnaryKind::GeluErf => gelu_erf(x, out, n),
            UnaryKind::Scale => map1(x, out, n, |x| x * constant),
            UnaryKind::AddScalar => map1(x, out, n, |x| x + constant),
            UnaryKind::Reciprocal => map1(x, out, n, |x| one / x),
            UnaryKind::Abs => map1(x, out, n, |x| x.abs()),
        }
    }
}

/// `dx[i] = dy[i]·f'(x[i])`. Only `y` is read for exp, sqrt, tanh, sigmoid, relu and reciprocal, only `x` for log, square, gelu and
/// abs, neither for the rest. `dx` may be `dy`, `x` or `y`. Where a derivative does not exist: relu and abs have 0 at 0.
#[derive(Clone, Copy, Debug)]
pub struct UnaryBackward {
    /// `[n]`, the forward operand
    pub x: *const f32,
    /// `[n]`, the forward result
    pub y: *const f32,
    /// `[n]`
    pub dy: *const f32,
    /// `[n]`
    pub dx: *mut f32,
    /// Elements.
    pub n: usize,
    /// Which function.
    pub kind: UnaryKind,
    /// The constant of `Scale`.
    pub c: f32,
}

impl TileOp for UnaryBackward {
    fn tiles(&self) -> usize {
        blocks(self.n, TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, TILE, self.n);
        let n = end - start;
        // `wrapping_add`, since a pointer that the kind does not read may be null.
        let (x, y) = (self.x.wrapping_add(start), self.y.wrapping_add(start));
        // SAFETY: start <= end <= n, and the operands that the kind reads hold n floats.
        unsafe { self.range(x, y, self.dy.add(start), self.dx.add(start), n) };
        Ok(())
    }
}

impl UnaryBackward {
    /// # Safety
    /// The operands that the kind reads are valid for `n` floats; `dx` is one of them or overlaps none.
    unsafe fn range(&self, x: *const f32, y: *const f32, dy: *const f32, dx: *mut f32, n: usize) {
        let constant = F32x4::splat(self.c);
        let (zero, half, one) = (F32x4::zero(), F32x4::splat(0.5), F32x4::splat(1.0));
        let sign = I32x4::splat(i32::MIN);
        // SAFETY: passed on from the caller.
        unsafe {
            match self.kind {
                UnaryKind::Copy | UnaryKind::AddScalar => core::ptr::copy(dy, dx, n),
                UnaryKind::Neg => map1(dy, dx, n, |dy| -dy),
                UnaryKind::Scale => map1(dy, dx, n, |dy| dy * constant),
                UnaryKind::Exp => map2(y, dy, dx, n, |y, dy| dy * y),
                UnaryKind::Log => map2(x, dy, dx, n, |x, dy| dy / x),
                UnaryKind::Sqrt => map2(y, dy, dx, n, |y, dy| half * dy / y),
                UnaryKind::Square => map2(x, dy, dx, n, |x, dy| (x + x) * dy),
                UnaryKind::Tanh => map2(y, dy, dx, n, |y, dy| dy * ((one - y) * (one + y))),
                UnaryKind::Sigmoid => map2(y, dy, dx, n, |y, dy| dy * (y * (one - y))),
                UnaryKind::Relu => map2(y, dy, dx, n, |y, dy| F32x4::select(y.gt(zero), dy, zero)),
                UnaryKind::GeluTanh => gelu_tanh_backward(x, dy, dx, n),
                UnaryKind::GeluErf => gelu_erf_backward(x, dy, dx, n),
                UnaryKind::Reciprocal => map2(y, dy, dx, n, |y, dy| -dy * (y * y)),
                UnaryKind::Abs => map2(x, dy, dx, n, |x, dy| {
                    let signed = F32x4::from_bits(dy.to_bits() ^ (x.to_bits() & sign));
                    F32x4::select(x.eq(zero), zero, signed)
                }),
            }
        }
    }
}

/// `out = f(x)` on slices of equal length. # Panics if the lengths differ.
pub fn unary_forward(kind: UnaryKind, c: f32, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "unary: x and out must have one length");
    let op = Unary { x: x.as_ptr(), out: out.as_mut_ptr(), n: x.len(), kind, c };
    // SAFETY: the slices hold n floats and do not overlap.
    unsafe { crate::run_all(&op) }.expect("unary has no faults");
}

/// `dx = dy·f'` on slices of equal length. # Panics if the lengths differ.
pub fn unary_backward(kind: UnaryKind, c: f32, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let n = x.len();
    assert!(y.len() == n && dy.len() == n && dx.len() == n, "unary_backward: x, y, dy and dx must have one length");
    let op = UnaryBackward { x: x.as_ptr(), y: y.as_ptr(), dy: dy.as_ptr(), dx: dx.as_mut_ptr(), n, kind, c };
    // SAFETY: the slices hold n floats and do not overlap.
    unsafe { crate::run_all(&op) }.expect("unary has no faults");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gelu::naive as gelu;
    use crate::testkit::{close_by, Cases, Rng};

    /// The definitions, in f64.
    fn naive(kind: UnaryKind, c: f64, x: f64) -> f64 {
        match kind {
            UnaryKind::Copy => x,
            UnaryKind::Neg => -x,
            UnaryKind::Exp => x.exp(),
            UnaryKind::Log => x.ln(),
            UnaryKind::Sqrt => x.sqrt(),
            UnaryKind::Square => x * x,
            UnaryKind::Tanh => x.tanh(),
            UnaryKind::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            UnaryKind::Relu => x.max(0.0),
            UnaryKind::GeluTanh => gelu::tanh_form(x),
            UnaryKind::GeluErf => gelu::erf_form(x),
            UnaryKind::Scale => c * x,
            UnaryKind::AddScalar => x + c,
            UnaryKind::Reciprocal => 1.0 / x,
            UnaryKind::Abs => x.abs(),
        }
    }

    /// Operands in each function's domain, away from the kinks so that differences exist.
    fn operands(kind: UnaryKind, n: usize, rng: &mut Rng) -> Vec<f32> {
        let positive = matches!(kind, UnaryKind::Log | UnaryKind::Sqrt);
        (0..n)
            .map(|_| {
                let v = rng.normal() * 2.0;
                let v = if v.abs() < 0.05 { 0.05f32.copysign(v) } else { v };
                if positive {
                    v.abs()
                } else {
                    v
                }
            })
            .collect()
    }

    fn lengths() -> impl Iterator<Item = usize> {
        (0..=67).chain([TILE - 1, TILE, TILE + 1])
    }

    #[test]
    fn forward_equals_the_definition_at_every_length() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for kind in UnaryKind::ALL {
            for n in lengths() {
                let x = operands(kind, n, &mut rng);
                let mut out = vec![f32::NAN; n];
                unary_forward(kind, -1.25, &x, &mut out);
                let want: Vec<f64> = x.iter().map(|&v| naive(kind, -1.25, v as f64)).collect();
                let result = close_by(&out, &want, |i| 9e-7 + 6e-7 * want[i].abs());
                cases.check(|| format!("{kind:?} n {n}"), result);
            }
        }
        cases.finish();
    }

    #[test]
    fn backward_equals_central_differences_of_the_definition() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for kind in UnaryKind::ALL {
            for n in lengths() {
                let x = operands(kind, n, &mut rng);
                let dy = rng.normals(n);
                let (mut y, mut dx) = (vec![0.0; n], vec![f32::NAN; n]);
                unary_forward(kind, -1.25, &x, &mut y);
                unary_backward(kind, -1.25, &x, &y, &dy, &mut dx);
                let slope = |v: f64| {
                    let h = 1e-5 * v.abs().max(0.1);
                    (naive(kind, -1.25, v + h) - naive(kind, -1.25, v - h)) / (2.0 * h)
                };
                let want: Vec<f64> = x.iter().zip(&dy).map(|(&v, &d)| d as f64 * slope(v as f64)).collect();
                let result = close_by(&dx, &want, |i| 1e-6 + 1e-5 * want[i].abs() + 1e-6 * dy[i].abs() as f64);
                cases.check(|| format!("{kind:?} n {n}"), result);
            }
        }
        cases.finish();
    }

    #[test]
    fn in_place_gives_the_same_bits() {
        let mut rng = Rng::new(3);
        for kind in UnaryKind::ALL {
            let x = operands(kind, 133, &mut rng);
            let dy = rng.normals(133);
            let (mut y, mut dx) = (vec![0.0; 133], vec![0.0; 133]);
            unary_forward(kind, 0.5, &x, &mut y);
            unary_backward(kind, 0.5, &x, &y, &dy, &mut dx);
            let mut shared = x.clone();
            let p = shared.as_mut_ptr();
            // SAFETY: in place is one of the two layouts the op allows.
            unsafe { crate::run_all(&Unary { x: p, out: p, n: 133, kind, c: 0.5 }) }.unwrap();
            assert_eq!(shared, y, "{kind:?}");
            let mut shared = dy.clone();
            let p = shared.as_mut_ptr();
            let op = UnaryBackward { x: x.as_ptr(), y: y.as_ptr(), dy: p, dx: p, n: 133, kind, c: 0.5 };
            // SAFETY: as above.
            unsafe { crate::run_all(&op) }.unwrap();
            assert_eq!(shared, dx, "{kind:?} backward");
        }
    }

    #[test]
    fn kinks_and_nan() {
        let x = [0.0, -0.0, 2.0, -3.0, f32::NAN];
        let dy = [1.0; 5];
        let (mut y, mut dx) = ([9.0; 5], [9.0; 5]);
        unary_forward(UnaryKind::Relu, 0.0, &x, &mut y);
        unary_backward(UnaryKind::Relu, 0.0, &x, &y, &dy, &mut dx);
        assert!(y[..4] == [0.0, 0.0, 2.0, 0.0] && y[4].is_nan() && dx[..4] == [0.0, 0.0, 1.0, 0.0]);
        unary_backward(UnaryKind::Abs, 0.0, &x, &y, &dy, &mut dx);
        assert_eq!(dx[..4], [0.0, 0.0, 1.0, -1.0]);
        for (word, kind) in UnaryKind::ALL.iter().enumerate() {
            assert_eq!((*kind as usize, UnaryKind::from_word(word as u32)), (word, Some(*kind)));
        }
        assert_eq!(UnaryKind::from_word(15), None);
    }
}
