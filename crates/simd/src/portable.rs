//! The portable twin: arrays of four, one scalar operation per lane. It exists so that `cargo test` runs the kernels
//! natively; its bits equal the plain simd128 build (no fused multiply-add anywhere). It is not tuned for speed.

use core::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

/// Four `f32` lanes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct F32x4([f32; 4]);

/// Four `i32` lanes, also used as `u32` lanes (operations whose name ends in `_u`) and as masks (0 or −1).
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct I32x4([i32; 4]);

#[inline(always)]
fn each<T: Copy, R>(a: [T; 4], f: impl Fn(T) -> R) -> [R; 4] {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

#[inline(always)]
fn zip<T: Copy, R>(a: [T; 4], b: [T; 4], f: impl Fn(T, T) -> R) -> [R; 4] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

/// Two 16-bit lanes in one of 32 bits, the lower half first.
#[inline(always)]
fn join(low: i16, high: i16) -> i32 {
    i32::from(low as u16) | i32::from(high) << 16
}

#[inline(always)]
fn mask(b: bool) -> i32 {
    -(b as i32)
}

impl F32x4 {
    /// All lanes `x`.
    #[inline(always)]
    pub fn splat(x: f32) -> Self {
        Self([x; 4])
    }

    /// Lanes from an array, lane 0 first.
    #[inline(always)]
    pub fn from_array(a: [f32; 4]) -> Self {
        Self(a)
    }

    /// Lanes as an array, lane 0 first.
    #[inline(always)]
    pub fn to_array(self) -> [f32; 4] {
        self.0
    }

    /// Reads four floats.
    ///
    /// # Safety
    /// `ptr` must be readable for four floats; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn load(ptr: *const f32) -> Self {
        // SAFETY: readable by the caller's promise; arrays of f32 need f32's alignment only.
        Self(unsafe { *(ptr as *const [f32; 4]) })
    }

    /// [`Self::load`]; in the WebAssembly builds one that the compiler leaves in its place.
    ///
    /// # Safety
    /// As [`Self::load`].
    #[inline(always)]
    pub unsafe fn load_volatile(ptr: *const f32) -> Self {
        // SAFETY: passed on from the caller.
        unsafe { Self::load(ptr) }
    }

    /// Reads four bf16 numbers (the upper halves of floats), exact.
    ///
    /// # Safety
    /// `ptr` must be readable for four numbers; 2-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn load_bf16(ptr: *const u16) -> Self {
        // SAFETY: readable by the caller's promise.
        Self(each(unsafe { *(ptr as *const [u16; 4]) }, |half| f32::from_bits(u32::from(half) << 16)))
    }

    /// Reads one float into all lanes.
    ///
    /// # Safety
    /// `ptr` must be readable for one float.
    #[inline(always)]
    pub unsafe fn load_splat(ptr: *const f32) -> Self {
        // SAFETY: readable by the caller's promise.
        Self([unsafe { *ptr }; 4])
    }

    /// Writes four floats.
    ///
    /// # Safety
    /// `ptr` must be writable for four floats; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn store(self, ptr: *mut f32) {
        // SAFETY: writable by the caller's promise.
        unsafe { *(ptr as *mut [f32; 4]) = self.0 }
    }

    /// `self * b + c`: two roundings here and in plain simd128, one where [`crate::madd_is_fused`].
    #[inline(always)]
    pub fn madd(self, b: Self, c: Self) -> Self {
        self * b + c
    }

    /// Lane-wise `if b < self { b } else { self }` (wasm `pmin`): a NaN in `b` gives `self`, a NaN in `self` stays.
    /// Of two zeros `self` wins, whatever their signs.
    #[inline(always)]
    pub fn min(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| if y < x { y } else { x }))
    }

    /// Lane-wise `if self < b { b } else { self }` (wasm `pmax`): a NaN in `b` gives `self`, a NaN in `self` stays.
    /// Of two zeros `self` wins, whatever their signs.
    #[inline(always)]
    pub fn max(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| if x < y { y } else { x }))
    }

    /// Square root, correctly rounded.
    #[inline(always)]
    pub fn sqrt(self) -> Self {
        Self(each(self.0, f32::sqrt))
    }

    /// Clears the sign bit.
    #[inline(always)]
    pub fn abs(self) -> Self {
        Self(each(self.0, f32::abs))
    }

    /// Nearest integer, ties to even, any magnitude.
    #[inline(always)]
    pub fn round_nearest(self) -> Self {
        Self(each(self.0, f32::round_ties_even))
    }

    /// Mask of `self < b`.
    #[inline(always)]
    pub fn lt(self, b: Self) -> I32x4 {
        I32x4(zip(self.0, b.0, |x, y| mask(x < y)))
    }

    /// Mask of `self <= b`.
    #[inline(always)]
    pub fn le(self, b: Self) -> I32x4 {
        I32x4(zip(self.0, b.0, |x, y| mask(x <= y)))
    }

    /// Mask of `self > b`.
    #[inline(always)]
    pub fn gt(self, b: Self) -> I32x4 {
        I32x4(zip(self.0, b.0, |x, y| mask(x > y)))
    }

    /// Mask of `self >= b`.
    #[inline(always)]
    pub fn ge(self, b: Self) -> I32x4 {
        I32x4(zip(self.0, b.0, |x, y| mask(x >= y)))
    }

    /// Mask of `self == b` (IEEE: NaN differs from itself, −0 equals 0).
    #[inline(always)]
    pub fn eq(self, b: Self) -> I32x4 {
        I32x4(zip(self.0, b.0, |x, y| mask(x == y)))
    }

    /// Lane-wise `mask ? yes : no`. Mask lanes must be 0 or −1.
    #[inline(always)]
    pub fn select(mask: I32x4, yes: Self, no: Self) -> Self {
        Self::from_bits(I32x4::select(mask, yes.to_bits(), no.to_bits()))
    }

    /// Truncates to integers. Lanes must lie in i32's range; outside it (and for NaN) the result is unspecified.
    #[inline(always)]
    pub fn to_i32(self) -> I32x4 {
        I32x4(each(self.0, |x| x as i32))
    }

    /// The eight lanes of `self` and `b` added in f64: `((a0 + b0) + (a1 + b1)) + ((a2 + b2) + (a3 + b3))`.
    #[inline(always)]
    pub fn sum_f64(self, b: Self) -> f64 {
        let (a, b) = (self.to_array().map(f64::from), b.to_array().map(f64::from));
        ((a[0] + b[0]) + (a[1] + b[1])) + ((a[2] + b[2]) + (a[3] + b[3]))
    }

    /// Transposes the 4 x 4 block whose rows are `rows`.
    #[inline(always)]
    pub fn transpose4(rows: [Self; 4]) -> [Self; 4] {
        let column = |j: usize| Self(each(rows, |row| row.0[j]));
        [column(0), column(1), column(2), column(3)]
    }

    /// The same bits as integers.
    #[inline(always)]
    pub fn to_bits(self) -> I32x4 {
        I32x4(each(self.0, |x| x.to_bits() as i32))
    }

    /// The same bits as floats.
    #[inline(always)]
    pub fn from_bits(bits: I32x4) -> Self {
        Self(each(bits.0, |x| f32::from_bits(x as u32)))
    }
}

