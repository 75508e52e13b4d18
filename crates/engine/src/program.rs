//! A loaded program: what was parsed, the regions it is bound to, and the operations decoded for the extents of the current
//! run. Beginning a run fills vectors that were sized at load, so that it allocates nothing.

use crate::arena::Arena;
use crate::decode::{cost_ns, decode, Args, Op};
use crate::error::{bad, EngineError};
use crate::executor::NO_TRAP;
use crate::format::Parsed;
use crate::gate::MAX_TILES;
use crate::regions::{RegionId, Regions};
use crate::sort::sort;

/// Opcode of the trap instruction.
const TRAP: u32 = 35;

/// A program together with everything a run of it needs.
pub struct Program {
    parsed: Parsed,
    regions: Vec<RegionId>,
    /// The regions that some instruction writes.
    written: Vec<RegionId>,
    /// For each stage the thread that is to die in it, or `NO_TRAP`.
    traps: Vec<u32>,
    scratch_len: usize,
    run: Run,
}

/// What `begin` fills in.
#[derive(Default)]
struct Run {
    slots: Vec<usize>,
    banks: Vec<*mut u8>,
    bindings: Vec<*mut u8>,
    ops: Vec<Op>,
    /// Per instruction: tiles of its stage up to and including its own.
    ends: Vec<u32>,
    /// Per stage: nanoseconds that it takes on one thread, roughly.
    costs: Vec<f64>,
}

/// A stage of a begun run.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// Its operations.
    pub ops: &'a [Op],
    /// For each of them, the stage's tiles up to and including its own.
    pub ends: &'a [u32],
    /// Number of its first instruction.
    pub first: usize,
    /// All its tiles.
    pub tiles: u32,
    /// Nanoseconds that it takes on one thread, roughly.
    pub cost_ns: f64,
    /// The thread that is to die in it, or `NO_TRAP`.
    pub trap: u32,
}

// SAFETY: the pointers are addresses inside blocks that the same engine owns; they are refilled by every `begin`.
unsafe impl Send for Program {}

impl Program {
    /// Checks words and bindings as far as that is possible without extents. Changes nothing else.
    pub fn load(words: &[u32], regions: &[RegionId], all: &Regions, threads: u32) -> Result<Self, EngineError> {
        let parsed = Parsed::parse(words)?;
        if regions.len() != parsed.bindings.len() {
            return Err(bad(format!(
                "program_load: must have {} bindings, got {}",
                parsed.bindings.len(),
                regions.len()
            )));
        }
        check_bindings("program_load", &parsed, regions, all)?;
        check_distinct(&parsed, regions)?;
        let written = (0..regions.len()).filter(|&i| parsed.writes_binding(i as u32)).map(|i| regions[i]).collect();
        let traps =
            parsed.stages.iter().map(|stage| trap_of(&parsed, stage.clone(), threads)).collect::<Result<_, _>>()?;
        let mut program =
            Self { regions: regions.to_vec(), written, traps, scratch_len: 0, run: Run::sized(&parsed), parsed };
        program.rehearse()?;
        Ok(program)
    }

    /// Decodes everything at the maximum extents, to find sizes that can never fit and the scratch that runs will need.
    fn rehearse(&mut self) -> Result<(), EngineError> {
        let extents = self.parsed.extents.clone();
        let scalars = vec![0.0; self.parsed.scalars];
        self.run.locate(&self.parsed, &extents);
        self.run.banks.resize(self.parsed.banks.len(), std::ptr::null_mut());
        self.run.bindings.resize(self.parsed.bindings.len(), std::ptr::null_mut());
        for index in 0..self.parsed.instructions.len() {
            let args = self.run.args(&self.parsed, index, &scalars, true);
            let op = decode(&args)?;
            self.scratch_len = self.scratch_len.max(op.tile_op().scratch_len());
        }
        Ok(())
    }

