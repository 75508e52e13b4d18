//! The program format (docs/architecture.md, section 2): words in, a checked structure out. Every index, size and count that
//! needs no extents is checked here; what an operand must hold for given extents is checked in `decode/`. Nothing is executed.

use crate::error::{bad, EngineError};
use crate::memory::MAX_BLOCK;
use crate::signature::{signature, DType, Operand, Param, Signature};
use crate::sort::sort;
use std::ops::Range;

/// First word of every program ("GPFF").
pub const MAGIC: u32 = 0x4750_4646;
/// The only version there is.
pub const VERSION: u32 = 1;
/// An operand or extent that is absent.
pub const NONE: u32 = u32::MAX;
/// Words of the header.
pub const HEADER: usize = 11;
/// Banks stay below this, so that a program never needs one huge block.
pub const MAX_BANK: u64 = 1 << 30;
/// Dims are counts of elements or bytes of something below 2 GiB.
const MAX_DIM: u64 = (1 << 31) - 1;

/// A size: `factor` × the product of some extents.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    factor: u32,
    extents: [u32; 3],
}

impl Slot {
    /// The value for these extents (as many as the program has), saturating.
    pub fn value(&self, extents: &[u32]) -> u64 {
        let used = self.extents.iter().filter(|&&e| e != NONE);
        used.fold(u64::from(self.factor), |product, &e| product.saturating_mul(u64::from(extents[e as usize])))
    }
}

/// Where an operand lives and how large it may be.
#[derive(Clone, Copy, Debug)]
pub struct OperandRange {
    /// Whether it lies in a binding (a region) rather than in a bank of the arena.
    pub bound: bool,
    /// Which binding or bank.
    pub index: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes at the maximum extents.
    pub bytes: u64,
    /// Storage type.
    pub dtype: DType,
}

impl OperandRange {
    /// Whether two operands share a byte.
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.bound, self.index) == (other.bound, other.index)
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

/// One instruction; its arguments are ranges of [`Parsed::arguments`].
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Number of the operation.
    pub opcode: u32,
    /// Its entry in the table.
    pub signature: &'static Signature,
    operands: Range<usize>,
    dims: Range<usize>,
    params: Range<usize>,
}

/// A program whose every index can be trusted.
#[derive(Debug)]
pub struct Parsed {
    /// Largest value of each extent.
    pub extents: Vec<u32>,
    /// Number of scalars of a run.
    pub scalars: usize,
    /// Sizes that instructions refer to.
    pub slots: Vec<Slot>,
    /// Bytes of each bank.
    pub banks: Vec<u64>,
    /// Least bytes of each binding.
    pub bindings: Vec<u64>,
    /// Operand table.
    pub operands: Vec<OperandRange>,
    /// Instructions in order.
    pub instructions: Vec<Instruction>,
    /// Operand, slot and param words of all instructions.
    pub arguments: Vec<u32>,
    /// Ranges of instructions that are independent of each other. They cover all instructions in order.
    pub stages: Vec<Range<usize>>,
}

impl Parsed {
    /// Parses and checks a whole program.
    pub fn parse(words: &[u32]) -> Result<Self, EngineError> {
        let mut reader = Reader { words, at: 0 };
        let counts = header(&mut reader)?;
        let mut program = Self {
            extents: reader.take("extents", counts[0], 1)?.to_vec(),
            scalars: counts[1] as usize,
            slots: Vec::new(),
            banks: Vec::new(),
            bindings: Vec::new(),
            operands: Vec::new(),
            instructions: Vec::new(),
            arguments: Vec::new(),
            stages: Vec::new(),
        };
        program.read_slots(reader.take("slots", counts[2], 4)?)?;
        program.banks = sizes("bank", reader.take("banks", counts[3], 1)?, MAX_BANK - 1)?;
        program.bindings = sizes("binding", reader.take("bindings", counts[4], 1)?, MAX_BLOCK)?;
        program.read_operands(reader.take("operands", counts[5], 5)?)?;
        for index in 0..counts[6] {
            program.read_instruction(index, &mut reader)?;
        }
        program.read_stages(reader.take("stages", counts[7], 2)?)?;
        if reader.at != words.len() {
            return Err(bad(format!("program: must end after its stages, got {} words more", words.len() - reader.at)));
        }
        program.check_hazards()?;
        Ok(program)
    }

