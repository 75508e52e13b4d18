//! Running, as thread 0 sees it: begin, then slices until done, or abandon. At each barrier it alone decides whether a stage is
//! over, whether a fault ends the run, and whether the slice's time is up. What every thread does is in `executor.rs`.

use crate::decode::Op;
use crate::engine::{Engine, ProgramId};
use crate::error::{bad, Code, EngineError};
use crate::executor::{FaultReport, Job, NO_TRAP};
use crate::fill::{Normal, Source};
use crate::program::Program;
use crate::regions::RegionId;
use kernels::position::fill_sinusoidal;

/// A run that has begun and is not done.
pub(crate) struct ActiveRun {
    pub(crate) program: ProgramId,
    stage: usize,
    /// Whether the current stage has been given to the threads.
    started: bool,
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
        let loaded = programs.get_mut(&program).expect("found above");
        loaded.begin(extents, scalars, regions, arena)?;
        if loaded.scratch_len() != scratch_len {
            self.ensure("run_begin", program)?;
        }
        self.fault = None;
        let _ = self.shared.take_fault();
        if self.profiling
            && (self.profiled, self.profile.len()) != (program, instructions * self.shared.threads() as usize)
        {
            self.profile = vec![0.0; instructions * self.shared.threads() as usize];
            self.profiled = program;
        }
        self.active = Some(ActiveRun { program, stage: 0, started: false });
        Ok(())
    }

    /// Runs for about `budget_ms`, at least a stage or a tile. `true`: done; `false`: call again.
    /// `KERNEL_FAULT` if a kernel refused its data: then the run is over and [`fault`](Self::fault) has the details.
    pub fn run_slice(&mut self, budget_ms: f64) -> Result<bool, EngineError> {
        self.alive()?;
        let deadline = self.shared.now() + budget_ms.max(0.0);
        let mut worked = false;
        loop {
            let gathered = self.shared.barrier().gather();
            if gathered.is_err() {
                return Err(self.alive().expect_err("a poisoned barrier stays so"));
            }
            let Some(run) = self.active.as_mut() else {
                return Err(bad("run_slice: a run must have begun, got none"));
            };
            let program = &self.programs[&run.program];
            if run.started && self.shared.queue().exhausted(program.stage(run.stage).3) {
                if let Some(report) = self.shared.take_fault() {
                    return Err(self.end_by_fault(report));
                }
                (run.stage, run.started) = (run.stage + 1, false);
            }
            if !run.started {
                while run.stage < program.stages() && nothing_to_do(program.stage(run.stage)) {
                    run.stage += 1;
                }
                if run.stage == program.stages() {
                    self.end_run();
                    return Ok(true);
                }
            }
            if worked && self.shared.now() >= deadline {
                return Ok(false);
            }
            self.next_job(deadline);
            worked = true;
        }
    }

    /// Gives the active run's stage to all threads, begun or paused, and works on it too.
    fn next_job(&mut self, deadline: f64) {
        let run = self.active.as_mut().expect("run_slice has looked");
        let program = &self.programs[&run.program];
        let (ops, ends, first, tiles, trap) = program.stage(run.stage);
        if !run.started {
            self.shared.queue().restart();
            run.started = true;
        }
        self.shared.queue().resume();
        self.shared.set_job(Job {
            ops: ops.as_ptr(),
            ends: ends.as_ptr(),
            first,
            tiles,
            trap,
            scratch: self.scratch.bank(0, 0).unwrap_or(std::ptr::null_mut()).cast(),
            scratch_stride: Self::scratch_stride(program.scratch_len()),
            profile: if self.profiling { self.profile.as_mut_ptr() } else { std::ptr::null_mut() },
            profile_stride: program.instructions(),
        });
        // A single tile needs no company: the others go on waiting at the barrier.
        if tiles > 1 || trap != NO_TRAP {
            self.shared.barrier().release();
        }
        self.shared.work(0, deadline);
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
        let name = self.programs.get(&id).map_or("?", |program| program.name(report.instruction));
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
            for &id in self.programs[&run.program].written() {
                self.regions.touch(id);
            }
        }
    }

    /// Turns per-instruction timing of later runs on or off, and forgets what was measured.
    pub fn profile_enable(&mut self, on: bool) {
        self.profiling = on;
        self.profile = Vec::new();
        self.profiled = 0;
    }

    /// For the program run last since profiling was turned on: `[instruction, ms, flops, …]`, instructions in order;
    /// milliseconds are those of all threads together and add up over runs, flops are those of one run.
    pub fn profile(&self) -> Vec<f64> {
        let Some(program) = self.programs.get(&self.profiled) else {
            return Vec::new();
        };
        let n = program.instructions();
        let row = |i: usize| [i as f64, self.profile.iter().skip(i).step_by(n).sum(), program.flops(i)];
        (0..n).flat_map(row).collect()
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
        let (out, n) = self.floats("region_fill_normal", id)?;
        self.run_alone(Op::Normal(Normal { out, n, mean, std, source }))?;
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
        let (out, n) = self.floats("region_fill_sinusoidal", id)?;
        if u64::from(rows) * u64::from(cols) != n as u64 {
            return Err(bad(format!("region_fill_sinusoidal: rows x cols must be {n}, got {rows} x {cols}")));
        }
        if n > 0 {
            // SAFETY: a region is aligned, initialised and `n` floats long, and no thread works while the engine is idle.
            let table = unsafe { std::slice::from_raw_parts_mut(out, n) };
            fill_sinusoidal(table, cols as usize, noise, source.seed, source.path);
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
        let shared = self.shared.clone();
        if shared.barrier().gather().is_err() {
            return self.alive();
        }
        let work = Box::new((op, tiles));
        shared.queue().restart();
        shared.queue().resume();
        shared.set_job(Job { ops: &work.0, ends: &work.1, tiles, ..Job::idle() });
        shared.barrier().release();
        shared.work(0, f64::INFINITY);
        // The others may still be in their last tile.
        if shared.barrier().gather().is_err() {
            std::mem::forget(work); // nobody knows who still looks at it
            return self.alive();
        }
        shared.set_job(Job::idle());
        Ok(())
    }

    /// Microseconds for which one meeting of all threads takes, as the mean of `rounds`: thread 0 releases the others, they come back.
    pub fn barrier_us(&mut self, rounds: u32) -> Result<f64, EngineError> {
        self.idle("barrier_us")?;
        let shared = self.shared.clone();
        let meet = || shared.barrier().gather().is_ok();
        if !meet() {
            return self.alive().map(|()| 0.0);
        }
        shared.set_job(Job::idle());
        let started = shared.now();
        for _ in 0..rounds {
            shared.barrier().release();
            if !meet() {
                return self.alive().map(|()| 0.0);
            }
        }
        Ok((shared.now() - started) * 1e3 / f64::from(rounds.max(1)))
    }

    fn loaded(&self, id: ProgramId) -> Result<&Program, EngineError> {
        self.programs.get(&id).ok_or_else(|| bad(format!("run_begin: the program must be loaded, got {id}")))
    }
}

fn nothing_to_do((_, _, _, tiles, trap): (&[Op], &[u32], usize, u32, u32)) -> bool {
    tiles == 0 && trap == NO_TRAP
}
