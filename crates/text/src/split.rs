//! Cuts text into words before merging: a list of steps, each a pattern with what happens to its matches, as the pre-tokenizers of a tokenizer.json do.

use crate::pattern::{budget_for, Pattern};

/// What happens to a match (Hugging Face's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behavior {
    Isolated,
    Removed,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// One pre-tokenizer.
#[derive(Debug)]
enum Step {
    Split {
        pattern: Pattern,
        behavior: Behavior,
        invert: bool,
    },
    /// Puts a space in front of a piece that does not begin with one.
    PrefixSpace,
}

/// A piece of the text and whether the pattern matched it.
type Span = (usize, usize, bool);

/// The steps, in order.
#[derive(Debug)]
pub struct Splitter {
    steps: Vec<Step>,
}

impl Splitter {
    /// Reads steps that are separated by NUL: a letter for the behavior (I R P N C), `:` or, inverted, `!`, and the pattern; or `S`, a space in front.
    /// Without steps the text is one word. The error starts with `UNSUPPORTED_PATTERN`.
    pub fn new(description: &str) -> Result<Self, String> {
        if description.is_empty() {
            return Ok(Self { steps: Vec::new() });
        }
        let steps = description.split('\0').map(read_step).collect::<Result<_, _>>()?;
        Ok(Self { steps })
    }

    /// Calls `word` with each word in order. The error starts with `PATTERN_TOO_SLOW`.
    pub fn split(&mut self, text: &[u8], word: &mut impl FnMut(&[u8])) -> Result<(), String> {
        split(&mut self.steps, text, word)
    }
}

fn read_step(text: &str) -> Result<Step, String> {
    if text == "S" {
        return Ok(Step::PrefixSpace);
    }
    let wrong =
        || format!("UNSUPPORTED_PATTERN: pattern: a step must be a behavior, `:` or `!`, and a pattern, got {text:?}");
    let mut chars = text.chars();
    let behavior = match chars.next() {
        Some('I') => Behavior::Isolated,
        Some('R') => Behavior::Removed,
        Some('P') => Behavior::MergedWithPrevious,
        Some('N') => Behavior::MergedWithNext,
        Some('C') => Behavior::Contiguous,
        _ => return Err(wrong()),
    };
    let invert = match chars.next() {
        Some(':') => false,
        Some('!') => true,
        _ => return Err(wrong()),
    };
    Ok(Step::Split { pattern: Pattern::new(chars.as_str())?, behavior, invert })
}

fn split(steps: &mut [Step], text: &[u8], word: &mut impl FnMut(&[u8])) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first_mut() else {
        if !text.is_empty() {
            word(text);
        }
        return Ok(());
    };
    match step {
        Step::PrefixSpace if text.first().is_some_and(|&byte| byte != b' ') => {
            let longer: Vec<u8> = std::iter::once(b' ').chain(text.iter().copied()).collect();
            split(rest, &longer, word)
        }
        Step::PrefixSpace => split(rest, text, word),
        Step::Split { pattern, behavior: Behavior::Isolated, .. } if rest.is_empty() => {
            find(pattern, text, &mut |start, end, _| {
                if start < end {
                    word(&text[start..end])
                }
            })
        }
        Step::Split { pattern, behavior, invert } => {
            let mut spans: Vec<Span> = Vec::new();
            find(pattern, text, &mut |start, end, matched| spans.push((start, end, matched != *invert)))?;
            for (start, end, _) in arrange(spans, *behavior) {
                split(rest, &text[start..end], word)?;
            }
            Ok(())
        }
    }
}

/// All of the text in pieces: matches, and what lies between them. An empty match is a piece too where no match ends, so that it parts its neighbours; the
/// search goes on behind the next character, whatever else matches before it (as Hugging Face's does).
#[inline]
fn find(pattern: &mut Pattern, text: &[u8], piece: &mut impl FnMut(usize, usize, bool)) -> Result<(), String> {
    let (mut at, mut start) = (0, 0);
    let mut last_end = usize::MAX; // of a match; none yet
    let mut budget = budget_for(text.len());
    while at < text.len() {
        let found = pattern.match_at(text, at, &mut budget).map_err(|_| {
            format!("PATTERN_TOO_SLOW: encode: the pattern must match in reasonable time, got too many ways to match at byte {at}")
        })?;
        match found {
            Some(end) if end > at => {
                if start < at {
                    piece(start, at, false);
                }
                piece(at, end, true);
                at = end;
                start = end;
                last_end = end;
            }
            empty => {
                if empty.is_some() && at != last_end {
                    if start < at {
                        piece(start, at, false);
                    }
                    piece(at, at, true);
                    start = at;
                    last_end = at;
                }
                at += 1;
                while at < text.len() && text[at] & 0xC0 == 0x80 {
                    at += 1;
                }
            }
        }
    }
    if start < text.len() {
        piece(start, text.len(), false);
    }
    Ok(())
}

/// What a behavior makes of matches and gaps.
fn arrange(spans: Vec<Span>, behavior: Behavior) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    let mut previous = false;
    match behavior {
        Behavior::Isolated => return spans,
        Behavior::Removed => out.extend(spans.into_iter().filter(|span| !span.2)),
        Behavior::Contiguous => {
            for span in spans {
                match out.last_mut() {
                    Some(last) if span.2 == previous => last.1 = span.1,
                    _ => out.push(span),
                }
                previous = span.2;
            }
        }
        Behavior::MergedWithPrevious => {
            for span in spans {
                match out.last_mut() {
                    Some(last) if span.2 && !previous => last.1 = span.1,
                    _ => out.push(span),
                }
                previous = span.2;
            }
        }
        Behavior::MergedWithNext => {
            for span in spans.into_iter().rev() {
                match out.last_mut() {
                    Some(last) if span.2 && !previous => last.0 = span.0,
                    _ => out.push(span),
                }
                previous = span.2;
            }
            out.reverse();
        }
    }
    out
}

#[cfg(test)]
mod tests;
