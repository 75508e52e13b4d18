//! An engine: regions, loaded programs and the arena they share, seen from thread 0. This file is about memory; running is in
//! `run.rs`. Every call checks first and changes afterwards: a refused call leaves things as they were.

use crate::arena::Arena;
use crate::by_id::ById;
use crate::error::{bad, Code, EngineError};
use crate::executor::{FaultReport, Shared};
use crate::memory::{out_of_memory, rounded, Block, ALIGN, MAX_BLOCK};
use crate::number::Number;
use crate::patience::Patience;
use crate::profile::Profile;
use crate::program::Program;
use crate::regions::{RegionId, Regions};
use crate::run::ActiveRun;
use std::sync::Arc;

/// Number of a loaded program; 0 is none.
pub type ProgramId = u32;

/// Threads an engine may have: more would only wait for memory.
pub const MAX_THREADS: u32 = 64;
/// Work that takes less than this on one thread is not worth sharing: waking a sleeping thread costs thread 0 about 5
/// microseconds and the thread comes some 30 later, and what it computes has to move from one core's cache to another's.
const SERIAL_BELOW_NS: f64 = 20_000.0;
/// All that a 32-bit memory can hold.
const ADDRESSABLE: u64 = 1 << 32;

/// One engine. It belongs to thread 0; other threads hold its [`Shared`] half.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) regions: Regions,
    pub(crate) programs: ById<Program>,
    pub(crate) arena: Arena,
    pub(crate) scratch: Arena,
    pub(crate) active: Option<ActiveRun>,
    pub(crate) fault: Option<FaultReport>,
    pub(crate) profile: Profile,
    pub(crate) profiling: bool,
    /// Thread 0's.
    pub(crate) patience: Patience,
    pub(crate) serial_below_ns: f64,
    last_program: ProgramId,
    limit: u64,
}

impl Engine {
    /// An engine of `threads` threads, this one included. `now` gives milliseconds from any fixed start.
    pub fn new(threads: u32, now: fn() -> f64) -> Result<Self, EngineError> {
        if threads == 0 || threads > MAX_THREADS {
            return Err(bad(format!("engine_init: threads must be from 1 to {MAX_THREADS}, got {threads}")));
        }
        kernels::matmul::set_threads(threads as usize);
        Ok(Self {
            shared: Arc::new(Shared::new(threads, now)),
            regions: Regions::default(),
            programs: ById::default(),
            arena: Arena::default(),
            scratch: Arena::default(),
            active: None,
            fault: None,
            profile: Profile::default(),
            profiling: false,
            patience: Patience::new(now),
            serial_below_ns: SERIAL_BELOW_NS,
            last_program: 0,
            limit: ADDRESSABLE,
        })
    }

    /// What the other threads hold.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Refuses allocations beyond `bytes` in use (regions, arena, programs and scratch together).
    pub fn set_memory_limit(&mut self, bytes: f64) {
        // A float from JavaScript: `as` saturates, and NaN becomes 0.
        self.limit = (bytes as u64).min(ADDRESSABLE);
    }

    /// A new zeroed region of `bytes` (a whole number; any count of bytes is rounded up to cache lines).
    /// `OUT_OF_MEMORY` if it is 2 GiB or more, passes the limit, or is not to be had.
    pub fn region_alloc(&mut self, bytes: f64) -> Result<RegionId, EngineError> {
        self.alive()?;
        if !(bytes >= 0.0 && bytes.fract() == 0.0) {
            return Err(bad(format!("region_alloc: bytes must be a whole number, got {}", Number(bytes))));
        }
        if bytes > MAX_BLOCK as f64 {
            return Err(EngineError::new(
                Code::OutOfMemory,
                format!(
                    "region_alloc: a region must be smaller than 2 GiB, needs {} bytes, the limit is {MAX_BLOCK}",
                    Number(bytes)
                ),
            ));
        }
        let bytes = bytes as u64;
        self.reserve("region_alloc", rounded(bytes))?;
        let block = Block::zeroed(bytes).ok_or_else(|| self.exhausted("region_alloc", rounded(bytes)))?;
        Ok(self.regions.insert(block, bytes))
    }

    /// Frees a region. A program that is bound to it can no longer run. `BUSY` while a run is in progress.
    pub fn region_free(&mut self, id: RegionId) -> Result<(), EngineError> {
        self.idle("region_free")?;
        self.regions.remove(id)
    }

    /// Address of a region's first byte. It stays the same for the region's life.
    pub fn region_pointer(&self, id: RegionId) -> Result<*mut u8, EngineError> {
        self.regions.get("region_ptr", id).map(|(pointer, _)| pointer)
    }

    /// Bytes of a region, as asked for.
    pub fn region_bytes(&self, id: RegionId) -> Result<u64, EngineError> {
        self.regions.get("region_bytes", id).map(|(_, bytes)| bytes)
    }

    /// Version of a region's contents.
    pub fn region_version(&self, id: RegionId) -> Result<u32, EngineError> {
        self.regions.version(id)
    }

    /// Notes that a region was written from outside.
    pub fn region_touch(&mut self, id: RegionId) -> Result<(), EngineError> {
        self.regions.version(id)?;
        self.regions.touch(id);
        Ok(())
    }

