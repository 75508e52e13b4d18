//! How an operation offers its work: numbered tiles that any thread may run in any order.
//! It knows nothing of threads; the engine's tile queue and [`run_all`] are its callers.

/// An operation cut into independent work items.
pub trait TileOp {
    /// Number of work items. It depends on the dims only, never on the number of threads.
    fn tiles(&self) -> usize;

    /// Floats of scratch that one thread needs for any tile. The contents need no initialisation and may be overwritten.
    fn scratch_len(&self) -> usize;

    /// Runs one tile.
    ///
    /// # Safety
    /// Every pointer of the operation must be valid for the dims it is given with, `scratch` for `scratch_len()` floats
    /// that no other thread uses, and `tile < tiles()`. Tiles of one operation never write the same element, so they may
    /// run at the same time; inputs must not be written meanwhile.
    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault>;
}

/// What a kernel found wrong with the data it was given. Outputs of the faulting tile are unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule was broken.
    pub code: FaultCode,
    /// Where: the row (label, token, position) that broke it.
    pub at: u32,
    /// The offending value, where it is an integer; otherwise 0.
    pub value: i32,
}

/// The rules that only running can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FaultCode {
    /// A label is neither the ignored one nor in `0..vocab`.
    LabelOutOfRange = 1,
    /// A token id is not in `0..vocab`.
    TokenOutOfRange = 2,
    /// A row of logits to sample from holds no finite maximum.
    NonFiniteLogits = 3,
    /// A position lies beyond the position table.
    PositionOutOfRange = 4,
}

/// Runs every tile in order on this thread, with scratch of its own. Stops at the first fault.
///
/// # Safety
/// As [`TileOp::run_tile`], for every tile.
pub unsafe fn run_all<T: TileOp + ?Sized>(op: &T) -> Result<(), Fault> {
    let mut scratch = vec![0.0f32; op.scratch_len()];
    // SAFETY: the caller vouches for the operands; the scratch is as long as asked and ours alone.
    unsafe { run_tiles(op, scratch.as_mut_ptr()) }
}

/// [`run_all`] with scratch of the caller's. Stops at the first fault.
///
/// # Safety
/// As [`TileOp::run_tile`], for every tile.
pub unsafe fn run_tiles<T: TileOp + ?Sized>(op: &T, scratch: *mut f32) -> Result<(), Fault> {
    for tile in 0..op.tiles() {
        // SAFETY: the caller's promise.
        unsafe { op.run_tile(tile, scratch)? };
    }
    Ok(())
}

/// `a / b` rounded up: how many blocks of `b` cover `a`.
#[inline(always)]
pub const fn blocks(a: usize, b: usize) -> usize {
    a.div_ceil(b)
}
