//! The WebAssembly build of the lane types: one wasm instruction per operation wherever there is one.
//!
//! With `target_feature = "relaxed-simd"` multiply-add, truncation and select use their relaxed forms: multiply-add may
//! then be fused, the other two give the same bits for the inputs this API allows and are one machine instruction
//! instead of several. Without it every bit is fixed by the WebAssembly specification.

use core::arch::wasm32 as w;
use core::arch::wasm32::v128;
use core::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

/// Four `f32` lanes.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct F32x4(v128);

/// Four `i32` lanes, also used as `u32` lanes (operations whose name ends in `_u`) and as masks (0 or −1).
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct I32x4(v128);

impl F32x4 {
    /// All lanes `x`.
    #[inline(always)]
    pub fn splat(x: f32) -> Self {
        Self(w::f32x4_splat(x))
    }

    /// Lanes from an array, lane 0 first.
    #[inline(always)]
    pub fn from_array(a: [f32; 4]) -> Self {
        Self(w::f32x4(a[0], a[1], a[2], a[3]))
    }

    /// Lanes as an array, lane 0 first.
    #[inline(always)]
    pub fn to_array(self) -> [f32; 4] {
        [
            w::f32x4_extract_lane::<0>(self.0),
            w::f32x4_extract_lane::<1>(self.0),
            w::f32x4_extract_lane::<2>(self.0),
            w::f32x4_extract_lane::<3>(self.0),
        ]
    }