    /// The operand table's entries that an instruction names, in the signature's order; `None` where absent.
    pub fn operands_of<'a>(&'a self, instruction: &Instruction) -> impl Iterator<Item = Option<&'a OperandRange>> {
        let words = &self.arguments[instruction.operands.clone()];
        words.iter().map(|&word| if word == NONE { None } else { Some(&self.operands[word as usize]) })
    }

    /// The slots of an instruction's dims.
    pub fn dims_of(&self, instruction: &Instruction) -> &[u32] {
        &self.arguments[instruction.dims.clone()]
    }

    /// The param words of an instruction.
    pub fn params_of(&self, instruction: &Instruction) -> &[u32] {
        &self.arguments[instruction.params.clone()]
    }

    /// Whether some instruction writes a binding.
    pub fn writes_binding(&self, binding: u32) -> bool {
        self.instructions.iter().any(|instruction| {
            self.operands_of(instruction).zip(instruction.signature.operands).any(|(operand, spec)| {
                spec.written && operand.is_some_and(|operand| operand.bound && operand.index == binding)
            })
        })
    }

    fn read_slots(&mut self, words: &[u32]) -> Result<(), EngineError> {
        for (i, slot) in words.chunks_exact(4).enumerate() {
            if let Some(&e) = slot[1..].iter().find(|&&e| e != NONE && e as usize >= self.extents.len()) {
                return Err(bad(format!("slot {i}: extents must be below {}, got {e}", self.extents.len())));
            }
            let slot = Slot { factor: slot[0], extents: [slot[1], slot[2], slot[3]] };
            let largest = slot.value(&self.extents);
            if largest > MAX_DIM {
                return Err(bad(format!("slot {i}: its largest value must be below 2^31, got {largest}")));
            }
            self.slots.push(slot);
        }
        Ok(())
    }

    fn read_operands(&mut self, words: &[u32]) -> Result<(), EngineError> {
        for (i, operand) in words.chunks_exact(5).enumerate() {
            let &[space, index, offset, bytes, dtype] = operand else { unreachable!("chunks of five") };
            let holders = match space {
                0 => &self.banks,
                1 => &self.bindings,
                _ => return Err(bad(format!("operand {i}: space must be 0 or 1, got {space}"))),
            };
            let Some(&available) = holders.get(index as usize) else {
                return Err(bad(format!("operand {i}: index must be below {}, got {index}", holders.len())));
            };
            let dtype = DType::from_word(dtype)
                .ok_or_else(|| bad(format!("operand {i}: dtype must be from 0 to 4, got {dtype}")))?;
            let (offset, bytes) = (u64::from(offset), u64::from(bytes));
            if offset % dtype.bytes() != 0 || bytes % dtype.bytes() != 0 {
                return Err(bad(format!(
                    "operand {i}: offset and size must be multiples of {}, got {offset} and {bytes}",
                    dtype.bytes()
                )));
            }
            if offset + bytes > available {
                return Err(bad(format!("operand {i}: must end within {available} bytes, got {offset} + {bytes}")));
            }
            self.operands.push(OperandRange { bound: space == 1, index, offset, bytes, dtype });
        }
        Ok(())
    }

    fn read_instruction(&mut self, index: u32, reader: &mut Reader<'_>) -> Result<(), EngineError> {
        let head = reader.take("instructions", 1, 4)?;
        let (opcode, counts) = (head[0], [head[1], head[2], head[3]]);
        let signature = signature(opcode)
            .ok_or_else(|| bad(format!("instruction {index}: the opcode must be known, got {opcode}")))?;
        let name = signature.name;
        let wanted = [signature.operands.len(), signature.dims.len(), signature.params.len()];
        if counts.map(|c| c as usize) != wanted {
            return Err(bad(format!(
                "instruction {index} ({name}): must have {wanted:?} operands, dims and params, got {counts:?}"
            )));
        }
        let start = self.arguments.len();
        for count in counts {
            let words = reader.take("instructions", count, 1)?;
            self.arguments.extend_from_slice(words);
        }
        let operands = start..start + wanted[0];
        let dims = operands.end..operands.end + wanted[1];
        let params = dims.end..dims.end + wanted[2];
        let instruction = Instruction { opcode, signature, operands, dims, params };
        self.check_arguments(&instruction).map_err(|rule| bad(format!("instruction {index} ({name}): {rule}")))?;
        self.instructions.push(instruction);
        Ok(())
    }

    fn check_arguments(&self, instruction: &Instruction) -> Result<(), String> {
        let signature = instruction.signature;
        for (&word, spec) in self.arguments[instruction.operands.clone()].iter().zip(signature.operands) {
            if word == NONE {
                if !spec.optional {
                    return Err(format!("operand {} must be present", spec.name));
                }
                continue;
            }
            let Some(operand) = self.operands.get(word as usize) else {
                return Err(format!("operand {} must be below {}, got {word}", spec.name, self.operands.len()));
            };
            if operand.dtype != spec.dtype && !(spec.stored && matches!(operand.dtype, DType::Q8 | DType::Bf16)) {
                return Err(format!("operand {} must be {}, got {}", spec.name, spec.dtype, operand.dtype));
            }
        }
        for (&word, name) in self.dims_of(instruction).iter().zip(signature.dims) {
            if word as usize >= self.slots.len() {
                return Err(format!("dim {name} must be a slot below {}, got {word}", self.slots.len()));
            }
        }
        for (&word, (name, param)) in self.params_of(instruction).iter().zip(signature.params) {
            match param {
                Param::Integer(largest) if word > *largest => {
                    return Err(format!("param {name} must be at most {largest}, got {word}"));
                }
                Param::MaybeScalar if word == NONE => {}
                Param::Scalar | Param::MaybeScalar if word as usize >= self.scalars => {
                    return Err(format!("param {name} must be a scalar below {}, got {word}", self.scalars));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_stages(&mut self, words: &[u32]) -> Result<(), EngineError> {
        let mut next = 0usize;
        for (i, stage) in words.chunks_exact(2).enumerate() {
            let (first, count) = (stage[0] as usize, stage[1] as usize);
            if first != next || count > self.instructions.len() - first {
                return Err(bad(format!(
                    "stage {i}: must start at instruction {next} and end by {}, got {first} and {count} instructions",
                    self.instructions.len()
                )));
            }
            next = first + count;
            self.stages.push(first..next);
        }
        if next != self.instructions.len() {
            return Err(bad(format!("stages: must cover all {} instructions, got {next}", self.instructions.len())));
        }
        Ok(())
    }

    /// Two instructions of one stage run at the same time: what one writes, no other may touch. Within an instruction a result
    /// may be the very memory of an operand, where the kernel allows it. Pairs of strided operands may interleave their bytes;
    /// those of different instructions, and pairs of results, are left to the planner.
    fn check_hazards(&self) -> Result<(), EngineError> {
        for (stage, instructions) in self.stages.iter().enumerate() {
            let mut accesses = Vec::new();
            for index in instructions.clone() {
                let instruction = &self.instructions[index];
                let first_result = instruction.signature.operands.iter().position(|spec| spec.written);
                for (position, operand) in self.operands_of(instruction).enumerate() {
                    let spec = &instruction.signature.operands[position];
                    if let Some(&range) = operand.filter(|operand| operand.bytes > 0) {
                        accesses.push(Access {
                            range,
                            index,
                            position,
                            spec,
                            first_result: Some(position) == first_result,
                        });
                    }
                }
            }
            let key = |access: &Access| {
                let Access { range, index, position, .. } = access;
                (range.bound, range.index, range.offset, *index, *position)
            };
            sort(&mut accesses, |a, b| key(a) < key(b));
            for (i, a) in accesses.iter().enumerate() {
                // Sorted by offset: behind the first that does not overlap, none does.
                for b in accesses[i + 1..].iter().take_while(|b| a.range.overlaps(&b.range)) {
                    if a.conflicts(b) {
                        return Err(bad(format!(
                            "stage {stage}: what is written must be nobody else's, got {} of instruction {} and {} of {}",
                            a.spec.name, a.index, b.spec.name, b.index
                        )));
                    }
                }
            }
        }
        Ok(())
    }
}

/// An operand as an instruction uses it.
struct Access {
    range: OperandRange,
    index: usize,
    position: usize,
    spec: &'static Operand,
    first_result: bool,
}

impl Access {
    /// Whether two overlapping accesses of a stage must not be.
    fn conflicts(&self, other: &Self) -> bool {
        if !self.spec.written && !other.spec.written {
            return false;
        }
        if self.spec.strided && other.spec.strided {
            return self.index == other.index && self.spec.written != other.spec.written;
        }
        let same =
            (self.index, self.range.offset, self.range.bytes) == (other.index, other.range.offset, other.range.bytes);
        let allowed = |read: &Self, result: &Self| read.spec.in_place && result.first_result;
        !(same && (allowed(self, other) || allowed(other, self)))
    }
}

/// Words taken from the front, never past the end.
struct Reader<'a> {
    words: &'a [u32],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, what: &str, count: u32, each: u64) -> Result<&'a [u32], EngineError> {
        let left = self.words.len() - self.at;
        let wanted = u64::from(count) * each;
        if wanted > left as u64 {
            return Err(bad(format!("program: {what} need {wanted} words, got {left}")));
        }
        let taken = &self.words[self.at..self.at + wanted as usize];
        self.at += wanted as usize;
        Ok(taken)
    }
}

/// The eight counts of the header: extents, scalars, slots, banks, bindings, operands, instructions, stages.
fn header(reader: &mut Reader<'_>) -> Result<[u32; 8], EngineError> {
    let total = reader.words.len();
    let head = reader.take("header", HEADER as u32, 1)?;
    if head[0] != MAGIC {
        return Err(bad(format!("program: must start with {MAGIC:#x}, got {:#x}", head[0])));
    }
    if head[1] != VERSION {
        return Err(bad(format!("program: version must be {VERSION}, got {}", head[1])));
    }
    if head[10] as usize != total {
        return Err(bad(format!("program: must have as many words as it says ({}), got {total}", head[10])));
    }
    let counts = [head[2], head[3], head[4], head[5], head[6], head[7], head[8], head[9]];
    // The only count with no words of its own; the run's array of scalars must have a sane length all the same.
    if counts[1] > 1 << 16 {
        return Err(bad(format!("program: must have at most 65536 scalars, got {}", counts[1])));
    }
    Ok(counts)
}

fn sizes(what: &str, words: &[u32], largest: u64) -> Result<Vec<u64>, EngineError> {
    for (i, &word) in words.iter().enumerate() {
        if u64::from(word) > largest {
            return Err(bad(format!("{what} {i}: must have at most {largest} bytes, got {word}")));
        }
    }
    Ok(words.iter().map(|&word| u64::from(word)).collect())
}
