//! Running, as thread 0 sees it: begin, then slices until done, or abandon. It alone decides what is offered next, whether a fault
//! ends the run, and whether the slice's time is up. What every thread does is in `executor.rs`.
//!
//! Small stages are not offered at all: thread 0 runs them itself, one after the other, while the others wait. Sharing
//! microseconds costs more than it saves, and a program of nothing else (generation with a small model) runs on several threads
//! as it does on one.

use crate::decode::{Op, Trap};
use crate::engine::{Engine, ProgramId};
use crate::error::{bad, Code, EngineError};
use crate::executor::{FaultReport, Job, Shared, NO_TRAP};
use crate::fill::{Distribution, Drawn, Source};
use crate::profile::Profile;
use crate::program::{Program, Stage};
use crate::regions::RegionId;
use kernels::position::fill_sinusoidal;
use kernels::rotary::{fill_rotary, RotaryScaling};

/// Thread 0 looks at the clock after so much work, as estimated: a call into JavaScript per tile would show.
const LOOK_NS: f64 = 1e5;
/// And after so many tiles, should the estimate be wrong.
const LOOK_TILES: u32 = 64;

/// A run that has begun and is not done.
pub(crate) struct ActiveRun {
    pub(crate) program: ProgramId,
    stage: usize,
    /// Tiles of the current stage that have not been run, if it has begun.
    left: Option<u32>,
}

/// Thread 0's eye on the time.
struct Watch {
    now: fn() -> f64,
    deadline: f64,
    look_ns: f64,
    unseen_ns: f64,
    unseen_tiles: u32,
    over: bool,
}

impl Watch {
    fn new(shared: &Shared, budget_ms: f64) -> Self {
        let budget_ms = budget_ms.max(0.0);
        let deadline = shared.now() + budget_ms;
        let look_ns = LOOK_NS.min(budget_ms * 1e5); // a tenth of the budget
        Self { now: shared.clock(), deadline, look_ns, unseen_ns: 0.0, unseen_tiles: 0, over: false }
    }

    /// Notes a tile of about `ns`; whether the time is up.
    fn spent(&mut self, ns: f64) -> bool {
        self.unseen_ns += ns;
        self.unseen_tiles += 1;
        if self.unseen_ns >= self.look_ns || self.unseen_tiles >= LOOK_TILES {
            (self.unseen_ns, self.unseen_tiles) = (0.0, 0);
            self.over = self.over || (self.now)() >= self.deadline;
        }
        self.over
    }
}

impl Engine {
    /// Decodes a program for these extents (each at most its maximum) and scalars. Nothing is executed yet.
    /// `BAD_PROGRAM` if anything does not fit, `BUSY` while another run is in progress.
    pub fn run_begin(&mut self, program: ProgramId, extents: &[u32], scalars: &[f64]) -> Result<(), EngineError> {
        self.idle("run_begin")?;
        let loaded = self.loaded(program)?;
        let (instructions, scratch_len) = (loaded.instructions(), loaded.scratch_len());
        self.ensure("run_begin", program)?;
        let Self { programs, regions, arena, .. } = self;
        let loaded = programs.get_mut(program).expect("found above");
        loaded.begin(extents, scalars, regions, arena)?;
        if loaded.scratch_len() != scratch_len {
            self.ensure("run_begin", program)?;
        }
        self.fault = None;
        let _ = self.shared.take_fault();
        if self.profiling {
            self.profile.begin(program, instructions, self.shared.threads());
        }
        self.active = Some(ActiveRun { program, stage: 0, left: None });
        Ok(())
    }

    /// Runs for about `budget_ms`, at least a tile. `true`: done; `false`: call again.
    /// `KERNEL_FAULT` if a kernel refused its data: then the run is over and [`fault`](Self::fault) has the details.
    pub fn run_slice(&mut self, budget_ms: f64) -> Result<bool, EngineError> {
        self.alive()?;
        let mut watch = Watch::new(&self.shared, budget_ms);
        let mut since = if self.profiling { self.shared.now() } else { 0.0 };
        loop {
            let Some(run) = self.active.as_mut() else {
                return Err(bad("run_slice: a run must have begun, got none"));
            };
            let program = self.programs.get(run.program).expect("a run keeps its program");
            while run.stage < program.stages() && nothing_to_do(program.stage(run.stage)) {
                run.stage += 1;
            }
            if run.stage == program.stages() {
                self.end_run();
                return Ok(true);
            }
            if watch.over {
                return Ok(false);
            }
            let first = program.stage(run.stage).first;
            self.work_on_stage(&mut watch)?;
            if self.profiling {
                let now = self.shared.now();
                self.profile.took(first, now - since);
                since = now;
            }
        }
    }

