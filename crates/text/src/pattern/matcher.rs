//! Runs a compiled pattern over UTF-8 text. What could be tried instead is kept on a stack of its own: text of any length needs no recursion, and the
//! work for one match is bounded.

use super::class::previous;
use super::compile::{first_bytes, Program, Step};
use super::parse::{parse, Node};

/// A pattern ready to use.
#[derive(Debug)]
pub struct Pattern {
    program: Program,
    branches: Vec<Branch>,
    choices: Vec<Choice>,
}

/// One of the alternatives at the top: the bytes that can begin it, and its first instruction.
#[derive(Debug)]
struct Branch {
    first: [bool; 256],
    start: usize,
}

/// Something else to try.
#[derive(Clone, Copy, Debug)]
struct Choice {
    step: usize,
    at: usize,
    /// Where a span may still give characters back: down to here. `at` itself for other choices.
    least: usize,
}

/// The pattern needs more work on this text than any reasonable one.
#[derive(Debug, PartialEq, Eq)]
pub struct TooSlow;

/// How often a byte of a text may be looked at, on average: patterns in use stay below ten.
const MOST_LOOKS: usize = 100;

/// The work that splitting a text of this length may take.
pub fn budget_for(length_bytes: usize) -> usize {
    MOST_LOOKS.saturating_mul(length_bytes).saturating_add(100_000)
}

impl Pattern {
    /// Compiles a pattern. The error starts with `UNSUPPORTED_PATTERN`.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let tree = parse(pattern)?;
        let branches = match tree {
            Node::Either(nodes) => nodes,
            node => vec![node],
        };
        let mut program = Program::default();
        let branches = (branches.iter())
            .map(|node| Ok(Branch { first: first_bytes(node), start: program.append(node)? }))
            .collect::<Result<_, String>>()?;
        Ok(Self { program, branches, choices: Vec::new() })
    }

    /// The end of the match that begins at `at`, which is `at` where it is empty; `None` where there is none. Uses up some of the budget.
    #[inline]
    pub fn match_at(&mut self, text: &[u8], at: usize, budget: &mut usize) -> Result<Option<usize>, TooSlow> {
        let lead = usize::from(text[at]);
        for branch in &self.branches {
            if !branch.first[lead] {
                continue;
            }
            self.choices.clear();
            if let Some(end) = self.program.run(branch.start, text, at, &mut self.choices, budget)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }
}

impl Program {
    /// Runs from a step to its `Done`; the end of the match, or `None`. The stack is left as it was.
    fn run(
        &self,
        start: usize,
        text: &[u8],
        begin: usize,
        choices: &mut Vec<Choice>,
        budget: &mut usize,
    ) -> Result<Option<usize>, TooSlow> {
        let bottom = choices.len();
        let (mut step, mut at) = (start, begin);
        loop {
            let advanced = match &self.steps[step] {
                Step::One(class) => match self.classes[*class].step(text, at) {
                    0 => None,
                    length => Some((step + 1, at + length)),
                },
                Step::Span { class, least, most, fixed } => match self.span(*class, *least, *most, text, at) {
                    None => None,
                    Some((low, high)) => {
                        *budget = budget.checked_sub(high - at).ok_or(TooSlow)?;
                        if !fixed && low < high {
                            choices.push(Choice { step: step + 1, at: high, least: low });
                        }
                        Some((step + 1, high))
                    }
                },
                Step::Try(first, second) => {
                    choices.push(Choice { step: *second, at, least: at });
                    Some((*first, at))
                }
                Step::Jump(to) => Some((*to, at)),
                Step::LineStart => (at == 0 || text[at - 1] == b'\n').then_some((step + 1, at)),
                Step::LineEnd => text.get(at).is_none_or(|&byte| byte == b'\n').then_some((step + 1, at)),
                Step::Ahead { end, negative } => {
                    let found = self.run(step + 1, text, at, choices, budget)?.is_some();
                    (found != *negative).then_some((*end, at))
                }
                Step::Atomic { end } => self.run(step + 1, text, at, choices, budget)?.map(|after| (*end, after)),
                Step::Done => {
                    choices.truncate(bottom);
                    return Ok(Some(at));
                }
            };
            if let Some(next) = advanced {
                (step, at) = next;
                continue;
            }
            if choices.len() == bottom {
                return Ok(None);
            }
            *budget = budget.checked_sub(1).ok_or(TooSlow)?;
            let choice = choices.pop().ok_or(TooSlow)?;
            (step, at) = (choice.step, choice.at);
            if choice.at > choice.least {
                at = previous(text, at);
                if at > choice.least {
                    choices.push(Choice { at, ..choice });
                }
            }
        }
    }

    /// Where a span may end: after its `least` characters, and after as many as there are.
    #[inline]
    fn span(&self, class: usize, least: u32, most: u32, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let class = &self.classes[class];
        let (mut end, mut low, mut count) = (at, at, 0u32);
        while count < most {
            let length = class.step(text, end);
            if length == 0 {
                break;
            }
            end += length;
            count += 1;
            if count == least {
                low = end;
            }
        }
        (count >= least).then_some((low, end))
    }
}
