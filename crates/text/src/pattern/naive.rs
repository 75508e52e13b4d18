//! The definition of matching, as directly as can be: recursion over the tree with continuations. For tests only.

use super::parse::{parse, Greed, Node};

type Next<'a> = &'a dyn Fn(usize) -> Option<usize>;

/// The end of the match at `at`; `None` where there is none.
pub fn match_at(pattern: &str, text: &str, at: usize) -> Option<usize> {
    let node = parse(pattern).unwrap();
    matches(&node, text, at, &Some)
}

fn matches(node: &Node, text: &str, at: usize, next: Next<'_>) -> Option<usize> {
    match node {
        Node::One(set) => {
            let c = text[at..].chars().next()?;
            if set.contains(c as u32) {
                next(at + c.len_utf8())
            } else {
                None
            }
        }
        Node::Sequence(nodes) => match nodes.split_first() {
            None => next(at),
            Some((first, rest)) => {
                let rest = Node::Sequence(rest.to_vec());
                matches(first, text, at, &|end| matches(&rest, text, end, next))
            }
        },
        Node::Either(nodes) => nodes.iter().find_map(|node| matches(node, text, at, next)),
        Node::Repeat { node, least, most, greed } => match greed {
            Greed::Possessive => {
                let greedy = Node::Repeat { node: node.clone(), least: *least, most: *most, greed: Greed::Greedy };
                next(matches(&greedy, text, at, &Some)?)
            }
            _ => repeat(node, (*least, *most), *greed, text, at, next),
        },
        Node::Ahead { node, negative } => {
            if matches(node, text, at, &Some).is_some() != *negative {
                next(at)
            } else {
                None
            }
        }
        Node::Atomic(node) => next(matches(node, text, at, &Some)?),
        Node::LineStart if text[..at].is_empty() || text[..at].ends_with('\n') => next(at),
        Node::LineEnd if text[at..].is_empty() || text[at..].starts_with('\n') => next(at),
        Node::LineStart | Node::LineEnd => None,
    }
}

fn repeat(
    node: &Node,
    (least, most): (u32, u32),
    greed: Greed,
    text: &str,
    at: usize,
    next: Next<'_>,
) -> Option<usize> {
    let fewer = (least.saturating_sub(1), if most == u32::MAX { most } else { most.saturating_sub(1) });
    let more = || {
        if most == 0 {
            return None;
        }
        matches(node, text, at, &|end| repeat(node, fewer, greed, text, end, next))
    };
    if least > 0 {
        return more();
    }
    match greed {
        Greed::Lazy => next(at).or_else(more),
        _ => more().or_else(|| next(at)),
    }
}
