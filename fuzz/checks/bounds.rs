//! What every fuzz target promises beside not crashing: an answer within a second, and memory in proportion to the input. Included with
//! `#[path]` by the targets and by the tests that replay their corpora, so it depends on nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The system's allocator with a count of the bytes in use and of their peak.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    PEAK.fetch_max(IN_USE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: every call is the system's; the counters are beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `check`; panics if it takes a second three times in a row (a busy machine may make one slow), or allocates more than twice the
/// input and 16 MB.
pub fn bounded(input: &[u8], check: impl Fn()) {
    let slow = || {
        let started = Instant::now();
        check();
        started.elapsed() > Duration::from_secs(1)
    };
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let first = slow();
    let peak = PEAK.load(Relaxed) - before;
    let most = 2 * input.len() + (16 << 20);
    assert!(peak <= most, "an input of {} bytes made it allocate {peak} bytes, at most {most} may be", input.len());
    assert!(!(first && slow() && slow()), "an input of {} bytes takes more than a second", input.len());
}
