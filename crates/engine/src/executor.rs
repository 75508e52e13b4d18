//! What every thread does: wait for an offer, run its tiles until there are none left to claim, and again. Thread 0 decides what
//! is offered (`run.rs`); the others only see a [`Job`]. Which thread runs a tile never shows in the result.

use crate::decode::Op;
use crate::gate::{Gate, Poisoned};
use crate::patience::Patience;
use kernels::Fault;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The poison code of an orderly end.
const SHUTDOWN: u32 = u32::MAX;
/// No thread of this stage is to trap.
pub const NO_TRAP: u32 = u32::MAX;

/// A stage to work on: plain pointers into the running program, valid until every claimed tile is done.
#[derive(Clone, Copy)]
#[repr(align(64))] // in a 32-bit memory one cache line, which a thread that comes fetches at once
pub(crate) struct Job {
    /// The stage's operations.
    pub ops: *const Op,
    /// For each of them, the stage's tiles up to and including its own.
    pub ends: *const u32,
    /// Number of the stage's first instruction, for reports.
    pub first: usize,
    /// Tiles of the whole stage.
    pub tiles: u32,
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
    gate: Gate,
    /// Written by thread 0 while nothing is pending, read by a thread that holds a claimed tile.
    job: UnsafeCell<Job>,
    /// The thread that is to die, or [`NO_TRAP`].
    trap: AtomicU32,
    faults: FaultSlot,
    now: fn() -> f64,
}

// SAFETY: `job` is guarded by the gate as said at the field; its pointers are read under the same rule.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Shared {
    /// For `threads` threads; `now` gives milliseconds from any fixed start.
    pub fn new(threads: u32, now: fn() -> f64) -> Self {
        Self {
            threads,
            gate: Gate::default(),
            job: UnsafeCell::new(Job::idle()),
            trap: AtomicU32::new(NO_TRAP),
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

    /// What [`now`](Self::now) asks.
    pub(crate) fn clock(&self) -> fn() -> f64 {
        self.now
    }

    /// Where the threads meet; thread 0 leads.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The first fault (in instruction, then position order) since the last call.
    pub(crate) fn take_fault(&self) -> Option<FaultReport> {
        self.faults.take()
    }

    /// The body of thread `tid` > 0: works until [`shutdown`](Self::shutdown), or until the engine is poisoned.
    pub fn thread_main(&self, tid: u32) -> Result<(), Poisoned> {
        let (mut seen, mut patience) = (0, Patience::new(self.now));
        loop {
            match self.gate.wait_offer(&mut seen, &mut patience) {
                Ok(()) => {}
                Err(Poisoned(SHUTDOWN)) => return Ok(()),
                Err(poisoned) => return Err(poisoned),
            }
            self.die_if_asked(tid);
            self.work(tid, || false);
        }
    }

    /// Says that a thread has died (any code; the first one stays). Everyone leaves the gate, and nothing runs any more.
    pub fn poison(&self, code: u32) {
        self.gate.poison(code);
    }

    /// Lets every `thread_main` return. No run is possible afterwards.
    pub fn shutdown(&self) {
        self.gate.poison(SHUTDOWN);
    }

    /// Thread 0, while nothing is pending: what the next offer is about.
    pub(crate) fn set_job(&self, job: Job) {
        // SAFETY: the others look at it only while they hold a claimed tile, and nothing is pending.
        unsafe { *self.job.get() = job }
    }

    /// Thread 0, while nothing is pending: lets thread `tid` die, which may be thread 0 itself.
    pub(crate) fn ask_to_die(&self, tid: u32) {
        self.trap.store(tid, Ordering::SeqCst);
        self.die_if_asked(0);
        self.gate.summon();
    }

    fn die_if_asked(&self, tid: u32) {
        if self.trap.load(Ordering::SeqCst) == tid {
            die();
        }
    }

    /// Works on the current offer until no tile is left to claim. `enough` is asked after each tile; where it says so
    /// (thread 0 only) the rest is withdrawn: returns how many tiles that are.
    #[inline(never)]
    pub(crate) fn work(&self, tid: u32, mut enough: impl FnMut() -> bool) -> u32 {
        let Some(mut remaining) = self.gate.claim() else {
            return 0;
        };
        // SAFETY: this thread holds a tile from here to `finish`, so thread 0 does not write the job, and its pointers hold.
        let mut runner = unsafe { Runner::new(self, *self.job.get(), tid) };
        let (mut taken, mut left) = (0, 0);
        loop {
            // SAFETY: claimed by this thread alone.
            unsafe { runner.run(runner.job.tiles - remaining) };
            taken += 1;
            if enough() {
                left = self.gate.withdraw();
                break;
            }
            match self.gate.claim() {
                Some(next) => remaining = next,
                None => break,
            }
        }
        self.gate.finish(taken);
        left
    }

    /// Runs the last `remaining` tiles of a job on thread 0 without telling anyone; as [`work`](Self::work) otherwise.
    ///
    /// # Safety
    /// The job's pointers must be valid, and nothing may be pending.
    #[inline(never)]
    pub(crate) unsafe fn work_alone(&self, job: Job, remaining: u32, mut enough: impl FnMut() -> bool) -> u32 {
        // SAFETY: the caller's promise.
        let mut runner = unsafe { Runner::new(self, job, 0) };
        for tile in job.tiles - remaining..job.tiles {
            // SAFETY: below `tiles`, and only this thread works.
            unsafe { runner.run(tile) };
            if enough() {
                return job.tiles - 1 - tile;
            }
        }
        0
    }
}

/// Runs tiles of one job in ascending order, on one thread.
struct Runner<'a> {
    shared: &'a Shared,
    job: Job,
    tid: u32,
    scratch: *mut f32,
    /// The operation of the last tile, and the stage's tiles before it.
    op: usize,
    begin: u32,
}

