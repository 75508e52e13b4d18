//! The barrier between dependent instructions. Thread 0 leads: it gathers the others, decides alone what comes next, and
//! releases them. It knows nothing of programs.
//!
//! A waiter spins for a bounded number of loads (a stage's imbalance is mostly shorter than waking a sleeper), then sleeps,
//! and re-checks its word in a loop: waking proves nothing. The leader's sleeps are timed and re-check the poison word, so that
//! a thread that died while nobody could be told still lets it go; a follower's word is changed by poison itself.

use crate::wait::{notify_all, wait};
use std::sync::atomic::{AtomicU32, Ordering};

/// Loads before a waiter sleeps: some 5 to 20 microseconds, about what a sleep and a wake-up cost.
const SPINS: u32 = 4000;
/// How long the leader sleeps before it looks at the poison word again.
const LEADER_SLEEP_MS: u32 = 100;

/// A word on a cache line of its own, so that spinning on one does not slow writes to another.
#[repr(align(64))]
#[derive(Default)]
struct Line(AtomicU32);

/// A thread died: leave, the engine is unusable. Carries the code given to [`Barrier::poison`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poisoned(pub u32);

/// A barrier of one leader and `threads - 1` followers.
pub struct Barrier {
    followers: u32,
    /// Followers that have arrived since the last release.
    arrived: Line,
    /// Number of releases. Followers wait for it to change.
    generation: Line,
    /// Followers that sleep or are about to.
    sleepers: Line,
    leader_sleeps: Line,
    poison: Line,
}

impl Barrier {
    /// A barrier for `threads` threads (at least one), the leader included.
    pub fn new(threads: u32) -> Self {
        Self {
            followers: threads.saturating_sub(1),
            arrived: Line::default(),
            generation: Line::default(),
            sleepers: Line::default(),
            leader_sleeps: Line::default(),
            poison: Line::default(),
        }
    }

    /// The code of the first [`poison`](Self::poison), if any.
    #[inline]
    pub fn check(&self) -> Result<(), Poisoned> {
        match self.poison.0.load(Ordering::SeqCst) {
            0 => Ok(()),
            code => Err(Poisoned(code)),
        }
    }

    /// Marks the engine as dead (a code of 0 counts as 1) and wakes everyone. The first code stays.
    pub fn poison(&self, code: u32) {
        let _ = self.poison.0.compare_exchange(0, code.max(1), Ordering::SeqCst, Ordering::SeqCst);
        // Changed, so that whoever is just about to sleep on them does not. Nobody counts on them any more.
        self.generation.0.fetch_add(1, Ordering::SeqCst);
        self.arrived.0.fetch_add(1 << 16, Ordering::SeqCst);
        notify_all(&self.arrived.0);
        notify_all(&self.generation.0);
    }

    /// Follower: says that it is done and returns when the leader releases.
    #[inline(never)]
    pub fn arrive_and_wait(&self) -> Result<(), Poisoned> {
        // Read before arriving: the leader cannot release before this thread has arrived.
        let generation = self.generation.0.load(Ordering::SeqCst);
        let arrived = self.arrived.0.fetch_add(1, Ordering::SeqCst) + 1;
        if arrived >= self.followers && self.leader_sleeps.0.load(Ordering::SeqCst) != 0 {
            notify_all(&self.arrived.0);
        }
        for _ in 0..SPINS {
            if self.generation.0.load(Ordering::SeqCst) != generation {
                return self.check();
            }
            std::hint::spin_loop();
        }
        // Announced before the word is compared: a release that does not see this sleeper has changed the word already.
        self.sleepers.0.fetch_add(1, Ordering::SeqCst);
        while self.generation.0.load(Ordering::SeqCst) == generation && self.check().is_ok() {
            // Without a timeout: poison changes this very word and wakes everyone, and an idle thread may sleep for hours. A timed
            // sleep also spun inside Node 20 (V8 11.3) in one run of seven, on both cores until the engine was used again.
            wait(&self.generation.0, generation, None);
        }
        self.sleepers.0.fetch_sub(1, Ordering::SeqCst);
        self.check()
    }

    /// Leader: returns when every follower has arrived. Repeating it without a release returns at once.
    #[inline(never)]
    pub fn gather(&self) -> Result<(), Poisoned> {
        for _ in 0..SPINS {
            if self.arrived.0.load(Ordering::SeqCst) == self.followers {
                return self.check();
            }
            std::hint::spin_loop();
        }
        self.leader_sleeps.0.store(1, Ordering::SeqCst);
        loop {
            let arrived = self.arrived.0.load(Ordering::SeqCst);
            if arrived == self.followers || self.check().is_err() {
                break;
            }
            wait(&self.arrived.0, arrived, Some(LEADER_SLEEP_MS));
        }
        self.leader_sleeps.0.store(0, Ordering::SeqCst);
        self.check()
    }

    /// Leader, after [`gather`](Self::gather): lets the followers go. What it wrote before is visible to them.
    #[inline]
    pub fn release(&self) {
        if self.followers == 0 {
            return;
        }
        self.arrived.0.store(0, Ordering::SeqCst);
        self.generation.0.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.0.load(Ordering::SeqCst) != 0 {
            notify_all(&self.generation.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::{Duration, Instant};

    /// Every follower adds 1 in each round; the leader sees exactly `followers` more at each gather.
    fn rounds(threads: u32, rounds: usize, pause: impl Fn(usize)) {
        let barrier = Barrier::new(threads);
        let (sum, stop) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| loop {
                    barrier.arrive_and_wait().unwrap();
                    if stop.load(Ordering::Relaxed) != 0 {
                        break;
                    }
                    sum.fetch_add(1, Ordering::Relaxed);
                });
            }
            for round in 0..rounds {
                barrier.gather().unwrap();
                assert_eq!(sum.load(Ordering::Relaxed), round * (threads as usize - 1));
                pause(round);
                barrier.release();
            }
            barrier.gather().unwrap();
            stop.store(1, Ordering::Relaxed);
            barrier.release();
        });
        assert_eq!(sum.load(Ordering::Relaxed), rounds * (threads as usize - 1));
    }

    #[test]
    fn no_thread_passes_early_or_is_left_behind() {
        for threads in 1..=5 {
            rounds(threads, 2000, |_| {});
        }
    }

    #[test]
    fn sleepers_wake_up() {
        // Long enough that every follower sleeps.
        rounds(4, 5, |_| std::thread::sleep(Duration::from_millis(30)));
    }

    #[test]
    fn a_poisoned_barrier_lets_everyone_go_with_the_first_code() {
        let barrier = Barrier::new(4);
        let started = Instant::now();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..2).map(|_| scope.spawn(|| barrier.arrive_and_wait())).collect();
            let leader = scope.spawn(|| barrier.gather());
            std::thread::sleep(Duration::from_millis(30));
            barrier.poison(7);
            barrier.poison(8);
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Err(Poisoned(7)));
            }
            assert_eq!(leader.join().unwrap(), Err(Poisoned(7)));
        });
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(barrier.check(), Err(Poisoned(7)));
    }

    #[test]
    fn a_leader_alone_never_waits() {
        let barrier = Barrier::new(1);
        for _ in 0..10 {
            barrier.gather().unwrap();
            barrier.release();
        }
    }
}
