//! One instruction's arguments, as the decoders ask for them: dims as numbers, params by kind, operands as pointers that are
//! known to hold what the kernel will touch.

use crate::error::{bad, EngineError};
use crate::format::{Instruction, OperandRange, Parsed, NONE};
use crate::number::Number;
use crate::signature::DType;
use kernels::philox::{Keep, Stream};
use kernels::stored::Storage;
use std::cell::Cell;

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
    /// Elements of all operands that were asked for.
    touched: Cell<u64>,
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
        Self {
            parsed,
            instruction: &parsed.instructions[index],
            index,
            slots,
            bases,
            scalars,
            rehearsal,
            touched: Cell::new(0),
        }
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

    /// The scalar that a param names, or `otherwise` where it is absent.
    pub fn scalar_or(&self, position: usize, otherwise: f64) -> f64 {
        if self.word(position) == NONE {
            otherwise
        } else {
            self.scalar(position)
        }
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
        self.touched.set(self.touched.get().saturating_add(elements));
        Ok(self.address(operand).cast())
    }

    /// Weights [rows, columns] in whatever storage they have.
    pub fn weights(&self, position: usize, rows: usize, columns: usize) -> Result<(*const f32, Storage), EngineError> {
        let operand = self.parsed.operands_of(self.instruction).nth(position).flatten();
        let storage = match operand.map(|operand| operand.dtype) {
            Some(DType::Q8) => Storage::Q8,
            Some(DType::Bf16) => Storage::Bf16,
            _ => Storage::F32,
        };
        Ok((self.operand::<f32>(position, storage.words(rows, columns) as u64)?, storage))
    }

    /// Elements of all operands that were asked for so far.
    pub fn touched(&self) -> u64 {
        self.touched.get()
    }

    /// The seven dropout params from `position` on. Without dropout (p = 0) the scalars may be absent, and are 0.
    pub fn dropout(&self, position: usize) -> Result<Dropped, EngineError> {
        let p = self.float(position);
        if !(0.0..=1.0).contains(&p) {
            return Err(self.error(format!("p must be from 0 to 1, got {}", Number(p.into()))));
        }
        let mut scalars = [0; 4];
        for (i, scalar) in scalars.iter_mut().enumerate() {
            if self.word(position + 3 + i) != NONE {
                *scalar = self.scalar_word(position + 3 + i);
            } else if p != 0.0 {
                return Err(self
                    .error(format!("seed, step and micro must be present with dropout, got p {}", Number(p.into()))));
            }
        }
        let [seed_lo, seed_hi, step, micro] = scalars;
        let path = [self.word(position + 1), self.word(position + 2)];
        Ok(Dropped { p, path, seed: [seed_lo, seed_hi], step, micro })
    }

    /// Refuses a result whose rows share elements: two tiles would write the same. `axes` are (length, stride), outermost first.
    pub fn distinct(&self, name: &str, axes: &[(usize, usize)], width: usize) -> Result<(), EngineError> {
        for (i, &(length, stride)) in axes.iter().enumerate() {
            if length > 1 && (stride as u64) < span(&axes[i + 1..], width) {
                return Err(self.error(format!("rows of {name} must not overlap, got a stride of {stride}")));
            }
        }
        Ok(())
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

/// What decides dropout's mask.
pub struct Dropped {
    /// Probability of dropping.
    pub p: f32,
    /// Path of the module, low word first.
    pub path: [u32; 2],
    /// Seed of the run, low word first.
    pub seed: [u32; 2],
    /// Optimizer step.
    pub step: u32,
    /// Micro-batch (and shard).
    pub micro: u32,
}

impl Dropped {
    /// The decisions, or `None` if nothing is dropped.
    pub fn keep(&self) -> Option<Keep> {
        (self.p != 0.0).then(|| Keep::new(self.p, Stream::new(self.seed, self.step, self.micro, self.path)))
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
