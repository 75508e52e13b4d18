//! Frozen Unicode tables: general category and word character of every scalar, as sets of ranges. No engine's own tables are asked: ids would
//! depend on its version.

mod ranges;

/// A set of scalars: ascending ranges `[first, last]` that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set(pub Vec<(u32, u32)>);

const LAST: u32 = 0x10FFFF;
/// The scalars of Unicode's White_Space property.
const WHITE_SPACE: [(u32, u32); 10] = [
    (0x09, 0x0D),
    (0x20, 0x20),
    (0x85, 0x85),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
];
/// Names of the categories in the order of their numbers in the table.
const CATEGORIES: &[u8] = b"LuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCoCn";
/// Long names of the groups, which patterns use too.
const LONG_NAMES: [(&str, &str); 12] = [
    ("Letter", "L"),
    ("Mark", "M"),
    ("Number", "N"),
    ("Punctuation", "P"),
    ("Punct", "P"),
    ("Symbol", "S"),
    ("Separator", "Z"),
    ("Other", "C"),
    ("Alpha", "L"),
    ("Digit", "Nd"),
    ("Upper", "Lu"),
    ("Lower", "Ll"),
];

impl Set {
    /// One range.
    pub fn range(first: u32, last: u32) -> Self {
        Self(vec![(first, last)])
    }

    /// What either holds.
    pub fn union(&self, other: &Self) -> Self {
        let mut all: Vec<(u32, u32)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut out: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match out.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                _ => out.push((first, last)),
            }
        }
        Self(out)
    }

    /// What it does not hold.
    pub fn complement(&self) -> Self {
        let mut out = Vec::with_capacity(self.0.len() + 1);
        let mut next = 0;
        for &(first, last) in &self.0 {
            if first > next {
                out.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= LAST {
            out.push((next, LAST));
        }
        Self(out)
    }

    /// What both hold.
    pub fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }

    /// Whether it holds a scalar.
    pub fn contains(&self, scalar: u32) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= scalar);
        after > 0 && scalar <= self.0[after - 1].1
    }
}

/// Unicode's White_Space: what `\s` matches.
pub fn white_space() -> Set {
    Set(WHITE_SPACE.to_vec())
}

/// What `\w` matches.
pub fn word() -> Set {
    matching(|value| value & 32 != 0)
}

/// A general category (`Lu`), a group of them (`L`), or a long name of a group. `None` for a name of another kind.
pub fn category(name: &str) -> Option<Set> {
    let name = LONG_NAMES.iter().find(|(long, _)| long.eq_ignore_ascii_case(name)).map_or(name, |(_, short)| short);
    let mut mask = 0u32;
    for (number, two) in CATEGORIES.chunks(2).enumerate() {
        if name.as_bytes() == &two[..1] || name.as_bytes() == two {
            mask |= 1 << number;
        }
    }
    // L& and LC: letters with a case.
    if name == "L&" || name == "LC" {
        mask = 0b111;
    }
    (mask != 0).then(|| matching(|value| mask >> (value & 31) & 1 != 0))
}

/// The scalars whose value in the table is accepted.
fn matching(accept: impl Fn(u32) -> bool) -> Set {
    let mut out: Vec<(u32, u32)> = Vec::new();
    let (mut at, mut scalar) = (0, 0);
    while at < ranges::RUNS.len() {
        let (mut run, mut shift) = (0u32, 0);
        loop {
            let byte = u32::from(ranges::RUNS[at]);
            at += 1;
            run |= (byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                break;
            }
        }
        let length = run >> 6;
        if accept(run & 63) {
            match out.last_mut() {
                Some((_, last)) if *last + 1 == scalar => *last = scalar + length - 1,
                _ => out.push((scalar, scalar + length - 1)),
            }
        }
        scalar += length;
    }
    Set(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scalar_has_one_category() {
        let sizes: u32 = CATEGORIES
            .chunks(2)
            .map(|name| {
                category(std::str::from_utf8(name).unwrap()).unwrap().0.iter().map(|(a, b)| b - a + 1).sum::<u32>()
            })
            .sum();
        assert_eq!(sizes, 0x110000);
    }

    #[test]
    fn known_scalars() {
        for (name, yes, no) in [
            ("L", 'é', '1'),
            ("Lu", 'É', 'é'),
            ("N", '½', 'a'),
            ("Nd", '٣', '½'),
            ("P", '—', '+'),
            ("M", '\u{301}', 'a'),
        ] {
            let set = category(name).unwrap();
            assert!(set.contains(yes as u32) && !set.contains(no as u32), "{name}");
        }
        assert!(category("Letter") == category("L") && category("Han").is_none() && category("").is_none());
        assert!(white_space().contains(0x85) && !white_space().contains(0xFEFF));
        assert!(word().contains('_' as u32) && !word().contains('-' as u32));
    }

    #[test]
    fn set_algebra() {
        let a = Set(vec![(1, 5), (10, 20)]);
        let b = Set(vec![(4, 12), (21, 21)]);
        assert_eq!(a.union(&b), Set::range(1, 21));
        assert_eq!(a.intersection(&b), Set(vec![(4, 5), (10, 12)]));
        assert_eq!(a.complement().complement(), a);
        assert_eq!(Set::default().complement(), Set::range(0, LAST));
    }
}
