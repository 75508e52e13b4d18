//! Zeroed, 64-byte aligned memory that may fail to be there, and the account of all of it. Nothing here knows what the bytes are for.

use crate::error::{Code, EngineError};
use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ptr::NonNull;

/// Alignment of every block: a cache line, and what the planner assumes.
pub const ALIGN: usize = 64;
/// Largest block: Rust refuses objects of 2 GiB and more on a 32-bit machine.
pub const MAX_BLOCK: u64 = (1 << 31) - 64;

/// `bytes` rounded up to whole cache lines, at least one: what a block of that size really takes.
pub fn rounded(bytes: u64) -> u64 {
    bytes.max(1).div_ceil(ALIGN as u64) * ALIGN as u64
}

/// One owned allocation.
#[derive(Debug)]
pub struct Block {
    pointer: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block is plain memory that it owns; who writes what when is the executor's business.
unsafe impl Send for Block {}

impl Block {
    /// `bytes` (rounded up) of zeros, or `None` if the machine has not got them.
    pub fn zeroed(bytes: u64) -> Option<Self> {
        if bytes > MAX_BLOCK {
            return None;
        }
        let layout = Layout::from_size_align(rounded(bytes) as usize, ALIGN).ok()?;
        // SAFETY: the layout has a size of at least one cache line.
        let pointer = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { pointer, layout })
    }

    /// Address of the first byte.
    pub fn pointer(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    /// Size in bytes, a multiple of 64.
    pub fn bytes(&self) -> u64 {
        self.layout.size() as u64
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated by `zeroed` with this layout.
        unsafe { dealloc(self.pointer.as_ptr(), self.layout) }
    }
}

/// The error of an allocation that is not to be had: what it needs, what is in use, and the limit.
pub fn out_of_memory(op: &str, needed: u64, in_use: u64, limit: u64) -> EngineError {
    EngineError::new(
        Code::OutOfMemory,
        format!("{op}: needs {needed} bytes more than the {in_use} in use, the limit is {limit}"),
    )
}
