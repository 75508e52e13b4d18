//! The compiler of splitting patterns: whatever the pattern, it is refused with its code or splits any text into words that together are the text, in
//! order, except what the steps remove or put in front. Included with `#[path]`.

use crate::input::Input;
use ferroformer_text::split::Splitter;

/// A pattern (steps separated by NUL), then the text.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let pattern = input.text();
    let text = input.rest();
    let mut splitter = match Splitter::new(&pattern) {
        Ok(splitter) => splitter,
        Err(message) => return assert!(message.starts_with("UNSUPPORTED_PATTERN: "), "{message}"),
    };
    let mut words: Vec<Vec<u8>> = Vec::new();
    match splitter.split(text.as_bytes(), &mut |word| words.push(word.to_vec())) {
        Err(message) => assert!(message.starts_with("PATTERN_TOO_SLOW: "), "{message}"),
        Ok(()) => {
            assert!(words.iter().all(|word| !word.is_empty()), "no word is empty");
            assert!(words.iter().all(|word| std::str::from_utf8(word).is_ok()), "characters stay whole");
            let steps: Vec<&str> = if pattern.is_empty() { vec![] } else { pattern.split('\0').collect() };
            if !steps.iter().any(|step| *step == "S" || step.starts_with('R')) {
                assert!(words.concat() == text.as_bytes(), "all of the text is in its words: {pattern:?} {text:?}");
            }
        }
    }
}
