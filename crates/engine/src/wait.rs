//! Sleeping until a word changes, and waking the sleepers: the one thing besides lanes for which this workspace needs an
//! instruction of the machine (`memory.atomic.wait32`). Not a barrier: see `gate.rs`.

#[cfg(target_arch = "wasm32")]
use std::sync::atomic::AtomicU32;

/// Sleeps while `word` holds `expected`, for at most `timeout_ms` if there is one. May return early: callers re-check in a
/// loop. A change of the word that is followed by [`notify_all`] is never missed.
#[cfg(target_arch = "wasm32")]
pub fn wait(word: &AtomicU32, expected: u32, timeout_ms: Option<u32>) {
    let nanoseconds = timeout_ms.map_or(-1, |ms| i64::from(ms) * 1_000_000);
    // SAFETY: the word lives as long as the borrow, and is aligned as an i32 must be.
    unsafe {
        core::arch::wasm32::memory_atomic_wait32(word.as_ptr().cast::<i32>(), expected as i32, nanoseconds);
    }
}

/// Wakes every thread that sleeps on `word`.
#[cfg(target_arch = "wasm32")]
pub fn notify_all(word: &AtomicU32) {
    // SAFETY: the word lives as long as the borrow, and is aligned as an i32 must be.
    unsafe {
        core::arch::wasm32::memory_atomic_notify(word.as_ptr().cast::<i32>(), u32::MAX);
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use native::{notify_all, wait};

/// The native twin: one lock and one condition for all words. Slow and right; only tests run it.
#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    static LOCK: Mutex<()> = Mutex::new(());
    static CHANGED: Condvar = Condvar::new();

    /// See the wasm version.
    pub fn wait(word: &AtomicU32, expected: u32, timeout_ms: Option<u32>) {
        let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        // Compared under the lock that notify_all takes: a change before it is seen here, a change after it wakes us.
        if word.load(Ordering::SeqCst) == expected {
            match timeout_ms {
                Some(ms) => drop(CHANGED.wait_timeout(guard, Duration::from_millis(u64::from(ms)))),
                None => drop(CHANGED.wait(guard)),
            }
        }
    }

    /// See the wasm version.
    pub fn notify_all(_word: &AtomicU32) {
        let _guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        CHANGED.notify_all();
    }
}
