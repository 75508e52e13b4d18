//! The register tile: `MR` rows by `NV` vectors of the result held in registers while k runs. One const-generic function
//! serves every tile; everything around it (blocks, packing, ragged edges) lives in `panels.rs` and `pack.rs`.
//!
//! Rules that decide its speed (docs/kernels.md; measured on V8): it ends in stores only, whatever is to be added enters
//! as the accumulators' initial value; it is never inlined, so that engines compile it alone; A is read in place with
//! splat loads; accumulators plus one row of B plus one splat fit the 15 vector registers an engine has.
//!
//! Numerics: every result is one chain over ascending k from its initial value, `acc = madd(a[k], b[k], acc)`, in every
//! tile. That is why the choice of tile never shows in a bit.

use simd::{F32x4, LANES};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A register tile, `rows x columns` of the result. Which one is fastest depends on the engine that compiles it and on the
/// processor, so the engine measures them all when it starts (docs/kernels.md has what was seen).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RegisterTile {
    /// 8 accumulators: never spills on any engine tried. The default.
    T4x8 = 0,
    /// 12 accumulators: fills the 15 registers of V8 exactly, spills before V8 13.
    T6x8 = 1,
    /// 16 accumulators: for processors with 32 vector registers.
    T8x8 = 2,
    /// 16 accumulators, 8 where the engine fuses pairs of vectors to 256 bit.
    T4x16 = 3,
    /// 24 accumulators, 12 where the engine fuses pairs of vectors to 256 bit.
    T6x16 = 4,
}

impl RegisterTile {
    /// Every tile there is.
    pub const ALL: [Self; 5] = [Self::T4x8, Self::T6x8, Self::T8x8, Self::T4x16, Self::T6x16];

    /// Rows of the tile.
    pub const fn mr(self) -> usize {
        match self {
            Self::T4x8 | Self::T4x16 => 4,
            Self::T6x8 | Self::T6x16 => 6,
            Self::T8x8 => MAX_MR,
        }
    }

    /// Columns of the tile, the width of a packed panel.
    pub const fn nr(self) -> usize {
        match self {
            Self::T4x8 | Self::T6x8 | Self::T8x8 => 8,
            Self::T4x16 | Self::T6x16 => MAX_NR,
        }
    }
}

/// The highest tile. Every tile's height divides 24, which is why work items have multiples of 24 rows.
pub const MAX_MR: usize = 8;

/// The widest panel of any tile; scratch sizes assume it, so that they do not depend on the tile in use.
pub const MAX_NR: usize = 16;

static CURRENT: AtomicUsize = AtomicUsize::new(RegisterTile::T4x8 as usize);

/// The tile that matmul, attention and the fused loss use from now on, in every thread of this memory. It changes speed,
/// never a bit of any result.
pub fn set_register_tile(tile: RegisterTile) {
    CURRENT.store(tile as usize, Ordering::Relaxed);
}

/// The tile in use.
pub fn register_tile() -> RegisterTile {
    RegisterTile::ALL[CURRENT.load(Ordering::Relaxed)]
}

/// All `MR` rows take every step of k.
pub const FULL: u8 = 0;
/// Before the common steps, `MR − 1` steps in which step `t` belongs to the rows `..= t` only (rows start late).
pub const HEAD: u8 = 1;
/// After the common steps, `MR − 1` steps in which step `t` belongs to the rows `> t` only (rows end late).
pub const TAIL: u8 = 2;

/// Where the accumulators start: `from[i·row + j] (+ add[j])`.
#[derive(Clone, Copy)]
pub struct Start {
    /// Initial values of row 0. Never null: point it at zeros, with `row` 0, to start from zero.
    pub from: *const f32,
    /// Elements from one row's initial values to the next (0: the same for all).
    pub row: usize,
    /// Added to every row's initial values, or null.
    pub add: *const f32,
}

static ZEROS: [f32; MAX_NR] = [0.0; MAX_NR];

impl Start {
    /// All zeros. Valid for one panel's width: pass it with `advance(0)` only, which [`Start::advance`] sees to.
    pub fn zero() -> Self {
        Self { from: ZEROS.as_ptr(), row: 0, add: core::ptr::null() }
    }

