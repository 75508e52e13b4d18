//! The parser of safetensors headers: what it accepts describes tensors that fill the data exactly, one after the other, each as long as its shape and dtype
//! say, with different names without NUL. Included with `#[path]`.

use crate::input::Input;
use ferroformer_text::safetensors::{header_length, parse_header};

/// Bits of an element, by the name's last digits (and the 8-bit types by their first).
fn bits(dtype: &str) -> u64 {
    match dtype {
        "BOOL" => 8,
        "BF16" => 16,
        _ if dtype.starts_with("F8_") => 8,
        _ if dtype.starts_with("F6_") => 6,
        _ => dtype[1..].parse().expect("a letter and the number of bits"),
    }
}

/// Bytes of data behind the header, then the header; and all of it as a file.
pub fn check(data: &[u8]) {
    if let Ok(length) = header_length(data.get(..8).unwrap_or(data), data.len() as u64) {
        assert!(length > 0 && length + 8 <= data.len() as u64);
    }
    let mut input = Input(data);
    let data_bytes = u64::from(input.word());
    let header = input.0;
    let parsed = match parse_header(header, 8 + header.len() as u64 + data_bytes) {
        Ok(parsed) => parsed,
        Err(message) => {
            return assert!(message.contains("got ") && message.len() < 2000 + 8 * header.len(), "{message}")
        }
    };
    let mut tensors: Vec<_> = parsed.tensors.iter().collect();
    tensors.sort_by_key(|tensor| (tensor.begin, tensor.end));
    let mut end = 0;
    for tensor in &tensors {
        let elements: u128 = tensor.shape.iter().map(|&size| u128::from(size)).product();
        assert!(tensor.begin == end && tensor.end >= end, "no hole and no overlap");
        assert!(u128::from(tensor.end - tensor.begin) * 8 == elements * u128::from(bits(tensor.dtype)), "{tensor:?}");
        end = tensor.end;
    }
    assert!(end == data_bytes, "the last tensor ends with the file");
    let mut names: Vec<&str> = tensors.iter().map(|tensor| &tensor.name[..]).collect();
    names.sort_unstable();
    assert!(
        names.windows(2).all(|pair| pair[0] != pair[1]) && names.iter().all(|name| !name.contains('\0')),
        "{names:?}"
    );
}
