//! What every thread does: wait at the barrier, work on the current stage's tiles until there are none, and again. Thread 0
//! decides what comes next (`run.rs`); the others only see a [`Job`]. Which thread runs a tile never shows in the result.

use crate::barrier::{Barrier, Poisoned};
use crate::decode::Op;
use crate::queue::Queue;
use kernels::Fault;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// The poison code of an orderly end.
const SHUTDOWN: u32 = u32::MAX;
/// No thread of this stage is to trap.
pub const NO_TRAP: u32 = u32::MAX;
/// Thread 0 looks at the clock after 1, 2, 4 and then every 8 tiles of a stage: large tiles are few, and for small ones a
/// call into JavaScript per tile would show.
const TILES_PER_CLOCK: u32 = 8;

/// A stage to work on: plain pointers into the running program, valid until every thread has arrived at the barrier again.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    /// The stage's operations.
    pub ops: *const Op,
    /// For each of them, the stage's tiles up to and including its own.
    pub ends: *const u32,
    /// Number of the stage's first instruction, for reports.
    pub first: usize,
    /// Tiles of the whole stage.
    pub tiles: u32,
    /// The thread that is to die here, or [`NO_TRAP`].
    pub trap: u32,
    /// All threads' scratch, `scratch_stride` floats each.
    pub scratch: *mut f32,
    /// Floats of scratch per thread.
    pub scratch_stride: usize,
    /// Milliseconds per thread and instruction of the program, or null.
    pub profile: *mut f64,
    /// Instructions of the program.
    pub profile_stride: usize,
}

impl Job {
    /// No work at all.
    pub const fn idle() -> Self {
        Self {
            ops: std::ptr::null(),
            ends: std::ptr::null(),
            first: 0,
            tiles: 0,
            trap: NO_TRAP,
            scratch: std::ptr::null_mut(),
            scratch_stride: 0,
            profile: std::ptr::null_mut(),
            profile_stride: 0,
        }
    }
}

/// A kernel's complaint and the instruction it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultReport {
    /// What the kernel said.
    pub fault: Fault,
    /// Index of the instruction.
    pub instruction: usize,
}

/// What all threads of an engine share.
pub struct Shared {
    threads: u32,
    barrier: Barrier,
    queue: Queue,
    /// Written by thread 0 between a gather and a release, read by the others between a release and their next arrival.
    job: UnsafeCell<Job>,
    faults: FaultSlot,
    now: fn() -> f64,
}

// SAFETY: `job` is guarded by the barrier as said at the field; its pointers are read under the same rule.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Shared {
    /// For `threads` threads; `now` gives milliseconds from any fixed start.
    pub fn new(threads: u32, now: fn() -> f64) -> Self {
        Self {
            threads,
            barrier: Barrier::new(threads),
            queue: Queue::default(),
            job: UnsafeCell::new(Job::idle()),
            faults: FaultSlot::default(),
            now,
        }
    }

    /// Number of threads, thread 0 included.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Milliseconds.
    pub fn now(&self) -> f64 {
        (self.now)()
    }

    /// The barrier; thread 0 leads it.
    pub(crate) fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// The queue of tiles.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The first fault (in instruction, then position order) since the last call.
    pub(crate) fn take_fault(&self) -> Option<FaultReport> {
        self.faults.take()
    }

    /// Thread 0, after a gather and before a release: what to work on next.
    pub(crate) fn set_job(&self, job: Job) {
        // SAFETY: every other thread waits at the barrier.
        unsafe { *self.job.get() = job }
    }

    /// The body of thread `tid` > 0: works until [`shutdown`](Self::shutdown), or until the engine is poisoned.
    pub fn thread_main(&self, tid: u32) -> Result<(), Poisoned> {
        loop {
            match self.barrier.arrive_and_wait() {
                Ok(()) => {}
                Err(Poisoned(SHUTDOWN)) => return Ok(()),
                Err(poisoned) => return Err(poisoned),
            }
            self.work(tid, f64::INFINITY);
        }
    }

    /// Says that a thread has died (any code; the first one stays). Everyone leaves the barrier, and nothing runs any more.
    pub fn poison(&self, code: u32) {
        self.barrier.poison(code);
    }

    /// Lets every `thread_main` return. No run is possible afterwards.
    pub fn shutdown(&self) {
        self.barrier.poison(SHUTDOWN);
    }

    /// Works on the current job until no tile is left to claim. Thread 0 pauses the queue once `deadline` (milliseconds)
    /// has passed; others pass infinity and never look at the clock.
    #[inline(never)]
    pub(crate) fn work(&self, tid: u32, deadline: f64) {
        // SAFETY: written before the release that let this thread go, not written until it has arrived again.
        let job = unsafe { *self.job.get() };
        if job.trap == tid {
            die();
        }
        // SAFETY: scratch is `threads` x `scratch_stride` floats and `tid < threads`.
        let scratch = unsafe { job.scratch.add(job.scratch_stride * tid as usize) };
        let (mut op, mut begin, mut taken) = (0usize, 0u32, 0u32);
        while let Some(claimed) = self.queue.claim(job.tiles) {
            // SAFETY: claimed < tiles, which is the last element of `ends`, so `op` stays below the stage's count.
            while claimed >= unsafe { *job.ends.add(op) } {
                // SAFETY: as above.
                begin = unsafe { *job.ends.add(op) };
                op += 1;
            }
            // SAFETY: `op` is an index of the stage, see above.
            let operation = unsafe { &*job.ops.add(op) };
            let started = if job.profile.is_null() { 0.0 } else { self.now() };
            // SAFETY: decoding checked every operand against the dims; tiles of a stage are independent, each claimed once.
            let result = unsafe { operation.tile_op().run_tile((claimed - begin) as usize, scratch) };
            if let Err(fault) = result {
                self.faults.note(FaultReport { fault, instruction: job.first + op });
            }
            if !job.profile.is_null() {
                // SAFETY: the profile has a row of `profile_stride` instructions for each thread.
                unsafe { *job.profile.add(job.profile_stride * tid as usize + job.first + op) += self.now() - started };
            }
            taken += 1;
            let look = taken.is_power_of_two() || taken % TILES_PER_CLOCK == 0;
            if look && deadline < f64::INFINITY && self.now() >= deadline {
                self.queue.pause();
            }
        }
    }
}

/// What the trap instruction does: in WebAssembly `unreachable`, natively an unwinding that tests can catch (and no message).
#[cold]
fn die() -> ! {
    #[cfg(target_arch = "wasm32")]
    std::process::abort();
    #[cfg(not(target_arch = "wasm32"))]
    std::panic::resume_unwind(Box::new("trap instruction"));
}

/// Keeps the first of several faults, first by instruction and position rather than by time, so that the report does not
/// depend on threads.
#[derive(Default)]
struct FaultSlot {
    locked: AtomicBool,
    first: UnsafeCell<Option<FaultReport>>,
}

impl FaultSlot {
    fn with<T>(&self, f: impl FnOnce(&mut Option<FaultReport>) -> T) -> T {
        // Held for a handful of instructions, on a path that ends the run: spinning is enough.
        while self.locked.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: only reached while holding the lock.
        let result = f(unsafe { &mut *self.first.get() });
        self.locked.store(false, Ordering::Release);
        result
    }

    fn note(&self, report: FaultReport) {
        let key = |r: &FaultReport| (r.instruction, r.fault.at, r.fault.code as u32);
        self.with(|first| {
            if first.as_ref().is_none_or(|known| key(&report) < key(known)) {
                *first = Some(report);
            }
        });
    }

    fn take(&self) -> Option<FaultReport> {
        self.with(Option::take)
    }
}