    /// Whether this is [`Start::zero`].
    pub fn is_zero(&self) -> bool {
        core::ptr::eq(self.from, ZEROS.as_ptr())
    }

    /// The start of the result's element (`row`, `column`) on.
    ///
    /// # Safety
    /// The element must lie in what the pointers are valid for.
    #[inline(always)]
    pub unsafe fn advance(&self, row: usize, column: usize) -> Self {
        if self.is_zero() {
            return *self;
        }
        // SAFETY: inside the initial values, by the caller's promise.
        unsafe {
            Self {
                from: self.from.add(row * self.row + column),
                row: self.row,
                add: if self.add.is_null() { self.add } else { self.add.add(column) },
            }
        }
    }
}

/// `out[i, j] = start[i, j] + Σ_k a[i·a_row + k·a_step] · b[k·4NV + j]` for `MR` rows and `4·NV` columns; see [`FULL`],
/// [`HEAD`] and [`TAIL`] for the steps of each row. `steps` counts the common steps.
///
/// # Safety
/// `a` readable for every row and step, `b` for `4·NV` floats per step, `start` and `out` for `MR` rows of `4·NV`. `out`
/// may be the initial values; it must not overlap `a` or `b`.
#[inline(never)]
pub unsafe fn micro<const MR: usize, const NV: usize, const EDGE: u8>(
    steps: usize,
    a: *const f32,
    a_row: usize,
    a_step: usize,
    b: *const f32,
    start: Start,
    out: *mut f32,
    out_row: usize,
) {
    let mut acc = [[F32x4::zero(); NV]; MR];
    let (mut a, mut b) = (a, b);
    // SAFETY (whole body): the caller vouches for every row, step and column touched here.
    unsafe {
        // Volatile, or LLVM moves the loads of the 1 x 8 tile to its callers and makes the vectors parameters, on which V8 14.6
        // dies when it fuses (docs/kernels.md).
        for i in 0..MR {
            for j in 0..NV {
                acc[i][j] = F32x4::load_volatile(start.from.add(i * start.row + j * LANES));
            }
        }
        if !start.add.is_null() {
            for j in 0..NV {
                let add = F32x4::load(start.add.add(j * LANES));
                for i in 0..MR {
                    acc[i][j] = acc[i][j] + add;
                }
            }
        }
        if EDGE == HEAD {
            for t in 0..MR - 1 {
                step::<MR, NV>(&mut acc, 0, t + 1, a, a_row, b);
                (a, b) = (a.wrapping_add(a_step), b.wrapping_add(NV * LANES));
            }
        }
        for _ in 0..steps {
            step::<MR, NV>(&mut acc, 0, MR, a, a_row, b);
            (a, b) = (a.wrapping_add(a_step), b.wrapping_add(NV * LANES));
        }
        if EDGE == TAIL {
            for t in 0..MR - 1 {
                step::<MR, NV>(&mut acc, t + 1, MR, a, a_row, b);
                (a, b) = (a.wrapping_add(a_step), b.wrapping_add(NV * LANES));
            }
        }
        for i in 0..MR {
            for j in 0..NV {
                acc[i][j].store(out.add(i * out_row + j * LANES));
            }
        }
    }
}

/// One step of k for the rows `first..last`.
///
/// # Safety
/// As [`micro`], for this step.
#[inline(always)]
unsafe fn step<const MR: usize, const NV: usize>(
    acc: &mut [[F32x4; NV]; MR],
    first: usize,
    last: usize,
    a: *const f32,
    a_row: usize,
    b: *const f32,
) {
    let mut row = [F32x4::zero(); NV];
    // SAFETY: passed on from the caller.
    unsafe {
        for j in 0..NV {
            row[j] = F32x4::load(b.add(j * LANES));
        }
        for i in first..last {
            let x = F32x4::load_splat(a.add(i * a_row));
            for j in 0..NV {
                acc[i][j] = x.madd(row[j], acc[i][j]);
            }
        }
    }
}