impl Add for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| x + y))
    }
}

impl Sub for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| x - y))
    }
}

impl Mul for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| x * y))
    }
}

impl Div for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| x / y))
    }
}

impl Neg for F32x4 {
    type Output = Self;
    /// Flips the sign bit.
    #[inline(always)]
    fn neg(self) -> Self {
        Self(each(self.0, |x| -x))
    }
}

#[allow(clippy::should_implement_trait)] // shl takes a count, not a vector
impl I32x4 {
    /// All lanes `x`.
    #[inline(always)]
    pub fn splat(x: i32) -> Self {
        Self([x; 4])
    }

    /// Lanes from an array, lane 0 first.
    #[inline(always)]
    pub fn from_array(a: [i32; 4]) -> Self {
        Self(a)
    }

    /// Lanes as an array, lane 0 first.
    #[inline(always)]
    pub fn to_array(self) -> [i32; 4] {
        self.0
    }

    /// Reads four integers.
    ///
    /// # Safety
    /// `ptr` must be readable for four integers; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn load(ptr: *const i32) -> Self {
        // SAFETY: readable by the caller's promise.
        Self(unsafe { *(ptr as *const [i32; 4]) })
    }

    /// Reads one integer into all lanes.
    ///
    /// # Safety
    /// `ptr` must be readable for one integer.
    #[inline(always)]
    pub unsafe fn load_splat(ptr: *const i32) -> Self {
        // SAFETY: readable by the caller's promise.
        Self([unsafe { *ptr }; 4])
    }

    /// Reads eight bytes with sign as eight 16-bit lanes, two to a lane of this type, the lower half first.
    ///
    /// # Safety
    /// `ptr` must be readable for eight bytes.
    #[inline(always)]
    pub unsafe fn load_i8_as_i16(ptr: *const i8) -> Self {
        // SAFETY: readable by the caller's promise; bytes need no alignment.
        let bytes = unsafe { *(ptr as *const [i8; 8]) };
        Self([0, 1, 2, 3].map(|i| join(i16::from(bytes[2 * i]), i16::from(bytes[2 * i + 1]))))
    }

    /// Both as eight 16-bit lanes: products of neighbouring pairs, added: `a[2i]·b[2i] + a[2i+1]·b[2i+1]`, exact but for
    /// four times −32768 (which wraps).
    #[inline(always)]
    pub fn dot_i16(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |a, b| {
            let (low, high) = (i32::from(a as i16) * i32::from(b as i16), (a >> 16) * (b >> 16));
            low.wrapping_add(high)
        }))
    }

    /// The lanes of `self` and `b` as eight 16-bit lanes, saturating.
    #[inline(always)]
    pub fn narrow_i16(self, b: Self) -> Self {
        let narrow = |x: i32| x.clamp(-32768, 32767) as i16;
        let pair = |v: [i32; 4], i: usize| join(narrow(v[i]), narrow(v[i + 1]));
        Self([pair(self.0, 0), pair(self.0, 2), pair(b.0, 0), pair(b.0, 2)])
    }

    /// Writes four integers.
    ///
    /// # Safety
    /// `ptr` must be writable for four integers; 4-byte alignment is enough.
    #[inline(always)]
    pub unsafe fn store(self, ptr: *mut i32) {
        // SAFETY: writable by the caller's promise.
        unsafe { *(ptr as *mut [i32; 4]) = self.0 }
    }

    /// Shifts every lane left by `n` (0..=31) bits.
    #[inline(always)]
    pub fn shl(self, n: u32) -> Self {
        Self(each(self.0, |x| x << n))
    }

    /// Shifts every lane right by `n` (0..=31) bits, filling with zeros.
    #[inline(always)]
    pub fn shr_u(self, n: u32) -> Self {
        Self(each(self.0, |x| ((x as u32) >> n) as i32))
    }

    /// Shifts every lane right by `n` (0..=31) bits, keeping the sign.
    #[inline(always)]
    pub fn shr_s(self, n: u32) -> Self {
        Self(each(self.0, |x| x >> n))
    }

    /// 32 x 32 -> 64 bit unsigned products: `(hi, lo)` halves per lane (Philox).
    #[inline(always)]
    pub fn mul_wide_u(self, b: Self) -> (Self, Self) {
        let wide = zip(self.0, b.0, |x, y| (x as u32 as u64) * (y as u32 as u64));
        (Self(each(wide, |w| (w >> 32) as i32)), Self(each(wide, |w| w as i32)))
    }

    /// Signed integers to floats, nearest even.
    #[inline(always)]
    pub fn to_f32(self) -> F32x4 {
        F32x4(each(self.0, |x| x as f32))
    }

    /// Unsigned integers to floats, nearest even.
    #[inline(always)]
    pub fn to_f32_u(self) -> F32x4 {
        F32x4(each(self.0, |x| x as u32 as f32))
    }

    /// Mask of `self == b`.
    #[inline(always)]
    pub fn eq(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| mask(x == y)))
    }

    /// Mask of `self < b`, signed.
    #[inline(always)]
    pub fn lt(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| mask(x < y)))
    }

    /// Mask of `self < b`, unsigned.
    #[inline(always)]
    pub fn lt_u(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| mask((x as u32) < (y as u32))))
    }

    /// Lane-wise `mask ? yes : no`. Mask lanes must be 0 or −1.
    #[inline(always)]
    pub fn select(mask: Self, yes: Self, no: Self) -> Self {
        (yes & mask) | (no & !mask)
    }

    /// Whether any bit is set (as a mask: any lane true).
    #[inline(always)]
    pub fn any(self) -> bool {
        self.0 != [0; 4]
    }

    /// Whether every lane is nonzero (as a mask: all lanes true).
    #[inline(always)]
    pub fn all(self) -> bool {
        !self.0.contains(&0)
    }
}

impl Add for I32x4 {
    type Output = Self;
    /// Wraps around.
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(zip(self.0, b.0, i32::wrapping_add))
    }
}

impl Sub for I32x4 {
    type Output = Self;
    /// Wraps around.
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(zip(self.0, b.0, i32::wrapping_sub))
    }
}

impl Mul for I32x4 {
    type Output = Self;
    /// Wraps around (low 32 bits; the same for signed and unsigned).
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(zip(self.0, b.0, i32::wrapping_mul))
    }
}

impl BitAnd for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| x & y))
    }
}

impl BitOr for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| x | y))
    }
}

impl BitXor for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn bitxor(self, b: Self) -> Self {
        Self(zip(self.0, b.0, |x, y| x ^ y))
    }
}

impl Not for I32x4 {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self(each(self.0, |x| !x))
    }
}
