//! Steps and behaviors, one by one, next to what Hugging Face's pre-tokenizers give.

use super::*;

fn words(steps: &str, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    Splitter::new(steps)
        .unwrap()
        .split(text.as_bytes(), &mut |word| out.push(String::from_utf8(word.to_vec()).unwrap()))
        .unwrap();
    out
}

#[test]
fn behaviors_as_hugging_face_has_them() {
    // tokenizers 0.23.3: Split("-", behavior).pre_tokenize_str("the-final--countdown")
    let text = "the-final--countdown";
    assert_eq!(words("R:-", text), ["the", "final", "countdown"]);
    assert_eq!(words("I:-", text), ["the", "-", "final", "-", "-", "countdown"]);
    assert_eq!(words("P:-", text), ["the-", "final-", "-", "countdown"]);
    assert_eq!(words("N:-", text), ["the", "-final", "-", "-countdown"]);
    assert_eq!(words("C:-", text), ["the", "-", "final", "--", "countdown"]);
    assert_eq!(words("R!-", text), ["-", "-", "-"]);
    assert_eq!(words("R!\\p{L}+", text), ["the", "final", "countdown"]);
}

#[test]
fn steps_follow_each_other() {
    assert_eq!(words("I:\\p{N}\0I: ?\\p{L}+", "ab12 cd3"), ["ab", "1", "2", " cd", "3"]);
    assert_eq!(words("S\0I: ?\\p{L}+", "ab cd"), [" ab", " cd"]);
    assert_eq!(words("S", " ab"), [" ab"]);
    assert_eq!(words("", "ab cd"), ["ab cd"]);
    assert!(words("I:a", "").is_empty());
}

#[test]
fn gaps_between_matches_are_words() {
    assert_eq!(words("I:[0-9]+", "a1bé22"), ["a", "1", "bé", "22"]);
}

#[test]
fn refuses_to_take_forever() {
    let mut splitter = Splitter::new("I:(?:a|a)+b|(?:a+)+b").unwrap();
    let error = splitter.split("a".repeat(5000).as_bytes(), &mut |_| {}).unwrap_err();
    assert!(error.starts_with("PATTERN_TOO_SLOW: encode: "), "{error}");
}