    /// Works on the active run's stage, begun or not, until it is done or the time is up; alone or together.
    fn work_on_stage(&mut self, watch: &mut Watch) -> Result<(), EngineError> {
        let run = self.active.as_mut().expect("run_slice has looked");
        let program = self.programs.get(run.program).expect("a run keeps its program");
        let stage = program.stage(run.stage);
        let tile_ns = stage.cost_ns / f64::from(stage.tiles.max(1));
        if stage.trap != NO_TRAP {
            self.shared.ask_to_die(stage.trap);
        } else {
            let job = Job {
                ops: stage.ops.as_ptr(),
                ends: stage.ends.as_ptr(),
                first: stage.first,
                tiles: stage.tiles,
                scratch: self.scratch.bank(0, 0).unwrap_or(std::ptr::null_mut()).cast(),
                scratch_stride: Self::scratch_stride(program.scratch_len()),
                profile: if self.profiling { self.profile.times() } else { std::ptr::null_mut() },
                profile_stride: program.instructions(),
            };
            let remaining = run.left.unwrap_or(stage.tiles);
            let enough = || watch.spent(tile_ns);
            let alone = remaining == 1 || stage.cost_ns < self.serial_below_ns || self.shared.threads() == 1;
            let left = if alone {
                // SAFETY: the pointers are those of a begun run, and whatever was offered before is done.
                unsafe { self.shared.work_alone(job, remaining, enough) }
            } else {
                self.shared.set_job(job);
                self.shared.gate().offer(remaining);
                self.shared.work(0, enough)
            };
            run.left = Some(left).filter(|&left| left > 0);
        }
        if self.shared.gate().wait_done(&mut self.patience).is_err() {
            return Err(self.alive().expect_err("a poisoned gate stays so"));
        }
        // The others may have left nothing for thread 0, and waiting takes time too.
        watch.spent(tile_ns);
        if run.left.is_none() {
            run.stage += 1;
            if let Some(report) = self.shared.take_fault() {
                return Err(self.end_by_fault(report));
            }
        }
        Ok(())
    }

    /// Stages that are estimated to take fewer nanoseconds than this on one thread are run by thread 0 alone; 0: none but those
    /// of a single tile. It never changes a result. For tests and measurements.
    pub fn set_serial_below(&mut self, nanoseconds: f64) {
        self.serial_below_ns = nanoseconds;
    }

    /// Ends the run in progress, if any, where it stands. Its outputs are unspecified; the engine is as usable as before.
    pub fn run_abandon(&mut self) -> Result<(), EngineError> {
        self.alive()?;
        if self.active.is_some() {
            self.end_run();
        }
        let _ = self.shared.take_fault();
        Ok(())
    }

    /// The fault that ended the last run, if one did.
    pub fn fault(&self) -> Option<FaultReport> {
        self.fault
    }

    fn end_by_fault(&mut self, report: FaultReport) -> EngineError {
        let id = self.active.as_ref().map_or(0, |run| run.program);
        let name = self.programs.get(id).map_or("?", |program| program.name(report.instruction));
        self.end_run();
        self.fault = Some(report);
        let fault = report.fault;
        EngineError::new(
            Code::KernelFault,
            format!(
                "instruction {} ({name}): {:?} at {}, got {}",
                report.instruction, fault.code, fault.at, fault.value
            ),
        )
    }

    /// The run is over, however: what it wrote has changed.
    fn end_run(&mut self) {
        if let Some(run) = self.active.take() {
            for &id in self.programs.get(run.program).expect("a run keeps its program").written() {
                self.regions.touch(id);
            }
        }
    }

    /// Turns per-instruction timing of later runs on or off, and forgets what was measured.
    pub fn profile_enable(&mut self, on: bool) {
        self.profiling = on;
        self.profile = Profile::default();
    }

    /// For the program run last since profiling was turned on: `[instruction, ms, flops, idle ms, …]`, instructions in order.
    /// Milliseconds are those of all threads together and add up over runs, flops are those of one run. A stage's idle
    /// time, in which threads waited for each other or thread 0 worked alone, stands at its first instruction.
    pub fn profile(&self) -> Vec<f64> {
        self.programs.get(self.profile.program()).map_or_else(Vec::new, |program| self.profile.rows(program))
    }

    /// Sets every element of an f32 region.
    pub fn region_fill(&mut self, id: RegionId, value: f32) -> Result<(), EngineError> {
        let (pointer, n) = self.floats("region_fill", id)?;
        // SAFETY: a region is aligned, initialised and `n` floats long, and no thread works while the engine is idle.
        unsafe { std::slice::from_raw_parts_mut(pointer, n) }.fill(value);
        self.regions.touch(id);
        Ok(())
    }

    /// Fills an f32 region with normal numbers, on all threads.
    pub fn region_fill_normal(&mut self, id: RegionId, mean: f64, std: f64, source: Source) -> Result<(), EngineError> {
        self.draw("region_fill_normal", id, Distribution::Normal { mean, std }, source)
    }

