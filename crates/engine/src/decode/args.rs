//! One instruction's arguments, as the decoders ask for them: dims as numbers, params by kind, operands as pointers that are
//! known to hold what the kernel will touch.

use crate::error::{bad, EngineError};
use crate::format::{Instruction, OperandRange, Parsed};

/// What a decoder sees. Positions are those of the signature (`signature.rs`).
pub struct Args<'a> {
    parsed: &'a Parsed,
    instruction: &'a Instruction,
    index: usize,
    slots: &'a [usize],
    /// Addresses of banks and of bindings.
    bases: [&'a [*mut u8]; 2],
    scalars: &'a [f64],
    rehearsal: bool,
}

impl<'a> Args<'a> {
    /// The arguments of instruction `index`. In a rehearsal (at the maximum extents, when loading) addresses mean nothing.
    pub fn new(
        parsed: &'a Parsed,
        index: usize,
        slots: &'a [usize],
        bases: [&'a [*mut u8]; 2],
        scalars: &'a [f64],
        rehearsal: bool,
    ) -> Self {
        Self { parsed, instruction: &parsed.instructions[index], index, slots, bases, scalars, rehearsal }
    }

    /// Number of the operation.
    pub fn opcode(&self) -> u32 {
        self.instruction.opcode
    }

    /// Whether this is the check at load, where extents that never are at their maximum together may be so.
    pub fn rehearsal(&self) -> bool {
        self.rehearsal
    }

    /// The value of a dim, below 2^31.
    pub fn dim(&self, position: usize) -> usize {
        self.slots[self.parsed.dims_of(self.instruction)[position] as usize]
    }

    /// A param word as it is.
    pub fn word(&self, position: usize) -> u32 {
        self.parsed.params_of(self.instruction)[position]
    }

    /// A float param.
    pub fn float(&self, position: usize) -> f32 {
        f32::from_bits(self.word(position))
    }

    /// The scalar that a param names.
    pub fn scalar(&self, position: usize) -> f64 {
        self.scalars[self.word(position) as usize]
    }

    /// The scalar that a param names, as 32 bits: saturating, NaN is 0.
    pub fn scalar_word(&self, position: usize) -> u32 {
        self.scalar(position) as u32
    }

    /// An operand that must hold `elements` elements of its type; null if it is absent.
    pub fn operand<T>(&self, position: usize, elements: u64) -> Result<*mut T, EngineError> {
        let Some(operand) = self.parsed.operands_of(self.instruction).nth(position).flatten() else {
            return Ok(std::ptr::null_mut());
        };
        debug_assert_eq!(operand.dtype.bytes() as usize, size_of::<T>());
        let used = elements.saturating_mul(operand.dtype.bytes());
        if used > operand.bytes {
            let name = self.instruction.signature.operands[position].name;
            return Err(self.error(format!("operand {name} must hold {used} bytes, got {}", operand.bytes)));
        }
        Ok(self.address(operand).cast())
    }

    /// Whether an operand is there.
    pub fn present(&self, position: usize) -> bool {
        self.parsed.operands_of(self.instruction).nth(position).flatten().is_some()
    }

    /// An error that names the instruction.
    pub fn error(&self, rule: String) -> EngineError {
        bad(format!("instruction {} ({}): {rule}", self.index, self.instruction.signature.name))
    }

    fn address(&self, operand: &OperandRange) -> *mut u8 {
        // `wrapping`: in a rehearsal the bases are null. Otherwise the parser saw to it that this is inside the block.
        self.bases[usize::from(operand.bound)][operand.index as usize].wrapping_add(operand.offset as usize)
    }
}

/// The number of elements of a block with these sides, saturating.
pub fn count(sides: &[usize]) -> u64 {
    sides.iter().fold(1, |product, &side| product.saturating_mul(side as u64))
}

/// The number of elements from the first to the last that strided rows touch: each axis is (length, stride), and each
/// innermost row has `width` elements. Nothing if any length is 0.
pub fn span(axes: &[(usize, usize)], width: usize) -> u64 {
    if width == 0 || axes.iter().any(|&(length, _)| length == 0) {
        return 0;
    }
    axes.iter().fold(width as u64, |end, &(length, stride)| end.saturating_add(count(&[length - 1, stride])))
}
