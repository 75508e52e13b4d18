//! The header of a safetensors file, checked to the letter of the format and more strictly where a lenient reading is dangerous: no key twice, sizes and
//! offsets below 2^53, no NUL in names (safetensors#748). All arithmetic is in 64 bits, whatever the pointers have. Names are data: nothing here gives
//! them a meaning. Reading the tensors themselves is the caller's business.

use crate::json::{quote, Json, Refused, MAX_INTEGER};

/// The reference reader takes no header above this.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The dtypes of the format and the bits of an element. Those below 8 bits must fill whole bytes.
const DTYPES: [(&str, u64); 22] = [
    ("BOOL", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("C64", 64),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
];

/// One tensor of a file.
#[derive(Debug, PartialEq)]
pub struct Tensor {
    /// Any text without NUL.
    pub name: String,
    /// One of the format's names.
    pub dtype: &'static str,
    /// Sizes, outermost first; each below 2^53.
    pub shape: Vec<u64>,
    /// Bytes begin to end - 1 of the data, which follows the header.
    pub begin: u64,
    /// See `begin`.
    pub end: u64,
}

/// A checked header.
#[derive(Debug, PartialEq)]
pub struct Header {
    /// In the order of the header.
    pub tensors: Vec<Tensor>,
    /// `__metadata__`, in the order of the header.
    pub metadata: Vec<(String, String)>,
}

fn shape_text(shape: &[u64]) -> String {
    ["[".to_string(), shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", "), "]".to_string()].concat()
}

/// Checks a file's first 8 bytes. Answers the length of the header, which follows them.
pub fn header_length(first: &[u8], file_bytes: u64) -> Result<u64, Refused> {
    let Ok(first) = first.try_into() else {
        return Err(["a safetensors file must have at least 8 bytes, got ", &first.len().to_string()].concat());
    };
    let length = u64::from_le_bytes(first);
    if length > MAX_HEADER_BYTES {
        return Err(["the header must have at most 100000000 bytes, got ", &length.to_string()].concat());
    }
    if length == 0 || length.checked_add(8).is_none_or(|end| end > file_bytes) {
        return Err([
            "the header must fit in the file of ",
            &file_bytes.to_string(),
            " bytes, got a length of ",
            &length.to_string(),
        ]
        .concat());
    }
    Ok(length)
}

/// Bytes of a tensor; None where a product on the way, left to right, is not below 2^53, or bits do not fill bytes.
fn tensor_bytes(shape: &[u64], bits: u64) -> Option<u64> {
    let times = |a: u64, b: u64| a.checked_mul(b).filter(|&product| product <= MAX_INTEGER);
    let elements = shape.iter().try_fold(1, |product, &size| times(product, size))?;
    times(elements, bits).filter(|total| total % 8 == 0).map(|total| total / 8)
}

/// Parses and checks a header.
///
/// `header` is the part after the 8 bytes of its length; `file_bytes` the size of the whole file, with which the last tensor must end.
pub fn parse_header(header: &[u8], file_bytes: u64) -> Result<Header, Refused> {
    let text = std::str::from_utf8(header).map_err(|error| {
        ["the header must be UTF-8, got other bytes at byte ", &error.valid_up_to().to_string(), " of the header"]
            .concat()
    })?;
    let mut parsed = Header { tensors: Vec::new(), metadata: Vec::new() };
    let mut json = Json::new(text);
    json.object("the header", &mut |json, name| {
        if name == "__metadata__" {
            return read_metadata(json, &mut parsed.metadata);
        }
        parsed.tensors.push(read_tensor(json, name)?);
        Ok(())
    })?;
    json.end()?;
    let data_bytes =
        file_bytes.checked_sub(8 + header.len() as u64).ok_or("the header must fit in the file, got a shorter one")?;
    check_layout(&parsed.tensors, data_bytes)?;
    Ok(parsed)
}

fn read_metadata(json: &mut Json, metadata: &mut Vec<(String, String)>) -> Result<(), Refused> {
    if json.take_null() {
        return Ok(());
    }
    json.object("__metadata__", &mut |json, key| {
        let value = json.string("a value of __metadata__")?;
        metadata.push((key.to_string(), value.into_owned()));
        Ok(())
    })
}

fn read_integers(json: &mut Json, what: &str) -> Result<Vec<u64>, Refused> {
    let mut list = Vec::new();
    json.list(what, &mut |json| {
        list.push(json.integer(what)?);
        Ok(())
    })?;
    Ok(list)
}

fn read_tensor(json: &mut Json, name: &str) -> Result<Tensor, Refused> {
    let shown = quote(name);
    if name.contains('\0') {
        return Err(["a tensor's name must not hold NUL, got ", &shown].concat());
    }
    let (mut dtype, mut shape, mut offsets) = (None, None, None);
    json.object(&shown, &mut |json, key| {
        match key {
            "dtype" => dtype = Some(json.string("dtype")?),
            "shape" => shape = Some(read_integers(json, "shape")?),
            "data_offsets" => offsets = Some(read_integers(json, "data_offsets")?),
            _ => json.skip(2)?,
        }
        Ok(())
    })?;
    let (Some(dtype), Some(shape), Some(&[begin, end])) = (dtype, shape, offsets.as_deref()) else {
        return Err([&shown, " must have dtype, shape and two data_offsets, got less or more"].concat());
    };
    let Some(&(dtype, bits)) = DTYPES.iter().find(|(known, _)| *known == dtype) else {
        return Err(["dtype must be one of the format's, got ", &quote(&dtype), " for ", &shown].concat());
    };
    if end < begin || tensor_bytes(&shape, bits) != Some(end - begin) {
        let got = if end < begin { "an end before the begin".to_string() } else { (end - begin).to_string() };
        return Err([&shown, " must have the bytes of ", dtype, " ", &shape_text(&shape), ", got ", &got].concat());
    }
    Ok(Tensor { name: name.to_string(), dtype, shape, begin, end })
}

/// Tensors must follow each other without hole or overlap and end where the file ends.
fn check_layout(tensors: &[Tensor], data_bytes: u64) -> Result<(), Refused> {
    let mut order: Vec<&Tensor> = tensors.iter().collect();
    order.sort_unstable_by_key(|tensor| (tensor.begin, tensor.end));
    let mut at = 0;
    for tensor in order {
        if tensor.begin != at {
            return Err([
                &quote(&tensor.name),
                " must begin at byte ",
                &at.to_string(),
                " of the data, where the one before ended, got ",
                &tensor.begin.to_string(),
            ]
            .concat());
        }
        at = tensor.end;
    }
    if at == data_bytes {
        return Ok(());
    }
    Err([
        "the file must end with its tensors at byte ",
        &at.to_string(),
        " of the data, got ",
        &data_bytes.to_string(),
        " bytes",
    ]
    .concat())
}

#[cfg(test)]
mod tests;
