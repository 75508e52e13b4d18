//! Thresholds by counting: the k-th largest logit and the edge of the nucleus, found one byte of the key at a time (a radix descent of
//! four passes with 256 buckets on the stack); and the candidates that a bound leaves, listed by way of the maxima of blocks.

use crate::lanes::maximum;

/// A number that orders as its float does (no NaN; −0 equals 0).
#[inline(always)]
pub fn key(x: f32) -> u32 {
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 0 {
        bits | 0x8000_0000
    } else {
        !bits
    }
}

/// The float of a key.
fn unkey(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & 0x7FFF_FFFF } else { !key })
}

/// What is kept: keys above `key`, and the first `ties` that equal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The smallest kept key.
    pub key: u32,
    /// How many of its equals are kept, counted down as they are met.
    pub ties: usize,
}

impl Edge {
    /// Whether the next token in order of id is kept. Ask once per token, in order.
    #[inline(always)]
    pub fn keeps(&mut self, key: u32) -> bool {
        if key != self.key {
            return key > self.key;
        }
        let kept = self.ties > 0;
        self.ties -= usize::from(kept);
        kept
    }
}

/// One level of the descent: the buckets of the next byte among the keys that share `prefix` above it.
struct Level {
    shift: u32,
    prefix: u32,
}

impl Level {
    fn bucket(&self, key: u32) -> Option<usize> {
        // The bytes above this one must be those chosen so far.
        let above = if self.shift == 24 { 0 } else { (key ^ self.prefix) >> (self.shift + 8) };
        (above == 0).then_some((key >> self.shift) as usize & 255)
    }

    fn choose(&self, bucket: usize) -> u32 {
        self.prefix | (bucket as u32) << self.shift
    }
}

/// The key of the k-th largest value, `1 <= k <= logits.len()`.
#[inline(never)]
pub fn kth_largest(logits: &[f32], k: usize) -> u32 {
    let (mut prefix, mut wanted) = (0, k);
    for shift in [24, 16, 8, 0] {
        let level = Level { shift, prefix };
        let mut counts = [0usize; 256];
        for &x in logits {
            if let Some(b) = level.bucket(key(x)) {
                counts[b] += 1;
            }
        }
        let mut bucket = 255;
        while counts[bucket] < wanted {
            wanted -= counts[bucket];
            bucket -= 1;
        }
        prefix = level.choose(bucket);
    }
    prefix
}

/// The edge of the smallest set of the heaviest tokens whose weight reaches `target`; at least one token. Weights never decrease with
/// the key.
#[inline(never)]
pub fn nucleus(logits: &[f32], weights: &[f32], target: f64) -> Edge {
    let (mut prefix, mut above, mut ties) = (0, 0.0, 0);
    for shift in [24, 16, 8, 0] {
        let level = Level { shift, prefix };
        let (mut counts, mut sums) = ([0usize; 256], [0.0f64; 256]);
        for (&x, &weight) in logits.iter().zip(weights) {
            if let Some(b) = level.bucket(key(x)) {
                counts[b] += 1;
                sums[b] += f64::from(weight);
            }
        }
        // From the heaviest bucket down to the one in which the target is reached. Rounding may leave it a little out of reach;
        // then the lightest bucket that has members is the one.
        let lightest = counts.iter().position(|&c| c > 0).unwrap_or(0);
        let mut bucket = 255;
        while bucket > lightest && (counts[bucket] == 0 || above + sums[bucket] < target) {
            above += sums[bucket];
            bucket -= 1;
        }
        prefix = level.choose(bucket);
        if shift == 0 {
            ties = equals_needed(above, sums[bucket], counts[bucket], target);
        }
    }
    Edge { key: prefix, ties }
}

/// How many of `count` equal weights, `sum` together, bring `above` to the target; at least one.
fn equals_needed(above: f64, sum: f64, count: usize, target: f64) -> usize {
    let each = sum / count.max(1) as f64;
    let mut needed = 1;
    let mut reached = above + each;
    while needed < count && reached < target {
        reached += each;
        needed += 1;
    }
    needed
}

