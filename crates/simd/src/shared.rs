//! What both builds of the lane types share: helpers made of their primitive operations, so that the order of
//! arithmetic is written once.

use crate::{F32x4, I32x4, LANES};

impl F32x4 {
    /// Lanes per vector.
    pub const LANES: usize = LANES;

    /// All lanes 0.
    #[inline(always)]
    pub fn zero() -> Self {
        Self::splat(0.0)
    }

    /// Sum of the lanes in the fixed order `(l0 + l1) + (l2 + l3)`.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        let [a, b, c, d] = self.to_array();
        (a + b) + (c + d)
    }

    /// Largest lane by [`F32x4::max`]'s rule, combined as `max(max(l0, l1), max(l2, l3))`.
    #[inline(always)]
    pub fn max_lane(self) -> f32 {
        let [a, b, c, d] = self.to_array();
        let larger = |x: f32, y: f32| if x < y { y } else { x };
        larger(larger(a, b), larger(c, d))
    }

    /// Reads `n` (0..=4) floats; the remaining lanes are 0.
    ///
    /// # Safety
    /// `ptr` must be readable for `n` floats (nothing beyond is touched), `n <= 4`.
    #[inline(always)]
    pub unsafe fn load_partial(ptr: *const f32, n: usize) -> Self {
        // Case by case: a loop over a length becomes a call of memory.copy, which costs more than all the rest.
        // SAFETY: each case reads n floats, promised readable by the caller.
        unsafe {
            match n {
                0 => Self::zero(),
                1 => Self::from_array([*ptr, 0.0, 0.0, 0.0]),
                2 => Self::from_array([*ptr, *ptr.add(1), 0.0, 0.0]),
                3 => Self::from_array([*ptr, *ptr.add(1), *ptr.add(2), 0.0]),
                _ => Self::load(ptr),
            }
        }
    }

    /// Writes the first `n` (0..=4) lanes.
    ///
    /// # Safety
    /// `ptr` must be writable for `n` floats (nothing beyond is touched), `n <= 4`.
    #[inline(always)]
    pub unsafe fn store_partial(self, ptr: *mut f32, n: usize) {
        let [a, b, c, _] = self.to_array();
        // SAFETY: each case writes n floats, promised writable by the caller.
        unsafe {
            match n {
                0 => {}
                1 => *ptr = a,
                2 => (*ptr, *ptr.add(1)) = (a, b),
                3 => (*ptr, *ptr.add(1), *ptr.add(2)) = (a, b, c),
                _ => self.store(ptr),
            }
        }
    }
}

impl I32x4 {
    /// Lanes per vector.
    pub const LANES: usize = LANES;

    /// All lanes 0 (as a mask: all false).
    #[inline(always)]
    pub fn zero() -> Self {
        Self::splat(0)
    }

    /// The lane numbers 0, 1, 2, 3.
    #[inline(always)]
    pub fn iota() -> Self {
        Self::from_array([0, 1, 2, 3])
    }
}
