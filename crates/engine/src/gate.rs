//! Where the threads meet. Thread 0 leads: it offers a stage's tiles, every thread claims them one by one, and thread 0 goes on
//! once all that were claimed are done. It knows nothing of programs.
//!
//! Nobody waits for a thread that holds no tile: one that sleeps, or that the system has put aside because other programs want
//! the processor, simply comes too late. That is what keeps an engine with more threads than cores from collapsing, and what
//! makes a stage that is over before a sleeper wakes cost no more than the call that woke it.
//!
//! A waiter spins for a bounded time, then sleeps and re-checks its word in a loop: waking proves nothing. The
//! leader's sleeps are timed and re-check the poison word, so that a thread that died while nobody could be told still lets it
//! go; a follower's word is changed by poison itself.

use crate::patience::Patience;
use crate::wait::{notify_all, wait};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

/// Most tiles an offer may have.
pub const MAX_TILES: u64 = 1 << 30;
/// How long the leader sleeps before it looks at the poison word again.
const LEADER_SLEEP_MS: u32 = 100;
/// Added to `pending` by poison, so that whoever is about to sleep on it does not.
const POISON_STEP: u32 = 1 << 31;

/// A word on a cache line of its own, so that spinning on one does not slow writes to another.
#[repr(align(64))]
#[derive(Default)]
struct Line(AtomicU32);

/// What is on offer, on one cache line: a waiting thread needs all of it at once, and nobody else writes to it meanwhile.
#[repr(align(64))]
#[derive(Default)]
struct Offer {
    /// Number of the offer (high half) and its tiles that nobody has claimed (low half). One word, so that a claim cannot
    /// succeed on an offer that has been replaced since it was looked at.
    ticket: AtomicU64,
    /// Number of offers (and poisonings) so far. Followers wait for it to change.
    generation: AtomicU32,
}

/// A thread died: leave, the engine is unusable. Carries the code given to [`Gate::poison`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poisoned(pub u32);

/// The meeting place of one leader and any number of followers.
#[derive(Default)]
pub struct Gate {
    offer: Offer,
    /// Tiles of the current offer that are not done.
    pending: Line,
    /// Followers that sleep or are about to.
    sleepers: Line,
    leader_sleeps: Line,
    poison: Line,
}

impl Gate {
    /// The code of the first [`poison`](Self::poison), if any.
    #[inline]
    pub fn check(&self) -> Result<(), Poisoned> {
        match self.poison.0.load(SeqCst) {
            0 => Ok(()),
            code => Err(Poisoned(code)),
        }
    }

    /// Marks the engine as dead (a code of 0 counts as 1) and wakes everyone. The first code stays.
    pub fn poison(&self, code: u32) {
        let _ = self.poison.0.compare_exchange(0, code.max(1), SeqCst, SeqCst);
        // Changed, so that whoever is just about to sleep on them does not. Nobody counts on them any more.
        self.offer.generation.fetch_add(1, SeqCst);
        self.pending.0.fetch_add(POISON_STEP, SeqCst);
        notify_all(&self.pending.0);
        notify_all(&self.offer.generation);
    }

    /// Leader, when nothing is pending: offers `tiles` tiles and wakes those who sleep. What it wrote before is visible to
    /// whoever claims one.
    #[inline]
    pub fn offer(&self, tiles: u32) {
        self.pending.0.store(tiles, SeqCst);
        let number = u64::from(self.offer.generation.load(SeqCst).wrapping_add(1));
        self.offer.ticket.store(number << 32 | u64::from(tiles), SeqCst);
        self.announce();
    }

    /// Leader, when nothing is pending: calls every follower although there is nothing to claim, and makes one tile pending
    /// that nobody will ever finish. For a thread that is to die.
    pub fn summon(&self) {
        self.pending.0.store(1, SeqCst);
        self.announce();
    }

    fn announce(&self) {
        self.offer.generation.fetch_add(1, SeqCst);
        if self.sleepers.0.load(SeqCst) != 0 {
            notify_all(&self.offer.generation);
        }
    }

    /// Claims a tile. `Some(remaining)`: of the offer's `tiles` this is number `tiles - remaining`; the offer stays the
    /// current one until the claimed tile is [`finish`](Self::finish)ed. `None`: there is nothing to claim.
    #[inline]
    pub fn claim(&self) -> Option<u32> {
        let mut ticket = self.offer.ticket.load(SeqCst);
        loop {
            let remaining = ticket as u32;
            if remaining == 0 {
                return None;
            }
            match self.offer.ticket.compare_exchange_weak(ticket, ticket - 1, SeqCst, SeqCst) {
                Ok(_) => return Some(remaining),
                Err(now) => ticket = now,
            }
        }
    }

    /// Says that `tiles` claimed tiles are done. What was written meanwhile is visible to the leader after its wait.
    #[inline]
    pub fn finish(&self, tiles: u32) {
        if self.pending.0.fetch_sub(tiles, SeqCst) == tiles && self.leader_sleeps.0.load(SeqCst) != 0 {
            notify_all(&self.pending.0);
        }
    }

    /// Leader: takes back what nobody has claimed yet; returns how many tiles that are.
    pub fn withdraw(&self) -> u32 {
        let left = self.offer.ticket.swap(0, SeqCst) as u32;
        self.pending.0.fetch_sub(left, SeqCst);
        left
    }

