//! Elementwise arithmetic of two operands with the broadcasts of the graph (opcode 5).

use crate::lanes::{map1, map2, range, TILE};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// Which operation; the numbers are those of the program format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BinaryKind {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a·b
    Mul,
    /// a / b
    Div,
}

impl BinaryKind {
    /// Every kind, in the order of the program format.
    pub const ALL: [Self; 4] = [Self::Add, Self::Sub, Self::Mul, Self::Div];

    /// The kind of a number of the program format.
    pub fn from_word(word: u32) -> Option<Self> {
        Self::ALL.get(word as usize).copied()
    }
}

/// What `b` is; the numbers are those of the program format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BinaryMode {
    /// `b[outer, inner]`
    Same,
    /// `b[inner]`, the same for every row
    Row,
    /// `b[outer]`, one per row
    Column,
    /// `b[1]`
    Scalar,
}

impl BinaryMode {
    /// Every mode, in the order of the program format.
    pub const ALL: [Self; 4] = [Self::Same, Self::Row, Self::Column, Self::Scalar];

    /// The mode of a number of the program format.
    pub fn from_word(word: u32) -> Option<Self> {
        Self::ALL.get(word as usize).copied()
    }
}

/// `out[o, i] = a[o, i] ∘ b`. `out` may be `a`, and `b` in mode `Same`.
#[derive(Clone, Copy, Debug)]
pub struct Binary {
    /// `[outer, inner]`
    pub a: *const f32,
    /// As the mode says.
    pub b: *const f32,
    /// `[outer, inner]`
    pub out: *mut f32,
    /// Rows.
    pub outer: usize,
    /// Elements of a row.
    pub inner: usize,
    /// Which operation.
    pub kind: BinaryKind,
    /// What `b` is.
    pub mode: BinaryMode,
}

impl Binary {
    /// Tiles are whole rows, or pieces of one row where rows are long.
    fn shape(&self) -> (usize, usize) {
        // Without a structure to respect, everything is one long row.
        match self.mode {
            BinaryMode::Same | BinaryMode::Scalar => (1, self.outer * self.inner),
            BinaryMode::Row | BinaryMode::Column => (self.outer, self.inner),
        }
    }

    /// # Safety
    /// As [`TileOp::run_tile`].
    #[inline(always)]
    unsafe fn run(&self, tile: usize, f: impl Fn(F32x4, F32x4) -> F32x4) {
        let (outer, inner) = self.shape();
        let pieces = blocks(inner, TILE);
        let (first, last) = range(tile / pieces, (TILE / inner).max(1), outer);
        let (start, end) = range(tile % pieces, TILE, inner);
        let n = end - start;
        for row in first..last {
            let at = row * inner + start;
            // SAFETY: at + n <= outer·inner; b is read as its mode says.
            unsafe {
                let (a, out) = (self.a.add(at), self.out.add(at));
                match self.mode {
                    BinaryMode::Same => map2(a, self.b.add(at), out, n, &f),
                    BinaryMode::Row => map2(a, self.b.add(start), out, n, &f),
                    BinaryMode::Column => {
                        let b = F32x4::load_splat(self.b.add(row));
                        map1(a, out, n, |a| f(a, b));
                    }
                    BinaryMode::Scalar => {
                        let b = F32x4::load_splat(self.b);
                        map1(a, out, n, |a| f(a, b));
                    }
                }
            }
        }
    }
}

