//! From a pattern's tree to instructions for the matcher.

use super::class::Class;
use super::parse::{Greed, Node};
use crate::unicode::Set;

/// One step of a matcher.
#[derive(Debug)]
pub enum Step {
    /// One character of the class.
    One(usize),
    /// As many characters of the class as there are, `least` to `most`; fewer when the rest does not match, unless `fixed`.
    Span { class: usize, least: u32, most: u32, fixed: bool },
    /// Goes on at the first, and at the second when that fails.
    Try(usize, usize),
    /// Goes on elsewhere.
    Jump(usize),
    /// Matches the steps up to the one given, without consuming; `negative` wants that to fail.
    Ahead { end: usize, negative: bool },
    /// Matches the steps up to the one given, in the first way only.
    Atomic { end: usize },
    /// Goes on where a line begins: at the start of the text and behind a line feed.
    LineStart,
    /// Goes on where a line ends: at the end of the text and before a line feed.
    LineEnd,
    /// The end of the pattern, of a lookahead or of an atomic part.
    Done,
}

/// A pattern as instructions: one part after the other for each of its alternatives at the top, with the classes that all of them use.
#[derive(Debug, Default)]
pub struct Program {
    pub steps: Vec<Step>,
    pub classes: Vec<Class>,
    sets: Vec<Set>,
}

/// Instructions a pattern may have: those in use have fewer than a hundred.
const MOST_STEPS: usize = 10_000;

fn refuse(what: &str) -> String {
    format!("UNSUPPORTED_PATTERN: pattern: must be a pattern of a tokenizer, got {what}")
}

impl Program {
    /// Appends the instructions of a tree, with `Done` at the end; gives the first one's place.
    pub fn append(&mut self, node: &Node) -> Result<usize, String> {
        let start = self.steps.len();
        self.add(node)?;
        self.steps.push(Step::Done);
        Ok(start)
    }

    fn class(&mut self, set: &Set) -> usize {
        self.sets.iter().position(|known| known == set).unwrap_or_else(|| {
            self.sets.push(set.clone());
            self.classes.push(Class::new(set));
            self.sets.len() - 1
        })
    }

    fn add(&mut self, node: &Node) -> Result<(), String> {
        if self.steps.len() > MOST_STEPS {
            return Err(refuse("one that is too long"));
        }
        match node {
            Node::One(set) => {
                let class = self.class(set);
                self.steps.push(Step::One(class));
            }
            Node::Sequence(nodes) => {
                for node in nodes {
                    self.add(node)?;
                }
            }
            Node::Either(nodes) => self.add_either(nodes)?,
            Node::Repeat { node, least, most, greed } => self.add_repeat(node, *least, *most, *greed)?,
            Node::Ahead { node, negative } => {
                let at = self.steps.len();
                self.steps.push(Step::Ahead { end: 0, negative: *negative });
                self.add(node)?;
                self.steps.push(Step::Done);
                self.steps[at] = Step::Ahead { end: self.steps.len(), negative: *negative };
            }
            Node::Atomic(node) => self.add_atomic(|program| program.add(node))?,
            Node::LineStart => self.steps.push(Step::LineStart),
            Node::LineEnd => self.steps.push(Step::LineEnd),
        }
        Ok(())
    }

    fn add_atomic(&mut self, inside: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        let at = self.steps.len();
        self.steps.push(Step::Atomic { end: 0 });
        inside(self)?;
        self.steps.push(Step::Done);
        self.steps[at] = Step::Atomic { end: self.steps.len() };
        Ok(())
    }

