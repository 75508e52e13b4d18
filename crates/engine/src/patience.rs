//! How long a waiting thread spins. It knows nothing of what is waited for: see `gate.rs`.

/// How long one thread spins before it sleeps: some 50 microseconds, since a core that has nothing else to do loses nothing by it,
/// while sleeping and waking cost 5 to 50. It hardly spins in its next waits after it found itself put aside while it spun, or
/// after several waits in a row that spinning did not end: its core is wanted, perhaps by the very thread it waits for.
/// (Two threads on one core, each spinning for 50 microseconds, took 100 for what sleeping does in 6.)
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    now: fn() -> f64,
    /// Waits that are still to be short.
    cautious: u32,
    /// Full waits in a row that spinning did not end.
    failures: u32,
}

impl Patience {
    /// Loads without a look at the clock, which would cost as much as a hundred of them.
    const FEW: u32 = 256;
    /// Loads between two looks, about a microsecond.
    const BLOCK: u32 = 1024;
    const SPIN_MS: f64 = 0.05;
    /// A block that takes longer than this was interrupted by someone else's turn on the core.
    const GAP_MS: f64 = 0.3;
    /// Full waits in a row without success after which they become short.
    const FAILURES: u32 = 3;
    /// Short waits before the next full one.
    const CAUTIOUS: u32 = 32;

    /// Full patience. `now` gives milliseconds from any fixed start.
    pub const fn new(now: fn() -> f64) -> Self {
        Self { now, cautious: 0, failures: 0 }
    }

    /// Spins until `met` or out of patience; whether it was met.
    #[inline]
    pub fn spin(&mut self, met: impl Fn() -> bool) -> bool {
        let some = |loads: u32| {
            (0..loads).any(|_| {
                std::hint::spin_loop();
                met()
            })
        };
        if met() {
            return true;
        }
        if some(Self::FEW) {
            // The other one is at work at this very moment.
            (self.cautious, self.failures) = (0, 0);
            return true;
        }
        if self.cautious > 0 {
            self.cautious -= 1;
            return false;
        }
        let begun = (self.now)();
        let mut last = begun;
        while last - begun < Self::SPIN_MS {
            if some(Self::BLOCK) {
                self.failures = 0;
                return true;
            }
            let time = (self.now)();
            if time - last > Self::GAP_MS {
                self.cautious = Self::CAUTIOUS;
                return false;
            }
            last = time;
        }
        self.failures += 1;
        if self.failures >= Self::FAILURES {
            self.cautious = Self::CAUTIOUS;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// The time, for the test of patience.
        static TIME: std::cell::Cell<f64> = const { std::cell::Cell::new(0.0) };
    }

    /// Loads of a wait that is never over, when a block of loads takes `step` milliseconds.
    fn loads_of_a_wait(patience: &mut Patience, step: f64) -> usize {
        let loads = std::cell::Cell::new(0usize);
        let met = || {
            loads.set(loads.get() + 1);
            if loads.get() % Patience::BLOCK as usize == 0 {
                TIME.set(TIME.get() + step);
            }
            false
        };
        assert!(!patience.spin(met));
        loads.get()
    }

    /// True from the given load on.
    fn met_at(load: usize) -> impl Fn() -> bool {
        let loads = std::cell::Cell::new(0usize);
        move || {
            loads.set(loads.get() + 1);
            loads.get() >= load
        }
    }

    #[test]
    fn patience_ends_after_its_time_and_is_short_on_a_busy_core() {
        let mut patience = Patience::new(|| TIME.get());
        let few = Patience::FEW as usize + 1;
        let full = loads_of_a_wait(&mut patience, 0.002);
        assert!((25_000..28_000).contains(&full), "{full} loads");
        assert_eq!(loads_of_a_wait(&mut patience, 0.002), full, "one long wait changes nothing");
        assert!(patience.spin(met_at(2000)));
        let short = |patience: &mut Patience| (0..Patience::CAUTIOUS).all(|_| loads_of_a_wait(patience, 0.002) == few);
        // Put aside for a millisecond: this wait ends, and the next ones are short.
        assert!(loads_of_a_wait(&mut patience, 1.0) < 3000);
        assert!(short(&mut patience));
        // Spinning that never pays: the same.
        for _ in 0..Patience::FAILURES {
            assert_eq!(loads_of_a_wait(&mut patience, 0.002), full);
        }
        assert!(short(&mut patience));
        // One full wait in between to see whether it pays again; it does.
        assert!(patience.spin(met_at(2000)) && patience.spin(met_at(2000)));
        // Somebody who answers at once ends the caution.
        assert!(loads_of_a_wait(&mut patience, 1.0) < 3000);
        assert!(patience.spin(met_at(20)) && patience.spin(met_at(2000)));
    }
}
