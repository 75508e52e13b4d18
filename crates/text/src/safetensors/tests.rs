//! The 64 vectors of this project (test/golden/safetensors), and what they do not say: messages, values, every cut and every changed byte of a header.

use super::*;
use crate::json::Json;

/// Bytes of base64 text.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter(|&c| c != b'=') {
        word = word << 6 | ALPHABET.iter().position(|&c| c == digit).expect("base64") as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    bytes
}

/// A whole file as a reader takes it.
fn read(file: &[u8]) -> Result<Header, Refused> {
    let length = header_length(file.get(..8).unwrap_or(file), file.len() as u64)?;
    parse_header(&file[8..8 + length as usize], file.len() as u64)
}

/// A file of this header and `data` bytes.
fn file_of(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + data, 0);
    file
}

#[test]
fn all_64_vectors_get_our_verdict() {
    let text = include_str!("../../../../test/golden/safetensors/vectors.json");
    let mut json = Json::new(text);
    let (mut count, mut wrong) = (0, Vec::new());
    json.list("the vectors", &mut |json| {
        let (mut name, mut file, mut ours) = (String::new(), Vec::new(), String::new());
        json.object("a vector", &mut |json, key| {
            match key {
                "name" => name = json.string("name")?.into_owned(),
                "b64" => file = decode(&json.string("b64")?),
                "ours" => ours = json.string("ours")?.into_owned(),
                _ => json.skip(2)?,
            }
            Ok(())
        })?;
        count += 1;
        let verdict = read(&file);
        if verdict.is_ok() != (ours == "accept") {
            wrong.push(format!("{name}: {ours}, got {verdict:?}"));
        }
        Ok(())
    })
    .expect("vectors.json");
    assert_eq!(count, 64);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_header_comes_out_as_it_is() {
    let header = r#" { "b" : {"dtype":"BF16","shape":[2, 3],"data_offsets":[4,16],"more":[1,{"x":null}]},
        "__metadata__":{"format":"pt","\u0000\ud83d\ude00":"\n\"\\\/"},
        "__proto__":{"data_offsets":[0,4],"shape":[],"dtype":"F32"} } "#;
    let parsed = read(&file_of(header, 16)).unwrap();
    let tensor = |name: &str, dtype, shape: &[u64], begin, end| Tensor {
        name: name.into(),
        dtype,
        shape: shape.to_vec(),
        begin,
        end,
    };
    assert_eq!(parsed.tensors, [tensor("b", "BF16", &[2, 3], 4, 16), tensor("__proto__", "F32", &[], 0, 4)]);
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    assert_eq!(parsed.metadata, [pair("format", "pt"), pair("\0\u{1f600}", "\n\"\\/")]);
}

