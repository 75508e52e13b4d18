//! What the instructions of one program took, added up over its runs. Each thread adds to a row of its own; thread 0 adds how long
//! whole stages took.

use crate::engine::ProgramId;
use crate::program::Program;

/// Times of the program run last. Empty while profiling is off.
#[derive(Default)]
pub struct Profile {
    program: ProgramId,
    threads: u32,
    /// Milliseconds by thread and instruction.
    times: Vec<f64>,
    /// Milliseconds of whole stages, at each one's first instruction.
    stages: Vec<f64>,
}

impl Profile {
    /// A run of `program` begins: forgets what was measured of another.
    pub fn begin(&mut self, program: ProgramId, instructions: usize, threads: u32) {
        let rows = instructions * threads as usize;
        if (self.program, self.times.len()) != (program, rows) {
            *self = Self { program, threads, times: vec![0.0; rows], stages: vec![0.0; instructions] };
        }
    }

    /// The program it is about; 0 for none.
    pub fn program(&self) -> ProgramId {
        self.program
    }

    /// Where threads add their times: a row of the program's instructions for each.
    pub fn times(&mut self) -> *mut f64 {
        self.times.as_mut_ptr()
    }

    /// The stage that begins with this instruction has taken so many milliseconds, from the end of the one before.
    pub fn took(&mut self, first: usize, ms: f64) {
        self.stages[first] += ms;
    }

    /// `[instruction, ms, flops, idle ms, …]`, see [`Engine::profile`](crate::Engine::profile).
    pub fn rows(&self, program: &Program) -> Vec<f64> {
        let n = program.instructions();
        let busy = |i: usize| self.times.iter().skip(i).step_by(n).sum::<f64>();
        let mut idle = vec![0.0; n];
        for stage in program.stage_ranges().iter().filter(|stage| !stage.is_empty()) {
            let worked: f64 = stage.clone().map(busy).sum();
            idle[stage.start] = (self.stages[stage.start] * f64::from(self.threads) - worked).max(0.0);
        }
        (0..n).flat_map(|i| [i as f64, busy(i), program.flops(i), idle[i]]).collect()
    }
}
