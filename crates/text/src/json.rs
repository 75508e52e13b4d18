//! A strict reader of JSON for the headers of files. It takes what RFC 8259 says and nothing else: no duplicate keys, no lone surrogates, no numbers that
//! would be rounded, no endless nesting. It walks the text and lets its caller build what it wants; it is not a JSON library.

use std::borrow::Cow;

/// Values nested deeper than this are refused.
const MAX_DEPTH: u32 = 128;

/// The largest integer that JavaScript holds exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why a text was refused: `rule, got value`, without the name of the file.
pub type Refused = String;

/// A position in a text.
pub struct Json<'a> {
    text: &'a str,
    at: usize,
}

/// Text as messages show it: quoted, control characters escaped, cut where it is long.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        if i == 80 {
            out.push_str("...");
            break;
        }
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    out.push(char::from(b"0123456789abcdef"[(c as usize >> shift) & 15]));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl<'a> Json<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Json { text, at: 0 }
    }

    /// The refusal of what stands at the current position.
    pub fn refuse(&self, rule: &str) -> Refused {
        // The position can be inside a character only after a refusal.
        let rest: String = self.text.get(self.at..).unwrap_or("").chars().take(20).collect();
        let got = if rest.is_empty() { "its end".to_string() } else { quote(&rest) };
        [rule, ", got ", &got, " at byte ", &self.at.to_string(), " of the header"].concat()
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), Refused> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.refuse("nothing may follow the JSON")),
        }
    }

    /// An object: `member` is called at each value, which it must consume. Keys must differ.
    pub fn object(
        &mut self,
        what: &str,
        member: &mut dyn FnMut(&mut Self, &str) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.open(b'{', &[what, " must be an object"].concat())?;
        let mut keys = Vec::new();
        let mut next = !self.closes(b'}');
        while next {
            let key = self.string("a key")?;
            if self.peek() != Some(b':') {
                return Err(self.refuse("a colon must follow a key"));
            }
            self.at += 1;
            member(self, &key)?;
            keys.push(key);
            next = self.more(b'}')?;
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(["keys must differ, got ", &quote(&pair[0]), " twice in ", what].concat()),
        }
    }

    /// A list: `item` is called at each element, which it must consume.
    pub fn list(&mut self, what: &str, item: &mut dyn FnMut(&mut Self) -> Result<(), Refused>) -> Result<(), Refused> {
        self.open(b'[', &[what, " must be a list"].concat())?;
        let mut next = !self.closes(b']');
        while next {
            item(self)?;
            next = self.more(b']')?;
        }
        Ok(())
    }

    /// A string. Raw control characters, unknown escapes and lone surrogates are refused. Without escapes it is a part of the text.
    pub fn string(&mut self, what: &str) -> Result<Cow<'a, str>, Refused> {
        self.open(b'"', &[what, " must be a string"].concat())?;
        let mut decoded: Option<String> = None;
        let mut start = self.at; // of what has not been copied to `decoded`
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let decoded = decoded.get_or_insert_with(String::new);
                    decoded.push_str(&self.text[start..self.at]);
                    let character = self.escape()?;
                    decoded.push(character);
                    start = self.at;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.refuse(&[what, " must be a whole string without control characters"].concat())),
            }
        }
        let rest = &self.text[start..self.at];
        self.at += 1;
        Ok(match decoded {
            None => Cow::Borrowed(rest),
            Some(text) => Cow::Owned(text + rest),
        })
    }

    /// A non-negative integer below 2^53, written without sign, fraction or exponent.
    pub fn integer(&mut self, what: &str) -> Result<u64, Refused> {
        self.peek();
        let refused = |json: &Self| Err(json.refuse(&[what, " must be an integer from 0 to 2^53 - 1"].concat()));
        let digits = self.digits();
        let bytes = &self.text.as_bytes()[self.at..self.at + digits];
        let leading_zero = digits > 1 && bytes[0] == b'0';
        let follows = self.text.as_bytes().get(self.at + digits);
        if digits == 0 || digits > 16 || leading_zero || matches!(follows, Some(b'.' | b'e' | b'E')) {
            return refused(self);
        }
        let value = bytes.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if value > MAX_INTEGER {
            return refused(self);
        }
        self.at += digits;
        Ok(value)
    }

    /// True, and consumed, if `null` comes next.
    pub fn take_null(&mut self) -> bool {
        self.peek();
        self.take("null")
    }

    /// Any value, checked and dropped. `depth` is that of the value: 1 for a member of the outermost object.
    pub fn skip(&mut self, depth: u32) -> Result<(), Refused> {
        if depth > MAX_DEPTH {
            return Err(self.refuse("values must be nested at most 128 deep"));
        }
        match self.peek() {
            Some(b'{') => self.object("a value", &mut |json, _| json.skip(depth + 1)),
            Some(b'[') => self.list("a value", &mut |json| json.skip(depth + 1)),
            Some(b'"') => self.string("a value").map(drop),
            _ if self.take("true") || self.take("false") || self.take("null") => Ok(()),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Result<(), Refused> {
        let from = self.at;
        let refused = |json: &mut Self| {
            json.at = from;
            Err(json.refuse("a value must be JSON"))
        };
        self.take("-");
        let zero = self.text.as_bytes().get(self.at) == Some(&b'0');
        let whole = if zero { 1 } else { self.digits() };
        self.at += whole;
        if whole == 0 {
            return refused(self);
        }
        if self.take(".") {
            let fraction = self.digits();
            self.at += fraction;
            if fraction == 0 {
                return refused(self);
            }
        }
        if self.take("e") || self.take("E") {
            let _ = self.take("+") || self.take("-");
            let exponent = self.digits();
            self.at += exponent;
            if exponent == 0 {
                return refused(self);
            }
        }
        Ok(())
    }

    /// The next byte after white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn open(&mut self, bracket: u8, rule: &str) -> Result<(), Refused> {
        if self.peek() != Some(bracket) {
            return Err(self.refuse(rule));
        }
        self.at += 1;
        Ok(())
    }

    /// True, and consumed, if the closing bracket comes next.
    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// After an element: true if another follows, false if the closing bracket came.
    fn more(&mut self, bracket: u8) -> Result<bool, Refused> {
        let next = self.peek();
        if next != Some(b',') && next != Some(bracket) {
            return Err(self.refuse("a comma or the closing bracket must follow"));
        }
        self.at += 1;
        Ok(next == Some(b','))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// How many digits come next.
    fn digits(&self) -> usize {
        self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn escape(&mut self) -> Result<char, Refused> {
        let letter = self.text.as_bytes().get(self.at + 1);
        let simple = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return self.unicode_escape(),
        };
        self.at += 2;
        Ok(simple)
    }

    /// `\uXXXX`, two of them for a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Refused> {
        let from = self.at;
        let mut code = self.code_unit()?;
        if (0xd800..0xdc00).contains(&code) {
            let low = if self.text.as_bytes()[self.at..].starts_with(b"\\u") { self.code_unit()? } else { 0 };
            // Without a partner it stays a surrogate, which is no character.
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        char::from_u32(code).ok_or_else(|| {
            self.at = from;
            self.refuse("surrogates must come in pairs")
        })
    }

    fn code_unit(&mut self) -> Result<u32, Refused> {
        let bytes = &self.text.as_bytes()[self.at..];
        let digits = bytes.get(2..6).filter(|digits| bytes[1] == b'u' && digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return Err(self.refuse("a backslash must begin one of JSON's escapes"));
        };
        let value = digits.iter().fold(0, |sum, &digit| sum * 16 + (digit as char).to_digit(16).unwrap_or(0));
        self.at += 6;
        Ok(value)
    }
}