    fn add_either(&mut self, nodes: &[Node]) -> Result<(), String> {
        let mut ends = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            if i + 1 == nodes.len() {
                self.add(node)?;
                break;
            }
            let choice = self.steps.len();
            self.steps.push(Step::Try(choice + 1, 0));
            self.add(node)?;
            ends.push(self.steps.len());
            self.steps.push(Step::Jump(0));
            self.steps[choice] = Step::Try(choice + 1, self.steps.len());
        }
        for end in ends {
            self.steps[end] = Step::Jump(self.steps.len());
        }
        Ok(())
    }

    fn add_repeat(&mut self, node: &Node, least: u32, most: u32, greed: Greed) -> Result<(), String> {
        if let (Node::One(set), true) = (node, greed != Greed::Lazy) {
            let class = self.class(set);
            self.steps.push(Step::Span { class, least, most, fixed: greed == Greed::Possessive });
            return Ok(());
        }
        if greed == Greed::Possessive {
            return self.add_atomic(|program| program.add_repeat(node, least, most, Greed::Greedy));
        }
        for _ in 0..least {
            self.add(node)?;
        }
        let choose = |here: usize, there: usize| match greed {
            Greed::Lazy => Step::Try(there, here),
            _ => Step::Try(here, there),
        };
        if most == u32::MAX {
            if can_be_empty(node) {
                return Err(refuse("an endless repetition of what can be empty"));
            }
            let choice = self.steps.len();
            self.steps.push(Step::Done);
            self.add(node)?;
            self.steps.push(Step::Jump(choice));
            self.steps[choice] = choose(choice + 1, self.steps.len());
            return Ok(());
        }
        let mut choices = Vec::new();
        for _ in least..most {
            choices.push(self.steps.len());
            self.steps.push(Step::Done);
            self.add(node)?;
        }
        for choice in choices {
            self.steps[choice] = choose(choice + 1, self.steps.len());
        }
        Ok(())
    }
}

/// Whether a node can match without a character.
fn can_be_empty(node: &Node) -> bool {
    match node {
        Node::One(_) => false,
        Node::Sequence(nodes) => nodes.iter().all(can_be_empty),
        Node::Either(nodes) => nodes.iter().any(can_be_empty),
        Node::Repeat { node, least, .. } => *least == 0 || can_be_empty(node),
        Node::Ahead { .. } | Node::LineStart | Node::LineEnd => true,
        Node::Atomic(node) => can_be_empty(node),
    }
}

/// The bytes that a match of a node can begin with; all where that cannot be told.
pub fn first_bytes(node: &Node) -> [bool; 256] {
    let set = if can_be_empty(node) { Set::range(0, 0x10FFFF) } else { first_set(node) };
    let mut first = [false; 256];
    for (low, high) in set.0 {
        // First bytes ascend with the scalars.
        first[usize::from(lead_byte(low))..=usize::from(lead_byte(high))].fill(true);
    }
    first
}

/// The first byte of a scalar in UTF-8.
fn lead_byte(scalar: u32) -> u8 {
    match scalar {
        0..0x80 => scalar as u8,
        0x80..0x800 => 0xC0 | (scalar >> 6) as u8,
        0x800..0x10000 => 0xE0 | (scalar >> 12) as u8,
        _ => 0xF0 | (scalar >> 18) as u8,
    }
}

/// The characters that a match of a node can begin with; everything where that cannot be told.
fn first_set(node: &Node) -> Set {
    match node {
        Node::One(set) => set.clone(),
        Node::Sequence(nodes) => {
            let mut set = Set::default();
            for node in
                nodes.iter().filter(|node| !matches!(node, Node::Ahead { .. } | Node::LineStart | Node::LineEnd))
            {
                set = set.union(&first_set(node));
                if !can_be_empty(node) {
                    return set;
                }
            }
            Set::range(0, 0x10FFFF)
        }
        Node::Either(nodes) => nodes.iter().fold(Set::default(), |set, node| set.union(&first_set(node))),
        Node::Repeat { node, .. } => first_set(node),
        Node::Ahead { .. } | Node::LineStart | Node::LineEnd => Set::range(0, 0x10FFFF),
        Node::Atomic(node) => first_set(node),
    }
}
