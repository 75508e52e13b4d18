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

#[test]
fn empty_matches_part_their_neighbours_as_hugging_face_has_it() {
    // tokenizers 0.23.3; compared with all strings of up to five of "ab1 \n", ten patterns, five behaviors, inverted or not: 352,170 cases.
    assert_eq!(words("I:(?=(?:\\d{3})+(?!\\d))", "a1234567 89"), ["a1", "234", "567 89"]);
    for behavior in ["I", "R", "P", "N", "C"] {
        assert_eq!(words(&format!("{behavior}:(?=b)"), "abab"), ["a", "ba", "b"], "{behavior}");
    }
    assert_eq!(words("I:a*", "baac"), ["b", "aa", "c"]);
    assert_eq!(words("P:a*", "baac"), ["baa", "c"]);
    assert_eq!(words("N:a*", "baac"), ["b", "aac"]);
    assert_eq!(words("I:(?=\\d)|\\d\\d", "a123 45"), ["a", "1", "2", "3 ", "4", "5"]);
}

#[test]
fn lines_begin_and_end_at_line_feeds() {
    assert_eq!(words("I:\\s+$", "a \n\nb  c "), ["a", " \n", "\nb  c", " "]);
    assert_eq!(words("I:\\s+$", "a \r\n b"), ["a", " \r", "\n b"]);
    assert_eq!(words("I:^a", "aa\naa"), ["a", "a\n", "a", "a"]);
    assert_eq!(words("R:\\n$", "a\n"), ["a"]);
}