    /// Loads a program: parses and checks it, binds it to regions and makes arena and scratch large enough.
    /// `BAD_PROGRAM`, `OUT_OF_MEMORY`, or `BUSY` while a run is in progress.
    pub fn program_load(&mut self, words: &[u32], regions: &[RegionId]) -> Result<ProgramId, EngineError> {
        self.idle("program_load")?;
        let program = Program::load(words, regions, &self.regions, self.shared.threads())?;
        let scratch = self.scratch_bytes(program.scratch_len());
        let needed = program.bytes() + self.arena.growth(program.banks()) + self.scratch.growth(&[scratch]);
        self.reserve("program_load", needed)?;
        if !self.arena.grow(program.banks()) {
            return Err(self.exhausted("program_load", needed));
        }
        if !self.scratch.grow(&[scratch]) {
            self.trim();
            return Err(self.exhausted("program_load", needed));
        }
        self.last_program += 1;
        self.programs.push(self.last_program, program);
        Ok(self.last_program)
    }

    /// Forgets a program and gives back what arena and scratch had only for it. `BUSY` while a run is in progress.
    pub fn program_free(&mut self, id: ProgramId) -> Result<(), EngineError> {
        self.idle("program_free")?;
        self.programs.remove(id).ok_or_else(|| bad(format!("program_free: the program must be loaded, got {id}")))?;
        self.trim();
        Ok(())
    }

    /// Makes room for a loaded program's arena and scratch, should either have been lost, or more scratch be wanted.
    pub(crate) fn ensure(&mut self, op: &str, program: ProgramId) -> Result<(), EngineError> {
        let program = self.programs.get(program).expect("the caller has looked");
        let scratch = self.scratch_bytes(program.scratch_len());
        let needed = self.arena.growth(program.banks()) + self.scratch.growth(&[scratch]);
        if needed == 0 {
            return Ok(());
        }
        self.reserve(op, needed)?;
        if self.arena.grow(program.banks()) && self.scratch.grow(&[scratch]) {
            Ok(())
        } else {
            Err(self.exhausted(op, needed))
        }
    }

    /// Bytes in use: regions, arena, scratch and loaded programs.
    pub fn live_bytes(&self) -> u64 {
        let programs: u64 = self.programs.values().map(Program::bytes).sum();
        self.regions.live_bytes() + self.arena.bytes() + self.scratch.bytes() + programs
    }

    /// Bytes of the arena's banks.
    pub fn arena_bytes(&self) -> u64 {
        self.arena.bytes()
    }

    /// Bytes of all regions.
    pub fn regions_bytes(&self) -> u64 {
        self.regions.live_bytes()
    }

    /// Number of loaded programs.
    pub fn programs_loaded(&self) -> usize {
        self.programs.len()
    }

    /// Bytes of scratch for all threads, each thread's share on cache lines of its own.
    fn scratch_bytes(&self, floats: usize) -> u64 {
        Self::scratch_stride(floats) as u64 * 4 * u64::from(self.shared.threads())
    }

    /// Floats from one thread's scratch to the next.
    pub(crate) fn scratch_stride(floats: usize) -> usize {
        floats.div_ceil(ALIGN / 4) * (ALIGN / 4)
    }

    /// Shrinks arena and scratch to the largest of the loaded programs.
    fn trim(&mut self) {
        let mut banks: Vec<u64> = Vec::new();
        let mut floats = 0;
        for program in self.programs.values() {
            banks.resize(banks.len().max(program.banks().len()), 0);
            for (bank, &bytes) in banks.iter_mut().zip(program.banks()) {
                *bank = (*bank).max(bytes);
            }
            floats = floats.max(program.scratch_len());
        }
        let scratch = if self.programs.len() == 0 { vec![] } else { vec![self.scratch_bytes(floats)] };
        self.arena.shrink(&banks);
        self.scratch.shrink(&scratch);
    }

    pub(crate) fn reserve(&self, op: &str, needed: u64) -> Result<(), EngineError> {
        let in_use = self.live_bytes();
        if in_use + needed > self.limit {
            return Err(out_of_memory(op, needed, in_use, self.limit));
        }
        Ok(())
    }

    /// The error when the allocator gave up below the limit: what was in use is then all there is.
    pub(crate) fn exhausted(&self, op: &str, needed: u64) -> EngineError {
        out_of_memory(op, needed, self.live_bytes(), self.limit)
    }

    /// Refuses if a thread has died or the engine was shut down.
    pub(crate) fn alive(&self) -> Result<(), EngineError> {
        self.shared.gate().check().map_err(|poisoned| {
            EngineError::new(Code::Poisoned, format!("engine: all threads must be alive, got code {}", poisoned.0))
        })
    }

    /// As [`alive`](Self::alive), and refuses while a run is in progress.
    pub(crate) fn idle(&self, op: &str) -> Result<(), EngineError> {
        self.alive()?;
        match &self.active {
            None => Ok(()),
            Some(run) => Err(EngineError::new(
                Code::Busy,
                format!("{op}: must wait for the end of the run, got one of program {}", run.program),
            )),
        }
    }
}
