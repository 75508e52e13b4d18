//! From a pattern's text to a tree. The syntax is what byte-level tokenizer files use, as Oniguruma reads it: classes (nested ones are unions, `&&`
//! intersects), `\p{..}`, `\s \d \w`, groups, `(?i:..)`, quantifiers (greedy, lazy, possessive), lookahead, atomic groups, `^` and `$` (of lines).
//! Anything else is an error.

use crate::unicode::{category, white_space, word, Set};

/// A pattern as a tree.
#[derive(Clone, Debug)]
pub enum Node {
    /// One character of the set.
    One(Set),
    /// One after the other.
    Sequence(Vec<Node>),
    /// The first that lets the whole match.
    Either(Vec<Node>),
    /// `least` to `most` times (`u32::MAX`: without end).
    Repeat {
        node: Box<Node>,
        least: u32,
        most: u32,
        greed: Greed,
    },
    /// What follows does (or does not) match; nothing is consumed.
    Ahead {
        node: Box<Node>,
        negative: bool,
    },
    /// The first way to match, never another one.
    Atomic(Box<Node>),
    /// Where a line begins, or ends; nothing is consumed.
    LineStart,
    LineEnd,
}

/// How a repetition decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

/// Groups may be nested this deep.
const MOST_DEPTH: usize = 64;
/// Counts in `{n,m}`.
const MOST_COUNT: u32 = 1000;

