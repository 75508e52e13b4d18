//! What changes the logits of the next token before one is chosen, in Hugging Face's order: bias, repetition penalty (with OpenAI's
//! presence and frequency penalties), phrases, the least number of new tokens. And what a row remembers for it: how often each
//! token came, its last tokens, and whether it has ended. Nothing is drawn here.

use crate::lanes::map2;

/// Words of a row's state: the end id that finished it plus 1 (0: none), seven spare words, its last tokens (−1: none yet).
pub const STATE: usize = 40;
/// How many of its last tokens a row remembers: phrases may be one token longer.
pub const HISTORY: usize = 32;
/// In a row's counts: this bit says that the token is in the prompt, the bits below how often it was drawn.
pub const IN_PROMPT: i32 = 1 << 30;

/// The rules of all rows. Null pointers: no such rule.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `[vocab]`: added to the logits; −infinity for what must not be drawn.
    pub bias: *const f32,
    /// `[list]`: the number of end ids, these, then phrases that must not come, each as its length and its ids; a length of 0 ends them.
    pub lists: *const i32,
    /// `[rows, vocab]`, see [`IN_PROMPT`]
    pub counts: *mut i32,
    /// `[rows, STATE]`
    pub state: *mut i32,
    /// Tokens that can be drawn.
    pub vocab: usize,
    /// Words of `lists`.
    pub list: usize,
    /// Divides positive logits of tokens that came and multiplies negative ones; 1 is off.
    pub repetition: f64,
    /// Taken off the logits of tokens that were drawn.
    pub presence: f64,
    /// Taken off the logits for each time that a token was drawn.
    pub frequency: f64,
    /// No end before this many tokens.
    pub min_new: u32,
    /// Tokens drawn so far.
    pub draw: u32,
}

impl Rules {
    /// Logits of row `row` under the rules.
    ///
    /// # Safety
    /// The pointers are valid for the sizes given, `row` is a row, `logits` and `x` hold `vocab` floats.
    #[inline(never)]
    pub unsafe fn apply(&self, logits: &[f32], x: &mut [f32], row: usize) {
        // SAFETY: as the caller says; ids are checked before they are used.
        unsafe {
            if self.bias.is_null() {
                x.copy_from_slice(logits);
            } else {
                map2(logits.as_ptr(), self.bias, x.as_mut_ptr(), x.len(), |a, b| a + b);
            }
            if self.counting() {
                let counts = core::slice::from_raw_parts(self.counts.add(row * self.vocab), self.vocab);
                for (x, &count) in x.iter_mut().zip(counts).filter(|(_, &count)| count != 0) {
                    *x = self.penalised(*x, count);
                }
            }
            let (ends, mut phrases) = self.lists();
            while let [length, rest @ ..] = phrases {
                let Some((phrase, after)) = rest.split_at_checked(*length as usize) else { break };
                let Some((last, before)) = phrase.split_last() else { break };
                if self.history(row).ends_with(before) {
                    exclude(x, *last);
                }
                phrases = after;
            }
            if self.draw < self.min_new {
                ends.iter().for_each(|&id| exclude(x, id));
            }
        }
    }

    fn penalised(&self, mut x: f32, count: i32) -> f32 {
        let repetition = self.repetition as f32;
        x = if x < 0.0 { x * repetition } else { x / repetition };
        let drawn = count & (IN_PROMPT - 1);
        if drawn > 0 {
            x -= (self.presence + self.frequency * f64::from(drawn)) as f32;
        }
        x
    }

    /// Whether tokens are counted.
    fn counting(&self) -> bool {
        !self.counts.is_null() && (self.repetition != 1.0 || self.presence != 0.0 || self.frequency != 0.0)
    }

    /// End ids and phrases.
    unsafe fn lists(&self) -> (&[i32], &[i32]) {
        if self.lists.is_null() || self.list == 0 {
            return (&[], &[]);
        }
        // SAFETY: as the caller says.
        let [ends, rest @ ..] = (unsafe { core::slice::from_raw_parts(self.lists, self.list) }) else {
            return (&[], &[]);
        };
        rest.split_at((*ends).max(0) as usize % (rest.len() + 1))
    }

    unsafe fn history(&self, row: usize) -> &[i32] {
        if self.state.is_null() {
            return &[];
        }
        // SAFETY: as the caller says.
        unsafe { core::slice::from_raw_parts(self.state.add(row * STATE + STATE - HISTORY), HISTORY) }
    }

    /// Remembers a token of the row.
    ///
    /// # Safety
    /// As [`Rules::apply`]; `token` can be drawn.
    pub unsafe fn push(&self, row: usize, token: i32) {
        // SAFETY: as the caller says.
        unsafe {
            if self.counting() {
                let count = self.counts.add(row * self.vocab + token as usize);
                *count = (*count).wrapping_add(1);
            }
            if !self.state.is_null() {
                let last = core::slice::from_raw_parts_mut(self.state.add(row * STATE + STATE - HISTORY), HISTORY);
                last.copy_within(1.., 0);
                last[HISTORY - 1] = token;
            }
        }
    }

    /// Marks the row as finished if the token is an end id.
    ///
    /// # Safety
    /// As [`Rules::apply`].
    pub unsafe fn finish(&self, row: usize, token: i32) {
        // SAFETY: as the caller says.
        unsafe {
            if !self.state.is_null() && self.lists().0.contains(&token) {
                *self.state.add(row * STATE) = token + 1;
            }
        }
    }

    /// The end id that the row has drawn.
    ///
    /// # Safety
    /// As [`Rules::apply`].
    pub unsafe fn finished(&self, row: usize) -> Option<i32> {
        if self.state.is_null() {
            return None;
        }
        // SAFETY: as the caller says.
        let end = unsafe { *self.state.add(row * STATE) };
        (end != 0).then_some(end.wrapping_sub(1))
    }
}

fn exclude(x: &mut [f32], id: i32) {
    if let Some(x) = x.get_mut(id as usize) {
        *x = f32::NEG_INFINITY;
    }
}