impl<'a> Runner<'a> {
    /// # Safety
    /// The job's pointers must be valid as long as this lives, and `tid` below the number of threads.
    unsafe fn new(shared: &'a Shared, job: Job, tid: u32) -> Self {
        // SAFETY: scratch is `threads` x `scratch_stride` floats (or null with a stride of 0) and `tid < threads`.
        let scratch = unsafe { job.scratch.add(job.scratch_stride * tid as usize) };
        Self { shared, job, tid, scratch, op: 0, begin: 0 }
    }

    /// # Safety
    /// `tile` below the job's tiles, not below those run before, and no other thread runs it.
    #[inline]
    unsafe fn run(&mut self, tile: u32) {
        let job = &self.job;
        // SAFETY: tile < tiles, which is the last element of `ends`, so `op` stays below the stage's count.
        while tile >= unsafe { *job.ends.add(self.op) } {
            // SAFETY: as above.
            self.begin = unsafe { *job.ends.add(self.op) };
            self.op += 1;
        }
        // SAFETY: `op` is an index of the stage, see above.
        let operation = unsafe { &*job.ops.add(self.op) };
        let started = if job.profile.is_null() { 0.0 } else { self.shared.now() };
        // SAFETY: decoding checked every operand against the dims; tiles of a stage are independent, each claimed once.
        let result = unsafe { operation.tile_op().run_tile((tile - self.begin) as usize, self.scratch) };
        if let Err(fault) = result {
            self.shared.faults.note(FaultReport { fault, instruction: job.first + self.op });
        }
        if !job.profile.is_null() {
            let at = job.profile_stride * self.tid as usize + job.first + self.op;
            // SAFETY: the profile has a row of `profile_stride` instructions for each thread.
            unsafe { *job.profile.add(at) += self.shared.now() - started };
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
    /// Whether there is one: looked at after every stage.
    any: AtomicBool,
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
        self.any.store(true, Ordering::SeqCst);
    }

    fn take(&self) -> Option<FaultReport> {
        if !self.any.swap(false, Ordering::SeqCst) {
            return None;
        }
        self.with(Option::take)
    }
}
