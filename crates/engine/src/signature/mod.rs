//! The table of opcodes: the operands, dims and params each instruction has, in their order (docs/architecture.md, section 2).
//! What the arguments mean to a kernel is decided in `decode/`.

macro_rules! signature {
    ($name:literal, [$($operand:expr),*], $dims:expr, $params:expr) => {
        Signature { name: $name, operands: &[$($operand),*], dims: &$dims, params: &$params }
    };
}

mod generation;
mod llama;
mod quantized;
mod training;

/// Storage type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 32-bit signed integer.
    I32,
    /// 64-bit float (partial sums only).
    F64,
    /// 32-bit words of weights in int8 blocks (`kernels::matmul::q8`); read as f32.
    Q8,
    /// 32-bit words of weights in bf16, two each; read as f32.
    Bf16,
}

impl DType {
    /// The type of a code of the format.
    pub fn from_word(word: u32) -> Option<Self> {
        [DType::F32, DType::I32, DType::F64, DType::Q8, DType::Bf16].get(word as usize).copied()
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        if self == DType::F64 {
            8
        } else {
            4
        }
    }

    fn name(self) -> &'static str {
        ["f32", "i32", "f64", "q8", "bf16"][self as usize]
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One operand of an opcode.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// Name in the table and in the kernel's struct.
    pub name: &'static str,
    /// The type it has.
    pub dtype: DType,
    /// Whether it may also be stored as bf16 or int8 blocks (`kernels::stored`).
    pub stored: bool,
    /// Whether the instruction writes it.
    pub written: bool,
    /// Whether it may be absent.
    pub optional: bool,
    /// Whether it is addressed by strides, so that its bytes may interleave with those of other operands.
    pub strided: bool,
    /// Whether it may be the same memory as the instruction's first result.
    pub in_place: bool,
}

/// One param word of an opcode.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// An integer from 0 to this one.
    Integer(u32),
    /// Any 32 bits (half of a path, a label).
    Bits,
    /// The bits of an f32.
    Float,
    /// Index of one of the run's scalars.
    Scalar,
    /// The same, or absent.
    MaybeScalar,
}

/// An opcode's arguments.
#[derive(Debug)]
pub struct Signature {
    /// Name in messages.
    pub name: &'static str,
    /// Operands in order.
    pub operands: &'static [Operand],
    /// Names of the dims in order.
    pub dims: &'static [&'static str],
    /// Names and kinds of the params in order.
    pub params: &'static [(&'static str, Param)],
}

impl Operand {
    const fn of(name: &'static str, dtype: DType, written: bool) -> Self {
        Self { name, dtype, written, stored: false, optional: false, strided: false, in_place: false }
    }
    const fn maybe(self) -> Self {
        Self { optional: true, ..self }
    }
    const fn stored(self) -> Self {
        Self { stored: true, ..self }
    }
    const fn strided(self) -> Self {
        Self { strided: true, ..self }
    }
    const fn or_result(self) -> Self {
        Self { in_place: true, ..self }
    }
}

/// An f32 that is read.
const fn r(name: &'static str) -> Operand {
    Operand::of(name, DType::F32, false)
}
/// An i32 that is read.
const fn ri(name: &'static str) -> Operand {
    Operand::of(name, DType::I32, false)
}
/// An i32 that is written (and perhaps read).
const fn wi(name: &'static str) -> Operand {
    Operand::of(name, DType::I32, true)
}
/// An f32 that is written (and perhaps read).
const fn w(name: &'static str) -> Operand {
    Operand::of(name, DType::F32, true)
}

/// The tables: each begins at the opcode given. A range has room for more of its kind.
static TABLES: [(u32, &[Signature]); 4] =
    [(1, &training::SIGNATURES), (41, &llama::SIGNATURES), (49, &generation::SIGNATURES), (64, &quantized::SIGNATURES)];

/// The signature of an opcode, or `None` if there is none of that number.
pub fn signature(opcode: u32) -> Option<&'static Signature> {
    TABLES.iter().find_map(|(first, table)| table.get(opcode.checked_sub(*first)? as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_starts_at_one_and_ends_at_the_last_opcode() {
        assert!(signature(0).is_none() && signature(48).is_none() && signature(u32::MAX).is_none());
        assert_eq!(signature(1).unwrap().name, "matmul");
        assert_eq!(signature(19).unwrap().name, "attention");
        assert_eq!(signature(30).unwrap().name, "adamw");
        assert_eq!(signature(35).unwrap().name, "trap");
        assert_eq!(signature(40).unwrap().name, "attention_backward");
    }

    #[test]
    fn tables_do_not_overlap() {
        for pair in TABLES.windows(2) {
            let [(first, table), (next, _)] = pair else { unreachable!() };
            assert!(first + table.len() as u32 <= *next);
        }
    }

    #[test]
    fn names_within_an_opcode_are_distinct() {
        for signature in TABLES.iter().flat_map(|(_, table)| table.iter()) {
            let mut names: Vec<&str> = signature.operands.iter().map(|o| o.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{}", signature.name);
        }
    }
}