    /// Reads four floats.
    ///
    /// # Safety
    /// `ptr` must be readable for four floats; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn load(ptr: *const f32) -> Self {
        // SAFETY: readable by the caller's promise; v128.load needs no alignment.
        Self(unsafe { w::v128_load(ptr as *const v128) })
    }

    /// [`Self::load`] that happens here and now: the compiler neither moves it, nor into a caller, nor reorders it with
    /// other volatile loads. The first use is to keep vectors out of a function's parameters, see docs/kernels.md.
    ///
    /// # Safety
    /// As [`Self::load`].
    #[inline(always)]
    pub unsafe fn load_volatile(ptr: *const f32) -> Self {
        /// A vector at any address: a volatile read has the alignment of its type.
        #[repr(C, packed)]
        struct Anywhere(v128);
        // SAFETY: readable by the caller's promise, and `Anywhere` needs no alignment.
        Self(unsafe { core::ptr::read_volatile(ptr as *const Anywhere) }.0)
    }

    /// Reads four bf16 numbers (the upper halves of floats), exact.
    ///
    /// # Safety
    /// `ptr` must be readable for four numbers; 2-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn load_bf16(ptr: *const u16) -> Self {
        // SAFETY: readable by the caller's promise; the load needs no alignment.
        Self(w::i32x4_shl(unsafe { w::u32x4_load_extend_u16x4(ptr) }, 16))
    }

    /// Reads one float into all lanes.
    ///
    /// # Safety
    /// `ptr` must be readable for one float.
    #[inline(always)]
    pub unsafe fn load_splat(ptr: *const f32) -> Self {
        // SAFETY: readable by the caller's promise.
        Self(unsafe { w::v128_load32_splat(ptr as *const u32) })
    }

    /// Writes four floats.
    ///
    /// # Safety
    /// `ptr` must be writable for four floats; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn store(self, ptr: *mut f32) {
        // SAFETY: writable by the caller's promise; v128.store needs no alignment.
        unsafe { w::v128_store(ptr as *mut v128, self.0) }
    }

    /// `self * b + c`: two roundings in plain simd128, one where [`crate::madd_is_fused`].
    #[inline(always)]
    #[allow(clippy::needless_return)] // the two builds read alike
    pub fn madd(self, b: Self, c: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return Self(w::f32x4_relaxed_madd(self.0, b.0, c.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        return self * b + c;
    }

    /// Lane-wise `if b < self { b } else { self }` (wasm `pmin`): a NaN in `b` gives `self`, a NaN in `self` stays.
    /// Of two zeros `self` wins, whatever their signs.
    #[inline(always)]
    pub fn min(self, b: Self) -> Self {
        Self(w::f32x4_pmin(self.0, b.0))
    }

    /// Lane-wise `if self < b { b } else { self }` (wasm `pmax`): a NaN in `b` gives `self`, a NaN in `self` stays.
    /// Of two zeros `self` wins, whatever their signs.
    #[inline(always)]
    pub fn max(self, b: Self) -> Self {
        Self(w::f32x4_pmax(self.0, b.0))
    }

    /// Square root, correctly rounded.
    #[inline(always)]
    pub fn sqrt(self) -> Self {
        Self(w::f32x4_sqrt(self.0))
    }

    /// Clears the sign bit.
    #[inline(always)]
    pub fn abs(self) -> Self {
        Self(w::f32x4_abs(self.0))
    }

    /// Nearest integer, ties to even, any magnitude.
    #[inline(always)]
    pub fn round_nearest(self) -> Self {
        Self(w::f32x4_nearest(self.0))
    }

    /// Mask of `self < b`.
    #[inline(always)]
    pub fn lt(self, b: Self) -> I32x4 {
        I32x4(w::f32x4_lt(self.0, b.0))
    }

    /// Mask of `self <= b`.
    #[inline(always)]
    pub fn le(self, b: Self) -> I32x4 {
        I32x4(w::f32x4_le(self.0, b.0))
    }

    /// Mask of `self > b`.
    #[inline(always)]
    pub fn gt(self, b: Self) -> I32x4 {
        I32x4(w::f32x4_gt(self.0, b.0))
    }

    /// Mask of `self >= b`.
    #[inline(always)]
    pub fn ge(self, b: Self) -> I32x4 {
        I32x4(w::f32x4_ge(self.0, b.0))
    }

    /// Mask of `self == b` (IEEE: NaN differs from itself, −0 equals 0).
    #[inline(always)]
    pub fn eq(self, b: Self) -> I32x4 {
        I32x4(w::f32x4_eq(self.0, b.0))
    }

    /// Lane-wise `mask ? yes : no`. Mask lanes must be 0 or −1.
    #[inline(always)]
    pub fn select(mask: I32x4, yes: Self, no: Self) -> Self {
        Self::from_bits(I32x4::select(mask, yes.to_bits(), no.to_bits()))
    }

    /// Truncates to integers. Lanes must lie in i32's range; outside it (and for NaN) the result is unspecified.
    #[inline(always)]
    #[allow(clippy::needless_return)] // the two builds read alike
    pub fn to_i32(self) -> I32x4 {
        #[cfg(target_feature = "relaxed-simd")]
        return I32x4(w::i32x4_relaxed_trunc_f32x4(self.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        return I32x4(w::i32x4_trunc_sat_f32x4(self.0));
    }

    /// The eight lanes of `self` and `b` added in f64: `((a0 + b0) + (a1 + b1)) + ((a2 + b2) + (a3 + b3))`.
    #[inline(always)]
    pub fn sum_f64(self, b: Self) -> f64 {
        let high = |v: v128| w::f64x2_promote_low_f32x4(w::i32x4_shuffle::<2, 3, 2, 3>(v, v));
        let low = |v: v128| w::f64x2_promote_low_f32x4(v);
        let (front, back) = (w::f64x2_add(low(self.0), low(b.0)), w::f64x2_add(high(self.0), high(b.0)));
        let pair = |v: v128| w::f64x2_extract_lane::<0>(v) + w::f64x2_extract_lane::<1>(v);
        pair(front) + pair(back)
    }

    /// Transposes the 4 x 4 block whose rows are `rows`.
    #[inline(always)]
    pub fn transpose4(rows: [Self; 4]) -> [Self; 4] {
        let [a, b, c, d] = rows.map(|row| row.0);
        let ab_low = w::i32x4_shuffle::<0, 4, 1, 5>(a, b); // a0 b0 a1 b1
        let ab_high = w::i32x4_shuffle::<2, 6, 3, 7>(a, b);
        let cd_low = w::i32x4_shuffle::<0, 4, 1, 5>(c, d);
        let cd_high = w::i32x4_shuffle::<2, 6, 3, 7>(c, d);
        [
            Self(w::i32x4_shuffle::<0, 1, 4, 5>(ab_low, cd_low)),
            Self(w::i32x4_shuffle::<2, 3, 6, 7>(ab_low, cd_low)),
            Self(w::i32x4_shuffle::<0, 1, 4, 5>(ab_high, cd_high)),
            Self(w::i32x4_shuffle::<2, 3, 6, 7>(ab_high, cd_high)),
        ]
    }

    /// The same bits as integers.
    #[inline(always)]
    pub fn to_bits(self) -> I32x4 {
        I32x4(self.0)
    }

    /// The same bits as floats.
    #[inline(always)]
    pub fn from_bits(bits: I32x4) -> Self {
        Self(bits.0)
    }
}

impl Add for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(w::f32x4_add(self.0, b.0))
    }
}

impl Sub for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(w::f32x4_sub(self.0, b.0))
    }
}

