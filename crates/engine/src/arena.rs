//! Memory that is only used during a run: the arena's banks (activations, placed by the planner) and each thread's scratch.
//! Both are as large as the largest loaded program needs, and shrink when that program goes. Contents do not outlive a run.

use crate::memory::{rounded, Block};

/// A list of blocks, each grown or shrunk to a wanted size.
#[derive(Debug, Default)]
pub struct Arena {
    banks: Vec<Option<Block>>,
}

impl Arena {
    /// Address of a bank of at least `bytes`, or `None` if it is not there.
    pub fn bank(&self, index: usize, bytes: u64) -> Option<*mut u8> {
        let block = self.banks.get(index)?.as_ref()?;
        (block.bytes() >= bytes).then(|| block.pointer())
    }

    /// Bytes of all banks.
    pub fn bytes(&self) -> u64 {
        self.banks.iter().flatten().map(Block::bytes).sum()
    }

    /// Bytes that [`grow`](Self::grow) to these sizes would add.
    pub fn growth(&self, sizes: &[u64]) -> u64 {
        let wants = sizes.iter().enumerate().map(|(i, &size)| rounded(size).saturating_sub(self.size(i)));
        wants.sum()
    }

    /// Makes every bank at least as large as asked; `false` if the memory is not there, and then the banks are as before.
    /// The contents of a bank that grows are lost: it is freed first, so that the new one can take its place.
    #[must_use]
    pub fn grow(&mut self, sizes: &[u64]) -> bool {
        let before: Vec<u64> = (0..self.banks.len()).map(|i| self.size(i)).collect();
        let wanted: Vec<u64> = (0..before.len().max(sizes.len()))
            .map(|i| self.size(i).max(sizes.get(i).map_or(0, |&s| rounded(s))))
            .collect();
        if self.resize(&wanted) {
            return true;
        }
        // These bytes were ours a moment ago. Should they be gone all the same, a run finds its bank missing and says so.
        let _ = self.resize(&before);
        false
    }

    /// Gives back what lies beyond these sizes.
    pub fn shrink(&mut self, sizes: &[u64]) {
        let wanted: Vec<u64> =
            (0..sizes.len().min(self.banks.len())).map(|i| self.size(i).min(rounded(sizes[i]))).collect();
        // Smaller than what was just freed; a run that finds its bank missing says so.
        let _ = self.resize(&wanted);
    }

    fn size(&self, index: usize) -> u64 {
        self.banks.get(index).and_then(Option::as_ref).map_or(0, Block::bytes)
    }

    fn resize(&mut self, sizes: &[u64]) -> bool {
        self.banks.resize_with(sizes.len(), || None);
        let stale: Vec<usize> = (0..sizes.len()).filter(|&i| self.size(i) != sizes[i]).collect();
        for &i in &stale {
            self.banks[i] = None;
        }
        let mut complete = true;
        for &i in &stale {
            if sizes[i] > 0 {
                self.banks[i] = Block::zeroed(sizes[i]);
                complete &= self.banks[i].is_some();
            }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banks_grow_to_the_largest_and_shrink_back() {
        let mut arena = Arena::default();
        assert_eq!(arena.growth(&[100, 10]), 128 + 64);
        assert!(arena.grow(&[100, 10]));
        assert_eq!(arena.bytes(), 128 + 64);
        assert_eq!(arena.growth(&[50, 600, 1]), 576 + 64);
        assert!(arena.grow(&[50, 600, 1]));
        assert_eq!(arena.bytes(), 128 + 640 + 64);
        assert!(arena.bank(1, 640).is_some() && arena.bank(1, 641).is_none() && arena.bank(3, 0).is_none());
        arena.shrink(&[100, 10]);
        assert_eq!(arena.bytes(), 128 + 64);
        arena.shrink(&[]);
        assert_eq!(arena.bytes(), 0);
    }

    #[test]
    fn a_bank_that_is_not_to_be_had_changes_nothing() {
        let mut arena = Arena::default();
        assert!(arena.grow(&[100]));
        assert!(!arena.grow(&[200, crate::memory::MAX_BLOCK + 1]));
        assert_eq!(arena.bytes(), 128);
        assert!(arena.bank(0, 128).is_some());
    }
}