/// Reads a pattern.
pub fn parse(pattern: &str) -> Result<Node, String> {
    let mut parser = Parser { text: pattern.chars().collect(), at: 0, depth: 0, ignore_case: false };
    let node = parser.either()?;
    match parser.peek() {
        None => Ok(node),
        Some(other) => Err(parser.unsupported(&format!("`{other}`"))),
    }
}

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: usize,
    ignore_case: bool,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c))
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.looking_at(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    fn next(&mut self) -> Result<char, String> {
        let c = self.peek().ok_or_else(|| self.unsupported("its end"))?;
        self.at += 1;
        Ok(c)
    }

    fn unsupported(&self, what: &str) -> String {
        format!(
            "UNSUPPORTED_PATTERN: pattern: must use the syntax of byte-level tokenizers, got {what} at character {}",
            self.at
        )
    }

    fn either(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.unsupported("groups nested too deep"));
        }
        let before = self.ignore_case;
        let mut branches = vec![self.sequence()?];
        while self.take("|") {
            branches.push(self.sequence()?);
        }
        self.ignore_case = before;
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Either(branches) })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        while !matches!(self.peek(), None | Some('|') | Some(')')) {
            if self.take("(?i)") {
                self.ignore_case = true;
                continue;
            }
            let atom = self.atom()?;
            nodes.push(self.quantified(atom)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) })
    }

    fn quantified(&mut self, mut atom: Node) -> Result<Node, String> {
        loop {
            let start = self.at;
            let (least, most) = match self.peek() {
                Some('?') => (0, 1),
                Some('*') => (0, u32::MAX),
                Some('+') => (1, u32::MAX),
                Some('{') => self.counts()?,
                _ => return Ok(atom),
            };
            let braces = self.text[start] == '{';
            if !braces {
                self.at += 1;
            }
            // Behind braces a `+` is another quantifier in Oniguruma, not possessive.
            let greed = if self.take("?") {
                Greed::Lazy
            } else if !braces && self.take("+") {
                Greed::Possessive
            } else {
                Greed::Greedy
            };
            atom = Node::Repeat { node: Box::new(atom), least, most, greed };
        }
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`.
    fn counts(&mut self) -> Result<(u32, u32), String> {
        self.at += 1;
        let least = self.number()?;
        let most = if self.take(",") { self.number()?.unwrap_or(u32::MAX) } else { least.unwrap_or(u32::MAX) };
        let least = least.unwrap_or(0);
        if !self.take("}") || least > most {
            return Err(self.unsupported("a count"));
        }
        Ok((least, most))
    }

    fn number(&mut self) -> Result<Option<u32>, String> {
        let mut value = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.at += 1;
            let so_far = value.unwrap_or(0) * 10 + digit;
            if so_far > MOST_COUNT {
                return Err(self.unsupported("a count above 1000"));
            }
            value = Some(so_far);
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<Node, String> {
        let c = self.next()?;
        match c {
            '(' => self.group(),
            '[' => Ok(Node::One(self.class()?)),
            '\\' => Ok(Node::One(self.escape()?)),
            '.' => Ok(Node::One(Set::range(10, 10).complement())),
            '^' => Ok(Node::LineStart),
            '$' => Ok(Node::LineEnd),
            '*' | '+' | '?' | '{' => Err(self.unsupported(&format!("`{c}`"))),
            c => Ok(Node::One(self.single(c)?)),
        }
    }

    fn group(&mut self) -> Result<Node, String> {
        let before = self.ignore_case;
        let wrap: fn(Node) -> Node = if self.take("?:") {
            |node| node
        } else if self.take("?i:") {
            self.ignore_case = true;
            |node| node
        } else if self.take("?=") {
            |node| Node::Ahead { node: Box::new(node), negative: false }
        } else if self.take("?!") {
            |node| Node::Ahead { node: Box::new(node), negative: true }
        } else if self.take("?>") {
            |node| Node::Atomic(Box::new(node))
        } else if self.peek() == Some('?') {
            return Err(self.unsupported("a group of another kind"));
        } else {
            |node| node
        };
        let node = self.either()?;
        self.ignore_case = before;
        if !self.take(")") {
            return Err(self.unsupported("a group without an end"));
        }
        Ok(wrap(node))
    }

    /// One character, or both cases of it.
    fn single(&self, c: char) -> Result<Set, String> {
        let set = Set::range(c as u32, c as u32);
        if !self.ignore_case {
            return Ok(set);
        }
        if !c.is_ascii() {
            return Err(self.unsupported("(?i) with characters beyond ASCII"));
        }
        Ok(fold_ascii(set))
    }

    /// Behind `[`: the class up to its `]`.
    fn class(&mut self) -> Result<Set, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.unsupported("classes nested too deep"));
        }
        let negative = self.take("^");
        let mut whole: Option<Set> = None; // what stood before `&&`
        let mut set = Set::default();
        let mut first = true;
        loop {
            if self.take("&&") {
                whole = Some(whole.map_or(set.clone(), |other| other.intersection(&set)));
                set = Set::default();
                continue;
            }
            if self.looking_at("[:") {
                return Err(self.unsupported("a POSIX bracket"));
            }
            let c = self.next()?;
            if c == ']' && !first {
                break;
            }
            first = false;
            set = set.union(&self.member(c)?);
        }
        let set = whole.map_or(set.clone(), |other| other.intersection(&set));
        self.depth -= 1;
        Ok(if negative { set.complement() } else { set })
    }

    /// One member of a class: a nested class, an escape, a character or a range.
    fn member(&mut self, c: char) -> Result<Set, String> {
        if c == '[' {
            return self.class();
        }
        let low = if c == '\\' { self.escape()? } else { Set::range(c as u32, c as u32) };
        let is_range = self.looking_at("-") && !self.looking_at("-]") && !self.looking_at("-[");
        let &[(from, to)] = low.0.as_slice() else { return Ok(low) };
        if !is_range || from != to {
            return Ok(if self.ignore_case { fold_ascii(low) } else { low });
        }
        self.at += 1;
        let end = self.next()?;
        let high = if end == '\\' { self.escape()? } else { Set::range(end as u32, end as u32) };
        match high.0.as_slice() {
            &[(last, same)] if last == same && last >= from => {
                let set = Set::range(from, last);
                Ok(if self.ignore_case { fold_ascii(set) } else { set })
            }
            _ => Err(self.unsupported("a range")),
        }
    }

    /// Behind a backslash.
    fn escape(&mut self) -> Result<Set, String> {
        let c = self.next()?;
        let one = |code: u32| Ok(Set::range(code, code));
        match c {
            's' => Ok(white_space()),
            'S' => Ok(white_space().complement()),
            'w' => Ok(word()),
            'W' => Ok(word().complement()),
            'd' => Ok(category("Nd").unwrap_or_default()),
            'D' => Ok(category("Nd").unwrap_or_default().complement()),
            'p' | 'P' => self.property(c == 'P'),
            'n' => one(10),
            'r' => one(13),
            't' => one(9),
            'f' => one(12),
            'v' => one(11),
            'x' => self.code_point(2),
            'u' => self.code_point(4),
            c if c.is_ascii_alphanumeric() => Err(self.unsupported(&format!("`\\{c}`"))),
            c => self.single(c),
        }
    }

    /// `{L}`, `{^L}` or one letter.
    fn property(&mut self, negative: bool) -> Result<Set, String> {
        let mut name = String::new();
        if self.take("{") {
            loop {
                match self.next()? {
                    '}' => break,
                    c => name.push(c),
                }
            }
        } else {
            name.push(self.next()?);
        }
        let (inverse, short) = match name.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, name.as_str()),
        };
        let short = short.strip_prefix("General_Category=").or(short.strip_prefix("gc=")).unwrap_or(short);
        let set = category(short).ok_or_else(|| self.unsupported(&format!("the property {name:?}")))?;
        Ok(if negative != inverse { set.complement() } else { set })
    }

    fn code_point(&mut self, digits: usize) -> Result<Set, String> {
        let mut value = 0;
        let braces = self.take("{");
        let mut count = 0;
        while braces || count < digits {
            if braces && self.take("}") {
                break;
            }
            let digit = self.next()?.to_digit(16).ok_or_else(|| self.unsupported("a code point"))?;
            value = value * 16 + digit;
            count += 1;
            if value > 0x10FFFF {
                return Err(self.unsupported("a code point above U+10FFFF"));
            }
        }
        if count == 0 {
            return Err(self.unsupported("a code point without digits"));
        }
        Ok(Set::range(value, value))
    }
}

/// Adds the other case of every ASCII letter, and the two letters beyond ASCII that fold to one (ſ and the Kelvin sign).
fn fold_ascii(set: Set) -> Set {
    let mut more = Vec::new();
    for c in b'a'..=b'z' {
        let upper = c.to_ascii_uppercase();
        if set.contains(u32::from(c)) || set.contains(u32::from(upper)) {
            more.extend([(u32::from(upper), u32::from(upper)), (u32::from(c), u32::from(c))]);
            match c {
                b's' => more.push((0x17F, 0x17F)),
                b'k' => more.push((0x212A, 0x212A)),
                _ => {}
            }
        }
    }
    set.union(&Set(more))
}
