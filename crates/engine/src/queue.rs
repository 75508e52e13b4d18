//! Hands out the tiles of a stage, each exactly once, to whichever thread asks next: a thread that is slow or late takes fewer.

use std::sync::atomic::{AtomicU32, Ordering};

/// Most tiles a stage may have; room is left for every thread to ask once too often.
pub const MAX_TILES: u64 = 1 << 30;

/// A counter of claimed tiles. It outlives a pause: what was claimed stays claimed.
#[repr(align(64))]
#[derive(Default)]
pub struct Queue {
    next: AtomicU32,
    paused: AtomicU32,
}

impl Queue {
    /// Starts a new stage. Only while no thread claims.
    pub fn restart(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    /// The next tile below `tiles`; `None` if all are claimed or the queue is paused.
    #[inline]
    pub fn claim(&self, tiles: u32) -> Option<u32> {
        // Looking first keeps the counter from creeping up while stages are paused and resumed.
        if self.paused.load(Ordering::Relaxed) != 0 || self.next.load(Ordering::Relaxed) >= tiles {
            return None;
        }
        let tile = self.next.fetch_add(1, Ordering::Relaxed);
        (tile < tiles).then_some(tile)
    }

    /// Whether every tile below `tiles` has been claimed. After a barrier: has run.
    pub fn exhausted(&self, tiles: u32) -> bool {
        self.next.load(Ordering::Relaxed) >= tiles
    }

    /// Lets claims fail until [`resume`](Self::resume).
    #[inline]
    pub fn pause(&self) {
        self.paused.store(1, Ordering::Relaxed);
    }

    /// Lets claims succeed again. Only while no thread claims.
    pub fn resume(&self) {
        self.paused.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_claimed_once_by_any_number_of_threads() {
        for threads in 1..=4 {
            for tiles in [0u32, 1, 2, 3, 1000] {
                let queue = Queue::default();
                let claimed: Vec<AtomicU32> = (0..tiles).map(|_| AtomicU32::new(0)).collect();
                // Twice: what a pause interrupts goes on where it stopped.
                while !queue.exhausted(tiles) {
                    queue.resume();
                    std::thread::scope(|scope| {
                        for _ in 0..threads {
                            scope.spawn(|| {
                                while let Some(tile) = queue.claim(tiles) {
                                    claimed[tile as usize].fetch_add(1, Ordering::Relaxed);
                                    if tile % 300 == 299 {
                                        queue.pause();
                                    }
                                }
                            });
                        }
                    });
                }
                assert!(
                    claimed.iter().all(|count| count.load(Ordering::Relaxed) == 1),
                    "{threads} threads, {tiles} tiles"
                );
            }
        }
    }
}