    /// Leader: returns when every claimed tile is done and none is left to claim.
    #[inline(never)]
    pub fn wait_done(&self, patience: &mut Patience) -> Result<(), Poisoned> {
        if !patience.spin(|| self.pending.0.load(SeqCst) == 0) {
            self.leader_sleeps.0.store(1, SeqCst);
            loop {
                let pending = self.pending.0.load(SeqCst);
                if pending == 0 || self.check().is_err() {
                    break;
                }
                wait(&self.pending.0, pending, Some(LEADER_SLEEP_MS));
            }
            self.leader_sleeps.0.store(0, SeqCst);
        }
        self.check()
    }

    /// Follower: returns when there has been an offer since the one numbered `seen` (at first 0), which it updates. The offer
    /// may be exhausted by then.
    #[inline(never)]
    pub fn wait_offer(&self, seen: &mut u32, patience: &mut Patience) -> Result<(), Poisoned> {
        let generation = &self.offer.generation;
        if !patience.spin(|| generation.load(SeqCst) != *seen) {
            // Announced before the word is compared: an offer that does not see this sleeper has changed the word already.
            self.sleepers.0.fetch_add(1, SeqCst);
            while generation.load(SeqCst) == *seen && self.check().is_ok() {
                // Without a timeout: poison changes this very word and wakes everyone, and an idle thread may sleep for hours.
                // A timed sleep also spun inside Node 20 (V8 11.3) in one run of seven, on both cores until the engine was
                // used again.
                wait(generation, *seen, None);
            }
            self.sleepers.0.fetch_sub(1, SeqCst);
        }
        *seen = generation.load(SeqCst);
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::{Duration, Instant};

    /// Milliseconds.
    fn clock() -> f64 {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
    }

    /// A follower that claims until it is poisoned; `work` is told which tile of how many it has.
    fn follow(gate: &Gate, work: impl Fn(u32)) -> Poisoned {
        let (mut seen, mut patience) = (0, Patience::new(clock));
        loop {
            if let Err(poisoned) = gate.wait_offer(&mut seen, &mut patience) {
                return poisoned;
            }
            while let Some(remaining) = gate.claim() {
                work(remaining);
                gate.finish(1);
            }
        }
    }

    /// Offers `rounds` rounds of `tiles` tiles to `threads` threads: each is run once and before the next round begins.
    fn rounds(threads: u32, rounds: usize, tiles: u32, leader_works: bool, pause: impl Fn(usize)) {
        let gate = Gate::default();
        let counts: Vec<AtomicUsize> = (0..tiles).map(|_| AtomicUsize::new(0)).collect();
        let work = |remaining: u32| {
            counts[(tiles - remaining) as usize].fetch_add(1, SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| follow(&gate, work));
            }
            let mut patience = Patience::new(clock);
            for round in 0..rounds {
                gate.offer(tiles);
                while leader_works {
                    let Some(remaining) = gate.claim() else { break };
                    work(remaining);
                    gate.finish(1);
                    // What is taken back is offered again, as the rest of the same round.
                    if remaining % 5 == 0 {
                        let left = gate.withdraw();
                        gate.wait_done(&mut patience).unwrap();
                        assert_eq!(counts.iter().filter(|c| c.load(SeqCst) == round).count(), left as usize);
                        gate.offer(left);
                    }
                }
                gate.wait_done(&mut patience).unwrap();
                assert!(counts.iter().all(|count| count.load(SeqCst) == round + 1), "{threads} threads, round {round}");
                pause(round);
            }
            gate.poison(1);
        });
    }

    #[test]
    fn every_tile_is_run_once_and_no_round_begins_early() {
        for threads in 1..=5 {
            for tiles in [1, 2, 7, 40] {
                rounds(threads, 300, tiles, true, |_| {});
            }
        }
    }

    #[test]
    fn followers_alone_finish_what_the_leader_only_offers() {
        for threads in 2..=4 {
            rounds(threads, 300, 3, false, |_| {});
        }
    }

    #[test]
    fn sleepers_wake_up() {
        // Long enough that every follower sleeps.
        rounds(4, 5, 3, false, |_| std::thread::sleep(Duration::from_millis(30)));
    }

    #[test]
    fn many_more_threads_than_cores_end_too() {
        rounds(24, 100, 30, true, |_| {});
    }

    #[test]
    fn nobody_waits_for_a_thread_without_a_tile() {
        // No follower at all, although more threads were meant to come: the leader does everything.
        let (gate, mut patience) = (Gate::default(), Patience::new(clock));
        for _ in 0..10 {
            gate.offer(3);
            while gate.claim().is_some() {
                gate.finish(1);
            }
            gate.wait_done(&mut patience).unwrap();
        }
    }

    #[test]
    fn a_poisoned_gate_lets_everyone_go_with_the_first_code() {
        let gate = Gate::default();
        let started = Instant::now();
        std::thread::scope(|scope| {
            gate.summon(); // nobody will finish this
            let waiting: Vec<_> = (0..2).map(|_| scope.spawn(|| follow(&gate, |_| {}))).collect();
            let leader = scope.spawn(|| gate.wait_done(&mut Patience::new(clock)));
            std::thread::sleep(Duration::from_millis(30));
            gate.poison(7);
            gate.poison(8);
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Poisoned(7));
            }
            assert_eq!(leader.join().unwrap(), Err(Poisoned(7)));
        });
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(gate.check(), Err(Poisoned(7)));
    }
}
