//! Keeps the text of the first panic where any thread can read it afterwards: a trap in WebAssembly carries no message.
//! Nothing here allocates or locks, because the panic may be about either.

use std::cell::UnsafeCell;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

const CAPACITY: usize = 1024;

struct Text {
    bytes: UnsafeCell<[u8; CAPACITY]>,
    /// 0: nothing yet; 1: being written; n + 2: n bytes are there.
    state: AtomicUsize,
}

// SAFETY: written once, by the thread that moved `state` from 0 to 1; read after it became 2 or more.
unsafe impl Sync for Text {}

static TEXT: Text = Text { bytes: UnsafeCell::new([0; CAPACITY]), state: AtomicUsize::new(0) };

/// Installs the hooks for panics and failed allocations. Needed once per memory.
pub fn install() {
    std::panic::set_hook(Box::new(|info| note(format_args!("{info}"))));
    #[cfg(target_arch = "wasm32")]
    std::alloc::set_alloc_error_hook(|layout| {
        note(format_args!("out of memory: an allocation of {} bytes failed", layout.size()))
    });
}

/// The text of the first panic of any thread, cut to 1 kB; empty if there was none.
pub fn read() -> String {
    match TEXT.state.load(Ordering::Acquire) {
        0 | 1 => String::new(),
        state => {
            // SAFETY: complete and never written again.
            let bytes = unsafe { &*TEXT.bytes.get() };
            String::from_utf8_lossy(&bytes[..state - 2]).into_owned()
        }
    }
}

fn note(text: fmt::Arguments<'_>) {
    if TEXT.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    // SAFETY: this thread alone has moved the state to 1.
    let mut cursor = Cursor { bytes: unsafe { &mut *TEXT.bytes.get() }, len: 0 };
    let _ = cursor.write_fmt(text); // an error means that the rest did not fit
    let len = cursor.len;
    TEXT.state.store(len + 2, Ordering::Release);
}

struct Cursor<'a> {
    bytes: &'a mut [u8; CAPACITY],
    len: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let taken = s.len().min(CAPACITY - self.len);
        self.bytes[self.len..self.len + taken].copy_from_slice(&s.as_bytes()[..taken]);
        self.len += taken;
        if taken == s.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}