    /// Fills an f32 region with uniform numbers from `low` to below `high`, on all threads.
    pub fn region_fill_uniform(
        &mut self,
        id: RegionId,
        low: f64,
        high: f64,
        source: Source,
    ) -> Result<(), EngineError> {
        self.draw("region_fill_uniform", id, Distribution::Uniform { low, high }, source)
    }

    fn draw(
        &mut self,
        what: &str,
        id: RegionId,
        distribution: Distribution,
        source: Source,
    ) -> Result<(), EngineError> {
        let (out, n) = self.floats(what, id)?;
        self.run_alone(Op::Drawn(Drawn { out, n, distribution, source }))?;
        self.regions.touch(id);
        Ok(())
    }

    /// Fills an f32 region of `rows` × `cols` with the sinusoidal position table, plus `noise` times
    /// normal numbers.
    pub fn region_fill_sinusoidal(
        &mut self,
        id: RegionId,
        rows: u32,
        cols: u32,
        noise: f64,
        source: Source,
    ) -> Result<(), EngineError> {
        self.fill_table("region_fill_sinusoidal", id, rows, cols, |table| {
            fill_sinusoidal(table, cols as usize, noise, source.seed, source.path)
        })
    }

    /// Fills an f32 region of `rows` × `cols` with the cosines and sines of rotary positions; `cols` is even.
    pub fn region_fill_rotary(
        &mut self,
        id: RegionId,
        rows: u32,
        cols: u32,
        base: f64,
        scaling: RotaryScaling,
    ) -> Result<(), EngineError> {
        if !cols.is_multiple_of(2) {
            return Err(bad(format!("region_fill_rotary: cols must be even, got {cols}")));
        }
        self.fill_table("region_fill_rotary", id, rows, cols, |table| fill_rotary(table, cols as usize, base, scaling))
    }

    /// Lets `fill` write an idle engine's region of `rows` × `cols` floats.
    fn fill_table(
        &mut self,
        op: &str,
        id: RegionId,
        rows: u32,
        cols: u32,
        fill: impl FnOnce(&mut [f32]),
    ) -> Result<(), EngineError> {
        let (out, n) = self.floats(op, id)?;
        if u64::from(rows) * u64::from(cols) != n as u64 {
            return Err(bad(format!("{op}: rows x cols must be {n}, got {rows} x {cols}")));
        }
        if n > 0 {
            // SAFETY: a region is aligned, initialised and `n` floats long, and no thread works while the engine is idle.
            fill(unsafe { std::slice::from_raw_parts_mut(out, n) });
        }
        self.regions.touch(id);
        Ok(())
    }

    /// An idle engine's region as floats.
    fn floats(&self, op: &str, id: RegionId) -> Result<(*mut f32, usize), EngineError> {
        self.idle(op)?;
        let (pointer, bytes) = self.regions.get(op, id)?;
        Ok((pointer.cast(), (bytes / 4) as usize))
    }

    /// Runs one operation without a program, on all threads, to its end. It must need no scratch and cannot fault.
    fn run_alone(&mut self, op: Op) -> Result<(), EngineError> {
        let tiles = op.tile_op().tiles() as u32;
        if tiles == 0 {
            return Ok(());
        }
        self.offer(op, tiles, |shared| {
            shared.work(0, || false);
        })
    }

    /// Microseconds for which one meeting of all threads takes, as the mean of `rounds`: thread 0 offers a tile for each of the others
    /// and waits until all are done. The tiles hold no work.
    pub fn barrier_us(&mut self, rounds: u32) -> Result<f64, EngineError> {
        self.idle("barrier_us")?;
        let others = self.shared.threads() - 1;
        let started = self.shared.now();
        for _ in 0..rounds {
            if others > 0 {
                self.offer(Op::Trap(Trap), others, |_| {})?;
            }
        }
        Ok((self.shared.now() - started) * 1e3 / f64::from(rounds.max(1)))
    }

    /// Offers `tiles` tiles of an operation that belongs to no program, does `meanwhile`, and waits until they are done.
    fn offer(&mut self, op: Op, tiles: u32, meanwhile: impl FnOnce(&Shared)) -> Result<(), EngineError> {
        let work = Box::new((op, tiles));
        self.shared.set_job(Job { ops: &work.0, ends: &work.1, tiles, ..Job::idle() });
        self.shared.gate().offer(tiles);
        meanwhile(&self.shared);
        if self.shared.gate().wait_done(&mut self.patience).is_err() {
            std::mem::forget(work); // nobody knows who still looks at it
            return self.alive();
        }
        self.shared.set_job(Job::idle());
        Ok(())
    }

    fn loaded(&self, id: ProgramId) -> Result<&Program, EngineError> {
        self.programs.get(id).ok_or_else(|| bad(format!("run_begin: the program must be loaded, got {id}")))
    }
}

fn nothing_to_do(stage: Stage<'_>) -> bool {
    stage.tiles == 0 && stage.trap == NO_TRAP
}