impl TileOp for Binary {
    fn tiles(&self) -> usize {
        let (outer, inner) = self.shape();
        if inner == 0 {
            return 0;
        }
        blocks(outer, (TILE / inner).max(1)) * blocks(inner, TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        // SAFETY: passed on from the caller.
        unsafe {
            match self.kind {
                BinaryKind::Add => self.run(tile, |a, b| a + b),
                BinaryKind::Sub => self.run(tile, |a, b| a - b),
                BinaryKind::Mul => self.run(tile, |a, b| a * b),
                BinaryKind::Div => self.run(tile, |a, b| a / b),
            }
        }
        Ok(())
    }
}

/// `out = a ∘ b` on slices: `a` and `out` are `[outer, inner]`, `b` as the mode says. # Panics if a length is wrong.
pub fn binary(kind: BinaryKind, mode: BinaryMode, a: &[f32], b: &[f32], out: &mut [f32], outer: usize, inner: usize) {
    let b_len = match mode {
        BinaryMode::Same => outer * inner,
        BinaryMode::Row => inner,
        BinaryMode::Column => outer,
        BinaryMode::Scalar => 1,
    };
    assert!(a.len() == outer * inner && out.len() == a.len(), "binary: a and out must be [outer, inner]");
    assert_eq!(b.len(), b_len, "binary: b must have the length of its mode");
    let op = Binary { a: a.as_ptr(), b: b.as_ptr(), out: out.as_mut_ptr(), outer, inner, kind, mode };
    // SAFETY: lengths checked above; slices do not overlap.
    unsafe { crate::run_all(&op) }.expect("binary has no faults");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{same_bits, Cases, Rng};

    /// One scalar operation per element; every kind is one correctly rounded operation, so bits must agree.
    fn naive(kind: BinaryKind, mode: BinaryMode, a: &[f32], b: &[f32], inner: usize) -> Vec<f32> {
        let pick = |i: usize| match mode {
            BinaryMode::Same => b[i],
            BinaryMode::Row => b[i % inner],
            BinaryMode::Column => b[i / inner],
            BinaryMode::Scalar => b[0],
        };
        let one = |(i, &a): (usize, &f32)| match kind {
            BinaryKind::Add => a + pick(i),
            BinaryKind::Sub => a - pick(i),
            BinaryKind::Mul => a * pick(i),
            BinaryKind::Div => a / pick(i),
        };
        a.iter().enumerate().map(one).collect()
    }

    #[test]
    fn every_kind_and_mode_equals_scalar_arithmetic() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let mut shapes: Vec<(usize, usize)> = (0..=67).map(|i| (3, i)).chain((0..=9).map(|o| (o, 5))).collect();
        shapes.extend([(1, TILE - 1), (2, TILE), (3, TILE + 1), (2, TILE / 2 + 1), (TILE + 3, 1), (700, 48)]);
        for (outer, inner) in shapes {
            for kind in BinaryKind::ALL {
                for mode in BinaryMode::ALL {
                    let a = rng.normals(outer * inner);
                    let b = rng.normals(match mode {
                        BinaryMode::Same => outer * inner,
                        BinaryMode::Row => inner,
                        BinaryMode::Column => outer,
                        BinaryMode::Scalar => 1,
                    });
                    let mut out = vec![f32::NAN; a.len()];
                    binary(kind, mode, &a, &b, &mut out, outer, inner);
                    let result = same_bits(&out, &naive(kind, mode, &a, &b, inner));
                    cases.check(|| format!("{kind:?} {mode:?} {outer}x{inner}"), result);
                }
            }
        }
        cases.finish();
    }

    #[test]
    fn out_may_be_either_operand() {
        let mut rng = Rng::new(2);
        for (kind, n) in BinaryKind::ALL.into_iter().zip([7, 64, 77, TILE + 5]) {
            let (a, b) = (rng.normals(n), rng.normals(n));
            let want = naive(kind, BinaryMode::Same, &a, &b, n);
            let (mut x, mut y) = (a.clone(), b.clone());
            let op = Binary {
                a: x.as_ptr(),
                b: b.as_ptr(),
                out: x.as_mut_ptr(),
                outer: 1,
                inner: n,
                kind,
                mode: BinaryMode::Same,
            };
            // SAFETY: n floats each; sharing with out is allowed.
            unsafe { crate::run_all(&op) }.unwrap();
            // SAFETY: as above.
            unsafe { crate::run_all(&Binary { a: a.as_ptr(), b: y.as_ptr(), out: y.as_mut_ptr(), ..op }) }.unwrap();
            assert_eq!((&x, &y), (&want, &want), "{kind:?}");
        }
    }

    #[test]
    fn numbers_of_the_format() {
        for i in 0..4u32 {
            assert_eq!(BinaryKind::from_word(i).unwrap() as u32, i);
            assert_eq!(BinaryMode::from_word(i).unwrap() as u32, i);
        }
        assert_eq!((BinaryKind::from_word(4), BinaryMode::from_word(4)), (None, None));
    }
}