/// Logits that share one maximum: what a bound rules out is passed over by blocks.
pub const BLOCK: usize = 64;

/// The maximum of each block of 64, and of all. NaNs are passed over.
#[inline(never)]
pub fn block_maxima(x: &[f32], maxima: &mut [f32]) -> f32 {
    for (block, out) in x.chunks(BLOCK).zip(maxima.iter_mut()) {
        // SAFETY: the slice holds that many floats.
        *out = unsafe { maximum(block.as_ptr(), block.len()) };
    }
    maxima.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The lowest index whose value is `max`, the maximum of all.
pub fn largest(x: &[f32], maxima: &[f32], max: f32) -> usize {
    let block = maxima.iter().position(|&m| m == max).unwrap_or(0) * BLOCK;
    block + x[block..].iter().position(|&v| v == max).unwrap_or(0)
}

/// A finite bound that at least `k` values reach, if that many are finite: the k-th largest maximum of a block.
pub fn top_bound(maxima: &[f32], k: usize) -> f32 {
    if k > maxima.len() {
        return f32::MIN;
    }
    unkey(kth_largest(maxima, k)).max(f32::MIN)
}

/// Lists the indices of values of at least `bound`, ascending; gives their number.
#[inline(never)]
pub fn collect(x: &[f32], maxima: &[f32], bound: f32, list: &mut [u32]) -> usize {
    let mut n = 0;
    for (block, &max) in maxima.iter().enumerate() {
        if max >= bound {
            let start = block * BLOCK;
            for (i, &value) in x[start..].iter().take(BLOCK).enumerate() {
                list[n] = (start + i) as u32; // overwritten by the next one if this one does not count
                n += usize::from(value >= bound);
            }
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Rng;

    #[test]
    fn keys_order_as_floats_do() {
        let ordered = [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-40, 0.0, 1e-40, 1.0, 2.0, f32::MAX];
        assert!(ordered.windows(2).all(|w| key(w[0]) < key(w[1])));
        assert_eq!(key(0.0), key(-0.0));
        assert!(ordered.iter().all(|&x| unkey(key(x)) == x));
    }

    #[test]
    fn the_kth_largest_is_that_of_a_sort() {
        let mut rng = Rng::new(1);
        for n in (1..=67).chain([300]) {
            let x: Vec<f32> = (0..n).map(|_| (rng.normal() * 4.0).round() * 0.5).collect(); // with ties
            let mut sorted = x.clone();
            sorted.sort_by(|a, b| b.partial_cmp(a).unwrap());
            for k in 1..=n {
                assert_eq!(kth_largest(&x, k), key(sorted[k - 1]), "n {n} k {k}");
            }
        }
    }

    #[test]
    fn the_nucleus_is_that_of_a_sort() {
        let mut rng = Rng::new(2);
        for n in (1..=67).chain([300]) {
            let x: Vec<f32> = (0..n).map(|_| (rng.normal() * 4.0).round() * 0.5).collect();
            let w: Vec<f32> = x.iter().map(|v| v.exp()).collect();
            for p in [0.0, 0.01, 0.123, 0.5, 0.9, 0.999] {
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by(|&a, &b| x[b].partial_cmp(&x[a]).unwrap().then(a.cmp(&b)));
                let total: f64 = w.iter().map(|&v| v as f64).sum();
                let (mut sum, mut want) = (0.0, vec![]);
                for i in order {
                    want.push(i);
                    sum += w[i] as f64;
                    if sum >= p * total {
                        break;
                    }
                }
                want.sort_unstable();
                let mut edge = nucleus(&x, &w, p * total);
                let got: Vec<usize> = (0..n).filter(|&i| edge.keeps(key(x[i]))).collect();
                assert_eq!(got, want, "n {n} p {p}");
            }
        }
    }
}