    /// Decodes all instructions for a run. Nothing has been executed when this fails.
    pub fn begin(
        &mut self,
        extents: &[u32],
        scalars: &[f64],
        regions: &Regions,
        arena: &Arena,
    ) -> Result<(), EngineError> {
        let parsed = &self.parsed;
        check_inputs(parsed, extents, scalars)?;
        check_bindings("run_begin", parsed, &self.regions, regions)?;
        self.run.locate(parsed, extents);
        self.run.banks.clear();
        for (i, &bytes) in parsed.banks.iter().enumerate() {
            let bank =
                arena.bank(i, bytes).ok_or_else(|| bad(format!("run_begin: bank {i} must be there, got none")))?;
            self.run.banks.push(bank);
        }
        self.run.bindings.clear();
        for &id in &self.regions {
            self.run.bindings.push(regions.get("run_begin", id)?.0);
        }
        // Almost always what was rehearsed; a kernel may want more for a small extent, and then the engine grows it.
        self.scratch_len = self.scratch_len.max(self.run.decode_all(parsed, scalars)?);
        Ok(())
    }

    /// The regions that a run writes.
    pub fn written(&self) -> &[RegionId] {
        &self.written
    }

    /// Bytes of each bank of the arena.
    pub fn banks(&self) -> &[u64] {
        &self.parsed.banks
    }

    /// Floats of scratch per thread.
    pub fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    /// Number of instructions.
    pub fn instructions(&self) -> usize {
        self.parsed.instructions.len()
    }

    /// Name of an instruction's operation.
    pub fn name(&self, instruction: usize) -> &'static str {
        self.parsed.instructions[instruction].signature.name
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        self.parsed.stages.len()
    }

    /// A stage of the begun run.
    pub fn stage(&self, stage: usize) -> Stage<'_> {
        let range = self.parsed.stages[stage].clone();
        let ends = &self.run.ends[range.clone()];
        Stage {
            ops: &self.run.ops[range.clone()],
            ends,
            first: range.start,
            tiles: ends.last().copied().unwrap_or(0),
            cost_ns: self.run.costs[stage],
            trap: self.traps[stage],
        }
    }

    /// Instructions of each stage, in order.
    pub fn stage_ranges(&self) -> &[std::ops::Range<usize>] {
        &self.parsed.stages
    }

    /// Floating-point operations of each instruction of the begun run, where they are worth counting.
    pub fn flops(&self, instruction: usize) -> f64 {
        self.run.ops.get(instruction).map_or(0.0, Op::flops)
    }

    /// Bytes that the loaded form takes.
    pub fn bytes(&self) -> u64 {
        fn of<T>(v: &Vec<T>) -> u64 {
            (v.capacity() * size_of::<T>()) as u64
        }
        let p = &self.parsed;
        let parsed = of(&p.extents) + of(&p.slots) + of(&p.banks) + of(&p.bindings) + of(&p.operands);
        let lists = of(&p.instructions) + of(&p.arguments) + of(&p.stages);
        let run =
            of(&self.run.slots) + of(&self.run.banks) + of(&self.run.bindings) + of(&self.run.ops) + of(&self.run.ends);
        let run = run + of(&self.run.costs);
        parsed + lists + run + of(&self.regions) + of(&self.written) + of(&self.traps)
    }
}

impl Run {
    fn sized(parsed: &Parsed) -> Self {
        Self {
            slots: Vec::with_capacity(parsed.slots.len()),
            banks: Vec::with_capacity(parsed.banks.len()),
            bindings: Vec::with_capacity(parsed.bindings.len()),
            ops: Vec::with_capacity(parsed.instructions.len()),
            ends: Vec::with_capacity(parsed.instructions.len()),
            costs: Vec::with_capacity(parsed.stages.len()),
        }
    }

