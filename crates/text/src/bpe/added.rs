//! Tokens that are cut out of a text before it is split: the leftmost match, the longest of those that begin there, with the conditions that Hugging
//! Face's added tokens have.

use crate::pattern::class::{decode, previous, Class};
use crate::unicode::{white_space, word};

/// The conditions of an added token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Takes the white space before it in.
    pub lstrip: bool,
    /// Takes the white space behind it in.
    pub rstrip: bool,
    /// Counts only where no word character stands beside it.
    pub single_word: bool,
    /// Is text unless asked for.
    pub special: bool,
}

impl Flags {
    /// From bits: 1 lstrip, 2 rstrip, 4 single word, 8 special.
    pub fn from_bits(bits: u32) -> Self {
        Self { lstrip: bits & 1 != 0, rstrip: bits & 2 != 0, single_word: bits & 4 != 0, special: bits & 8 != 0 }
    }
}

#[derive(Debug)]
struct Token {
    content: Box<[u8]>,
    id: u32,
    flags: Flags,
}

/// A token found: what of the text it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// The token.
    pub id: u32,
}

/// All added tokens.
#[derive(Debug, Default)]
pub struct AddedTokens {
    /// In the order in which they were added.
    tokens: Vec<Token>,
    /// By first byte: the tokens that begin with it, longest first, so that the first that matches is the longest.
    by_first: Vec<Vec<u32>>,
    classes: Option<(Class, Class)>,
}

impl AddedTokens {
    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Adds one. Empty content is never found.
    pub fn add(&mut self, content: &str, id: u32, flags: Flags) {
        if content.is_empty() {
            return;
        }
        self.classes.get_or_insert_with(|| (Class::new(&white_space()), Class::new(&word())));
        self.by_first.resize(256, Vec::new());
        let list = &mut self.by_first[usize::from(content.as_bytes()[0])];
        let place = list.partition_point(|&i| self.tokens[i as usize].content.len() >= content.len());
        list.insert(place, self.tokens.len() as u32);
        self.tokens.push(Token { content: content.as_bytes().into(), id, flags });
    }

    /// The next token in the text from `from` on. A special one counts only if asked for.
    pub fn find(&self, text: &str, from: usize, all_special: bool, special: &[u32]) -> Option<Found> {
        let (space, word) = self.classes.as_ref()?;
        let bytes = text.as_bytes();
        let mut at = from;
        'places: while at < bytes.len() {
            for &i in &self.by_first[usize::from(bytes[at])] {
                let token = &self.tokens[i as usize];
                if !bytes[at..].starts_with(&token.content) {
                    continue;
                }
                if token.flags.special && !all_special && !special.contains(&token.id) {
                    continue; // ordinary text; a shorter one may still be meant
                }
                let end = at + token.content.len();
                let beside = |position: usize| bytes.len() > position && word.contains(decode(bytes, position).0);
                if token.flags.single_word && (at > 0 && beside(previous(bytes, at)) || beside(end)) {
                    at = end; // the match was this one: nothing inside it counts
                    continue 'places;
                }
                return Some(stretch(bytes, space, from, Found { start: at, end, id: token.id }, token.flags));
            }
            at += 1;
        }
        None
    }
}

/// Takes white space in on the sides that strip.
fn stretch(text: &[u8], space: &Class, from: usize, mut found: Found, flags: Flags) -> Found {
    if flags.lstrip {
        while found.start > from {
            let before = previous(text, found.start);
            if before < from || space.step(text, before) == 0 {
                break;
            }
            found.start = before;
        }
    }
    if flags.rstrip {
        loop {
            let length = space.step(text, found.end);
            if length == 0 {
                break;
            }
            found.end += length;
        }
    }
    found
}