impl Mul for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(w::f32x4_mul(self.0, b.0))
    }
}

impl Div for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Self(w::f32x4_div(self.0, b.0))
    }
}

impl Neg for F32x4 {
    type Output = Self;
    /// Flips the sign bit.
    #[inline(always)]
    fn neg(self) -> Self {
        Self(w::f32x4_neg(self.0))
    }
}

#[allow(clippy::should_implement_trait)] // shl takes a count, not a vector
impl I32x4 {
    /// All lanes `x`.
    #[inline(always)]
    pub fn splat(x: i32) -> Self {
        Self(w::i32x4_splat(x))
    }

    /// Lanes from an array, lane 0 first.
    #[inline(always)]
    pub fn from_array(a: [i32; 4]) -> Self {
        Self(w::i32x4(a[0], a[1], a[2], a[3]))
    }

    /// Lanes as an array, lane 0 first.
    #[inline(always)]
    pub fn to_array(self) -> [i32; 4] {
        [
            w::i32x4_extract_lane::<0>(self.0),
            w::i32x4_extract_lane::<1>(self.0),
            w::i32x4_extract_lane::<2>(self.0),
            w::i32x4_extract_lane::<3>(self.0),
        ]
    }

    /// Reads four integers.
    ///
    /// # Safety
    /// `ptr` must be readable for four integers; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn load(ptr: *const i32) -> Self {
        // SAFETY: readable by the caller's promise; v128.load needs no alignment.
        Self(unsafe { w::v128_load(ptr as *const v128) })
    }

    /// Reads one integer into all lanes.
    ///
    /// # Safety
    /// `ptr` must be readable for one integer.
    #[inline(always)]
    pub unsafe fn load_splat(ptr: *const i32) -> Self {
        // SAFETY: readable by the caller's promise.
        Self(unsafe { w::v128_load32_splat(ptr as *const u32) })
    }

    /// Reads eight bytes with sign as eight 16-bit lanes, two to a lane of this type, the lower half first.
    ///
    /// # Safety
    /// `ptr` must be readable for eight bytes.
    #[inline(always)]
    pub unsafe fn load_i8_as_i16(ptr: *const i8) -> Self {
        // SAFETY: readable by the caller's promise.
        Self(unsafe { w::i16x8_load_extend_i8x8(ptr) })
    }

    /// Both as eight 16-bit lanes: products of neighbouring pairs, added: `a[2i]·b[2i] + a[2i+1]·b[2i+1]`, exact but for
    /// four times −32768 (which wraps).
    #[inline(always)]
    pub fn dot_i16(self, b: Self) -> Self {
        Self(w::i32x4_dot_i16x8(self.0, b.0))
    }

    /// The lanes of `self` and `b` as eight 16-bit lanes, saturating.
    #[inline(always)]
    pub fn narrow_i16(self, b: Self) -> Self {
        Self(w::i16x8_narrow_i32x4(self.0, b.0))
    }

    /// Writes four integers.
    ///
    /// # Safety
    /// `ptr` must be writable for four integers; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn store(self, ptr: *mut i32) {
        // SAFETY: writable by the caller's promise; v128.store needs no alignment.
        unsafe { w::v128_store(ptr as *mut v128, self.0) }
    }

    /// Shifts every lane left by `n` (0..=31) bits.
    #[inline(always)]
    pub fn shl(self, n: u32) -> Self {
        Self(w::i32x4_shl(self.0, n))
    }

    /// Shifts every lane right by `n` (0..=31) bits, filling with zeros.
    #[inline(always)]
    pub fn shr_u(self, n: u32) -> Self {
        Self(w::u32x4_shr(self.0, n))
    }

    /// Shifts every lane right by `n` (0..=31) bits, keeping the sign.
    #[inline(always)]
    pub fn shr_s(self, n: u32) -> Self {
        Self(w::i32x4_shr(self.0, n))
    }

    /// 32 x 32 -> 64 bit unsigned products: `(hi, lo)` halves per lane (Philox).
    #[inline(always)]
    pub fn mul_wide_u(self, b: Self) -> (Self, Self) {
        let low = w::u64x2_extmul_low_u32x4(self.0, b.0); // products of lanes 0, 1: [lo0 hi0 lo1 hi1]
        let high = w::u64x2_extmul_high_u32x4(self.0, b.0); // products of lanes 2, 3
        let hi = w::i32x4_shuffle::<1, 3, 5, 7>(low, high);
        let lo = w::i32x4_shuffle::<0, 2, 4, 6>(low, high);
        (Self(hi), Self(lo))
    }

    /// Signed integers to floats, nearest even.
    #[inline(always)]
    pub fn to_f32(self) -> F32x4 {
        F32x4(w::f32x4_convert_i32x4(self.0))
    }

    /// Unsigned integers to floats, nearest even.
    #[inline(always)]
    pub fn to_f32_u(self) -> F32x4 {
        F32x4(w::f32x4_convert_u32x4(self.0))
    }

    /// Mask of `self == b`.
    #[inline(always)]
    pub fn eq(self, b: Self) -> Self {
        Self(w::i32x4_eq(self.0, b.0))
    }

    /// Mask of `self < b`, signed.
    #[inline(always)]
    pub fn lt(self, b: Self) -> Self {
        Self(w::i32x4_lt(self.0, b.0))
    }

    /// Mask of `self < b`, unsigned.
    #[inline(always)]
    pub fn lt_u(self, b: Self) -> Self {
        Self(w::u32x4_lt(self.0, b.0))
    }

    /// Lane-wise `mask ? yes : no`. Mask lanes must be 0 or −1.
    #[inline(always)]
    #[allow(clippy::needless_return)] // the two builds read alike
    pub fn select(mask: Self, yes: Self, no: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return Self(w::i32x4_relaxed_laneselect(yes.0, no.0, mask.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        return Self(w::v128_bitselect(yes.0, no.0, mask.0));
    }

    /// Whether any bit is set (as a mask: any lane true).
    #[inline(always)]
    pub fn any(self) -> bool {
        w::v128_any_true(self.0)
    }

    /// Whether every lane is nonzero (as a mask: all lanes true).
    #[inline(always)]
    pub fn all(self) -> bool {
        w::i32x4_all_true(self.0)
    }
}

impl Add for I32x4 {
    type Output = Self;
    /// Wraps around.
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(w::i32x4_add(self.0, b.0))
    }
}

impl Sub for I32x4 {
    type Output = Self;
    /// Wraps around.
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(w::i32x4_sub(self.0, b.0))
    }
}

impl Mul for I32x4 {
    type Output = Self;
    /// Wraps around (low 32 bits; the same for signed and unsigned).
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(w::i32x4_mul(self.0, b.0))
    }
}

impl BitAnd for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, b: Self) -> Self {
        Self(w::v128_and(self.0, b.0))
    }
}

impl BitOr for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, b: Self) -> Self {
        Self(w::v128_or(self.0, b.0))
    }
}

impl BitXor for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn bitxor(self, b: Self) -> Self {
        Self(w::v128_xor(self.0, b.0))
    }
}

impl Not for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self(w::v128_not(self.0))
    }
}