    /// Sizes for these extents. Parsing saw to it that they fit.
    fn locate(&mut self, parsed: &Parsed, extents: &[u32]) {
        self.slots.clear();
        self.slots.extend(parsed.slots.iter().map(|slot| slot.value(extents) as usize));
    }

    fn args<'a>(&'a self, parsed: &'a Parsed, index: usize, scalars: &'a [f64], rehearsal: bool) -> Args<'a> {
        Args::new(parsed, index, &self.slots, [&self.banks, &self.bindings], scalars, rehearsal)
    }

    /// Fills operations and tile counts; returns the scratch they need.
    fn decode_all(&mut self, parsed: &Parsed, scalars: &[f64]) -> Result<usize, EngineError> {
        self.ops.clear();
        self.ends.clear();
        self.costs.clear();
        let mut scratch_len = 0;
        for stage in &parsed.stages {
            let (mut tiles, mut cost) = (0u64, 0.0);
            for index in stage.clone() {
                let args = self.args(parsed, index, scalars, false);
                let op = decode(&args)?;
                cost += cost_ns(&op, args.touched());
                tiles = tiles.saturating_add(op.tile_op().tiles() as u64);
                if tiles > MAX_TILES {
                    return Err(bad(format!(
                        "instruction {index}: a stage must have at most {MAX_TILES} tiles, got {tiles}"
                    )));
                }
                scratch_len = scratch_len.max(op.tile_op().scratch_len());
                self.ops.push(op);
                self.ends.push(tiles as u32);
            }
            self.costs.push(cost);
        }
        Ok(scratch_len)
    }
}

fn check_inputs(parsed: &Parsed, extents: &[u32], scalars: &[f64]) -> Result<(), EngineError> {
    if extents.len() != parsed.extents.len() || scalars.len() != parsed.scalars {
        return Err(bad(format!(
            "run_begin: must have {} extents and {} scalars, got {} and {}",
            parsed.extents.len(),
            parsed.scalars,
            extents.len(),
            scalars.len()
        )));
    }
    for (i, (&extent, &max)) in extents.iter().zip(&parsed.extents).enumerate() {
        if extent > max {
            return Err(bad(format!("run_begin: extent {i} must be at most {max}, got {extent}")));
        }
    }
    Ok(())
}

fn check_bindings(op: &str, parsed: &Parsed, ids: &[RegionId], regions: &Regions) -> Result<(), EngineError> {
    for (i, (&id, &needed)) in ids.iter().zip(&parsed.bindings).enumerate() {
        let (_, bytes) = regions.get(op, id)?;
        if bytes < needed {
            return Err(bad(format!("{op}: binding {i} needs {needed} bytes, region {id} has {bytes}")));
        }
    }
    Ok(())
}

/// What is written must have one name only: the check for hazards goes by binding.
fn check_distinct(parsed: &Parsed, ids: &[RegionId]) -> Result<(), EngineError> {
    let mut sorted: Vec<(RegionId, u32)> = ids.iter().copied().zip(0..).collect();
    sort(&mut sorted, |a, b| a < b);
    for pair in sorted.windows(2) {
        let [(id, a), (other, b)] = [pair[0], pair[1]];
        if id == other && (parsed.writes_binding(a) || parsed.writes_binding(b)) {
            return Err(bad(format!(
                "program_load: a region that is written must be bound once, got {id} as {a} and {b}"
            )));
        }
    }
    Ok(())
}

/// The thread that traps in a stage. A thread that is not there could not be waited for.
fn trap_of(parsed: &Parsed, stage: std::ops::Range<usize>, threads: u32) -> Result<u32, EngineError> {
    let Some(index) = stage.clone().find(|&index| parsed.instructions[index].opcode == TRAP) else {
        return Ok(NO_TRAP);
    };
    match parsed.params_of(&parsed.instructions[index])[0] {
        thread if thread < threads => Ok(thread),
        thread => Err(bad(format!("instruction {index} (trap): thread must be below {threads}, got {thread}"))),
    }
}
