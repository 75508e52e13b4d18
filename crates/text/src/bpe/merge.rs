//! Merging the bytes of one word: always the pair of lowest rank, the leftmost of equals. Two forms with equal results: a scan over all pairs for short
//! words, a heap over a linked list for long ones (a million equal characters are one word).

use super::pairs::{Merge, Pairs};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Up to so many symbols scanning is faster.
const SHORT: usize = 48;
const NO_MERGE: Merge = Merge { rank: u32::MAX, id: 0 };

/// Replaces a word's symbols, from `start` to the end of the list, by its tokens.
#[inline]
pub fn merge(pairs: &Pairs, symbols: &mut Vec<u32>, start: usize) {
    if symbols.len() - start <= SHORT {
        merge_short(pairs, symbols, start);
    } else {
        let merged = merge_long(pairs, &symbols[start..]);
        symbols.truncate(start);
        symbols.extend_from_slice(&merged);
    }
}

fn merge_short(pairs: &Pairs, symbols: &mut Vec<u32>, start: usize) {
    let mut count = symbols.len() - start;
    if count < 2 {
        return;
    }
    let word = &mut symbols[start..];
    let look = |left: u32, right: u32| pairs.get(left, right).unwrap_or(NO_MERGE);
    let mut merges = [NO_MERGE; SHORT];
    for i in 0..count - 1 {
        merges[i] = look(word[i], word[i + 1]);
    }
    loop {
        let mut best = 0;
        for i in 1..count - 1 {
            if merges[i].rank < merges[best].rank {
                best = i;
            }
        }
        let Merge { rank, id } = merges[best];
        if rank == u32::MAX {
            break;
        }
        word[best] = id;
        word.copy_within(best + 2..count, best + 1);
        merges.copy_within(best + 1..count - 1, best);
        count -= 1;
        if count < 2 {
            break;
        }
        if best > 0 {
            merges[best - 1] = look(word[best - 1], word[best]);
        }
        if best + 1 < count {
            merges[best] = look(word[best], word[best + 1]);
        }
    }
    symbols.truncate(start + count);
}

const NONE: u32 = u32::MAX;

/// A place in a long word: its token, the merge it would make with the next one, and its neighbours.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    previous: u32,
    next: u32,
    merge: Merge,
}

fn merge_long(pairs: &Pairs, word: &[u32]) -> Vec<u32> {
    let count = word.len();
    let look = |left: u32, right: u32| pairs.get(left, right).unwrap_or(NO_MERGE);
    let mut symbols: Vec<Symbol> = (0..count)
        .map(|i| Symbol {
            id: word[i],
            previous: if i == 0 { NONE } else { i as u32 - 1 },
            next: if i + 1 == count { NONE } else { i as u32 + 1 },
            merge: if i + 1 == count { NO_MERGE } else { look(word[i], word[i + 1]) },
        })
        .collect();
    // Rank and place in one number: small entries make the heap fast. An entry is stale where the place has another rank by now.
    let entry = |rank: u32, at: u32| Reverse(u64::from(rank) << 32 | u64::from(at));
    let mut heap: BinaryHeap<Reverse<u64>> = (0..count as u32)
        .filter(|&at| symbols[at as usize].merge.rank != u32::MAX)
        .map(|at| entry(symbols[at as usize].merge.rank, at))
        .collect::<Vec<_>>()
        .into();
    while let Some(Reverse(lowest)) = heap.pop() {
        let (rank, at) = ((lowest >> 32) as u32, lowest as u32);
        let symbol = symbols[at as usize];
        if symbol.merge.rank != rank {
            continue;
        }
        let id = symbol.merge.id;
        let next = symbols[symbol.next as usize].next;
        symbols[symbol.next as usize] = Symbol { id: NONE, previous: NONE, next: NONE, merge: NO_MERGE };
        let mut merge = NO_MERGE;
        if next != NONE {
            symbols[next as usize].previous = at;
            merge = look(id, symbols[next as usize].id);
        }
        symbols[at as usize] = Symbol { id, next, merge, ..symbol };
        if merge.rank != u32::MAX {
            heap.push(entry(merge.rank, at));
        }
        if symbol.previous != NONE {
            let before = &mut symbols[symbol.previous as usize];
            before.merge = look(before.id, id);
            if before.merge.rank != u32::MAX {
                heap.push(entry(before.merge.rank, symbol.previous));
            }
        }
    }
    symbols.iter().filter(|symbol| symbol.id != NONE).map(|symbol| symbol.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: look at all pairs, merge the leftmost of lowest rank, again.
    fn naive(pairs: &Pairs, mut word: Vec<u32>) -> Vec<u32> {
        while let Some((_, at, id)) = (0..word.len().saturating_sub(1))
            .filter_map(|i| pairs.get(word[i], word[i + 1]).map(|m| (m.rank, i, m.id)))
            .min()
        {
            word.splice(at..at + 2, [id]);
        }
        word
    }

    #[test]
    fn both_forms_equal_the_definition() {
        let mut state = 1u32;
        let mut random = |n: u32| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 8) % n
        };
        for _ in 0..300 {
            let alphabet = 1 + random(4);
            let mut triples = Vec::new();
            let mut next = alphabet;
            for _ in 0..random(30) {
                triples.extend([random(next), random(next), next]);
                next += 1;
            }
            let pairs = Pairs::new(&triples);
            for length in [0, 1, 2, 3, 5, 8, 20, 47, 48, 49, 50, 90] {
                let word: Vec<u32> = (0..length).map(|_| random(alphabet)).collect();
                let expected = naive(&pairs, word.clone());
                let mut symbols = [vec![7, 8], word.clone()].concat();
                merge(&pairs, &mut symbols, 2);
                assert_eq!(symbols[2..], expected[..], "{word:?} {triples:?}");
                if length >= 2 {
                    assert_eq!(merge_long(&pairs, &word), expected);
                }
            }
        }
    }
}
