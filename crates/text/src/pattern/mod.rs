//! Regular expressions for splitting text into words: the syntax of byte-level tokenizer files, with the meaning of a backtracking matcher (the
//! first alternative that matches wins) and without its dangers: no recursion over the text, a bound on the work.

pub mod class;
mod compile;
mod matcher;
mod parse;

pub use matcher::{budget_for, Pattern, TooSlow};

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
