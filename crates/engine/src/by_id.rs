//! A map whose keys are numbers given out in ascending order and never again: regions and programs by id. A sorted vector: adding is
//! appending, finding is bisection, and the code is a fortieth of a tree's, which counts in a binary that browsers download.

/// Values by ascending number.
#[derive(Debug)]
pub struct ById<T> {
    entries: Vec<(u32, T)>,
}

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> ById<T> {
    /// Adds a value. Panics unless `id` is above all that are there.
    pub fn push(&mut self, id: u32, value: T) {
        assert!(self.entries.last().is_none_or(|&(last, _)| last < id));
        self.entries.push((id, value));
    }

    /// Takes a value out.
    pub fn remove(&mut self, id: u32) -> Option<T> {
        self.at(id).map(|at| self.entries.remove(at).1)
    }

    /// The value of a number.
    pub fn get(&self, id: u32) -> Option<&T> {
        self.at(id).map(|at| &self.entries[at].1)
    }

    /// The value of a number, to be changed.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.at(id).map(|at| &mut self.entries[at].1)
    }

    /// All values, by ascending number.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn at(&self, id: u32) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |&(id, _)| id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_was_added_and_not_removed() {
        let mut map = ById::default();
        for id in [1, 2, 5, 9] {
            map.push(id, id * 10);
        }
        assert_eq!(map.remove(2), Some(20));
        assert_eq!(map.remove(2), None);
        *map.get_mut(5).unwrap() += 1;
        let found: Vec<_> = (0..11).filter_map(|id| map.get(id).map(|&value| (id, value))).collect();
        assert_eq!(found, [(1, 10), (5, 51), (9, 90)]);
        assert_eq!((map.len(), map.values().sum::<u32>()), (3, 151));
        assert!(map.get_mut(2).is_none());
    }

    #[test]
    #[should_panic]
    fn it_takes_ascending_numbers_only() {
        let mut map = ById::default();
        map.push(3, ());
        map.push(3, ());
    }
}
