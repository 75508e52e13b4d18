//! Sorting for the checks at load. A heap sort in place: n log n whatever the order, and small; the standard library's sorts are six
//! kilobytes each, which counts in a binary that browsers download. Not stable.

/// Sorts by an order that `before` gives: whether the first must come before the second.
pub fn sort<T>(items: &mut [T], before: impl Fn(&T, &T) -> bool) {
    // Down to the middle: makes a heap, largest in front. From there on: takes the largest out to the end, and repairs.
    let n = items.len();
    for step in (0..n + n / 2).rev() {
        let (mut node, end) = if step >= n { (step - n, n) } else { (0, step) };
        if step < n {
            items.swap(0, step);
        }
        loop {
            let mut child = 2 * node + 1;
            if child >= end {
                break;
            }
            if child + 1 < end && before(&items[child], &items[child + 1]) {
                child += 1;
            }
            if !before(&items[node], &items[child]) {
                break;
            }
            items.swap(node, child);
            node = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_every_arrangement_of_seven() {
        for arrangement in 0..7u32.pow(7) {
            let mut items: Vec<u32> = (0..7).map(|i| arrangement / 7u32.pow(i) % 7).collect();
            let mut want = items.clone();
            want.sort_unstable();
            sort(&mut items, |a, b| a < b);
            assert_eq!(items, want);
        }
    }

    #[test]
    fn it_sorts_long_ones_by_a_key() {
        for n in [0, 1, 2, 3, 100, 1001] {
            let mut items: Vec<(u32, u32)> = (0..n).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24, i)).collect();
            let mut want = items.clone();
            want.sort_unstable_by_key(|&(key, i)| (std::cmp::Reverse(key), i));
            sort(&mut items, |a, b| (b.0, a.1) < (a.0, b.1));
            assert_eq!(items, want, "n {n}");
        }
    }
}