#[test]
fn each_kind_of_malformed_file_has_its_message() {
    let one = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let entry = |fields: &str| file_of(&format!(r#"{{"a":{{{fields}}}}}"#), 4);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![0; 7], "a safetensors file must have at least 8 bytes, got 7"),
        (100_000_001u64.to_le_bytes().to_vec(), "the header must have at most 100000000 bytes, got 100000001"),
        (3u64.to_le_bytes().to_vec(), "the header must fit in the file of 8 bytes, got a length of 3"),
        (file_of("", 9), "the header must fit in the file of 17 bytes, got a length of 0"),
        (file_of("[]", 0), r#"the header must be an object, got "[]" at byte 0 of the header"#),
        (file_of("{}x", 0), r#"nothing may follow the JSON, got "x" at byte 2 of the header"#),
        (file_of("{", 0), "a key must be a string, got its end at byte 1 of the header"),
        (file_of("{}", 1), "the file must end with its tensors at byte 0 of the data, got 1 bytes"),
        (file_of(&format!(r#"{{"a":{one},"\u0061":{one}}}"#), 4), r#"keys must differ, got "a" twice in the header"#),
        (entry(r#""dtype":"F32""#), r#""a" must have dtype, shape and two data_offsets, got less or more"#),
        (
            entry(r#""dtype":"f32","shape":[1],"data_offsets":[0,4]"#),
            r#"dtype must be one of the format's, got "f32" for "a""#,
        ),
        (entry(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#), r#""a" must have the bytes of F32 [2], got 4"#),
        (
            entry(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#),
            r#""a" must have the bytes of F32 [1], got an end before the begin"#,
        ),
        (
            entry(r#""dtype":"F32","shape":[1.0],"data_offsets":[0,4]"#),
            r#"shape must be an integer from 0 to 2^53 - 1, got "1.0],\"data_offsets\":" at byte 29 of the header"#,
        ),
        (
            file_of(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, 2),
            r#""a" must begin at byte 0 of the data, where the one before ended, got 1"#,
        ),
        (file_of(&format!(r#"{{"a\u0000":{one}}}"#), 4), r#"a tensor's name must not hold NUL, got "a\u0000""#),
        (
            file_of(&format!(r#"{{"\ud800":{one}}}"#), 4),
            r#"surrogates must come in pairs, got "\\ud800\":{\"dtype\":\"F3" at byte 2 of the header"#,
        ),
        (file_of(r#"{"a":1}"#, 0), r#""a" must be an object, got "1}" at byte 5 of the header"#),
    ];
    for (file, message) in cases {
        assert_eq!(read(&file).unwrap_err(), message);
    }
    let mut not_utf8 = file_of("{}", 0);
    not_utf8[9] = 0xff;
    assert_eq!(read(&not_utf8).unwrap_err(), "the header must be UTF-8, got other bytes at byte 1 of the header");
}

#[test]
fn products_of_sizes_never_wrap_whatever_the_width_of_a_pointer() {
    // 2^32 elements of 8 bits are 0 in 32-bit arithmetic; 2^30 x 2^32 x 4 bytes are 0 in 64-bit arithmetic.
    assert_eq!(tensor_bytes(&[1 << 16, 1 << 16], 8), Some(1 << 32));
    assert_eq!(tensor_bytes(&[1 << 30, 1 << 32], 32), None);
    assert_eq!(tensor_bytes(&[(1 << 32) + 1, 1 << 30, 4], 32), None);
    assert_eq!(tensor_bytes(&[MAX_INTEGER, MAX_INTEGER, 0], 32), None);
    assert_eq!(tensor_bytes(&[0, MAX_INTEGER, MAX_INTEGER], 32), Some(0));
    assert_eq!(tensor_bytes(&[3], 4), None);
    assert_eq!(tensor_bytes(&[], 64), Some(8));
    let header = r#"{"a":{"dtype":"U8","shape":[4294967296],"data_offsets":[0,4294967296]}}"#;
    assert!(parse_header(header.as_bytes(), 8 + header.len() as u64 + (1 << 32)).is_ok());
    assert!(parse_header(header.as_bytes(), 8 + header.len() as u64).is_err());
}

#[test]
fn a_file_cut_or_changed_anywhere_is_refused_or_sound() {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"I8","shape":[2,2],"data_offsets":[12,16]}}"#;
    let file = file_of(header, 16);
    assert!(read(&file).is_ok());
    for length in 0..file.len() {
        assert!(read(&file[..length]).is_err(), "{length} bytes");
    }
    for at in 0..file.len() - 16 {
        for value in 0..=255 {
            let mut changed = file.clone();
            changed[at] = value;
            // Accepted only if every tensor still lies in the file, one after the other.
            if let Ok(Header { tensors, .. }) = read(&changed) {
                assert_eq!(tensors.iter().map(|tensor| tensor.end - tensor.begin).sum::<u64>(), 16);
            }
        }
    }
}

#[test]
fn nesting_is_limited_and_long_headers_are_quick() {
    let nested = |depth: usize| {
        let header = format!(
            r#"{{"a":{{"x":{}{},"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        read(&file_of(&header, 1)).is_ok()
    };
    assert!(nested(100) && !nested(130) && !nested(1_000_000));
    let mut header = String::from("{");
    for i in 0..100_000 {
        header += &format!(r#""{i}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}},"#, i + 1);
    }
    header.pop();
    header.push('}');
    assert_eq!(read(&file_of(&header, 100_000)).unwrap().tensors.len(), 100_000);
}
