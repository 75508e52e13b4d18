//! Lane types of the kernels: [`F32x4`] and [`I32x4`], four 32-bit lanes each.
//!
//! This is the only crate that names `core::arch`. Three builds of one API:
//! - `wasm128.rs`, plain simd128: every operation is IEEE and gives the same bits on every engine;
//! - `wasm128.rs` with `relaxed-simd`: [`F32x4::madd`] may be fused (one rounding), ask [`madd_is_fused`];
//! - `portable.rs`, arrays of four: the twin for native tests. Its bits equal plain simd128.
//!
//! What it is not: a general SIMD library. There is one width, and only the operations that the kernels use.
//!
//! Masks are [`I32x4`] values whose lanes are 0 (false) or −1 (true), as the comparisons return them.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub use portable::{F32x4, I32x4};

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm128;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use wasm128::{F32x4, I32x4};

/// Number of lanes of [`F32x4`] and [`I32x4`].
pub const LANES: usize = 4;

mod shared;

/// Whether [`F32x4::madd`] rounds once (fused) on this machine. Computed, not assumed: a relaxed build may run on
/// hardware without fused multiply-add. The plain and the portable build always answer `false`.
pub fn madd_is_fused() -> bool {
    // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24; the last term survives only without the intermediate rounding.
    let a = core::hint::black_box(F32x4::splat(1.0 + 1.0 / 4096.0));
    let c = core::hint::black_box(F32x4::splat(-(1.0 + 1.0 / 2048.0)));
    a.madd(a, c).to_array()[0] != 0.0
}

#[cfg(test)]
mod tests;
