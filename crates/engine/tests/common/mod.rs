//! What the engine's tests share: a builder of program words, and an engine whose threads are std threads.
#![allow(dead_code)] // each test file uses its part

pub mod programs;

use engine::{Engine, EngineError, RegionId, Shared};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// An absent operand or extent.
pub const NONE: u32 = u32::MAX;
pub const F32: u32 = 0;
pub const I32: u32 = 1;
pub const F64: u32 = 2;
pub const Q8: u32 = 3;
pub const BF16: u32 = 4;

/// Milliseconds since the first call.
pub fn now() -> f64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

/// Collects the parts of a program. Its methods return the indices that instructions name.
#[derive(Default, Clone)]
pub struct Builder {
    pub extents: Vec<u32>,
    pub scalars: u32,
    slots: Vec<[u32; 4]>,
    banks: Vec<u32>,
    bindings: Vec<u32>,
    operands: Vec<[u32; 5]>,
    instructions: Vec<Vec<u32>>,
    stages: Vec<[u32; 2]>,
}

impl Builder {
    pub fn extent(&mut self, max: u32) -> u32 {
        self.extents.push(max);
        self.extents.len() as u32 - 1
    }

    /// `factor` × the given extents.
    pub fn slot(&mut self, factor: u32, extents: &[u32]) -> u32 {
        let mut slot = [factor, NONE, NONE, NONE];
        slot[1..=extents.len()].copy_from_slice(extents);
        self.slots.push(slot);
        self.slots.len() as u32 - 1
    }

    pub fn fixed(&mut self, value: u32) -> u32 {
        self.slot(value, &[])
    }

    /// An operand at the front of a new binding of `elements` of 4 bytes.
    pub fn bound(&mut self, elements: u32, dtype: u32) -> u32 {
        self.bindings.push(elements * 4);
        self.operand(1, self.bindings.len() as u32 - 1, 0, elements * 4, dtype)
    }

    /// An operand at the end of the (only) bank, which grows by it.
    pub fn banked(&mut self, elements: u32, dtype: u32) -> u32 {
        if self.banks.is_empty() {
            self.banks.push(0);
        }
        let bytes = elements * if dtype == F64 { 8 } else { 4 };
        let offset = self.banks[0].div_ceil(64) * 64;
        self.banks[0] = offset + bytes;
        self.operand(0, 0, offset, bytes, dtype)
    }

    pub fn operand(&mut self, space: u32, index: u32, offset: u32, bytes: u32, dtype: u32) -> u32 {
        self.operands.push([space, index, offset, bytes, dtype]);
        self.operands.len() as u32 - 1
    }

    /// The rest of an operand from a byte on, as an operand of its own.
    pub fn part(&mut self, whole: u32, offset: u32) -> u32 {
        let [space, index, start, bytes, dtype] = self.operands[whole as usize];
        self.operand(space, index, start + offset, bytes - offset, dtype)
    }

    /// Begins a stage; instructions that follow belong to it.
    pub fn stage(&mut self) -> &mut Self {
        self.stages.push([self.instructions.len() as u32, 0]);
        self
    }

    pub fn op(&mut self, opcode: u32, operands: &[u32], dims: &[u32], params: &[u32]) -> &mut Self {
        let mut words = vec![opcode, operands.len() as u32, dims.len() as u32, params.len() as u32];
        words.extend(operands.iter().chain(dims).chain(params));
        self.instructions.push(words);
        self.stages.last_mut().expect("stage() comes first")[1] += 1;
        self
    }

    pub fn words(&self) -> Vec<u32> {
        let counts = [
            self.extents.len(),
            self.scalars as usize,
            self.slots.len(),
            self.banks.len(),
            self.bindings.len(),
            self.operands.len(),
            self.instructions.len(),
            self.stages.len(),
        ];
        let mut words = vec![0x4750_4646, 1];
        words.extend(counts.iter().map(|&c| c as u32));
        words.push(0);
        words.extend(&self.extents);
        words.extend(self.slots.iter().flatten());
        words.extend(&self.banks);
        words.extend(&self.bindings);
        words.extend(self.operands.iter().flatten());
        words.extend(self.instructions.iter().flatten());
        words.extend(self.stages.iter().flatten());
        words[10] = words.len() as u32;
        words
    }

    /// Bytes of each binding.
    pub fn binding_bytes(&self) -> &[u32] {
        &self.bindings
    }
}

/// An engine with its threads. Dropping it ends them.
pub struct Rig {
    pub engine: Engine,
    threads: Vec<JoinHandle<bool>>,
}

impl Rig {
    pub fn new(threads: u32) -> Self {
        let engine = Engine::new(threads, now).unwrap();
        let spawn = |tid: u32| {
            let shared = engine.shared().clone();
            std::thread::spawn(move || thread_entry(&shared, tid))
        };
        let threads = (1..threads).map(spawn).collect();
        Self { engine, threads }
    }

    pub fn floats(&mut self, data: &[f32]) -> RegionId {
        let id = self.engine.region_alloc(data.len() as f64 * 4.0).unwrap();
        self.write(id, data);
        id
    }

    pub fn ints(&mut self, data: &[i32]) -> RegionId {
        let floats: Vec<f32> = data.iter().map(|&x| f32::from_bits(x as u32)).collect();
        self.floats(&floats)
    }

    pub fn write(&mut self, id: RegionId, data: &[f32]) {
        let pointer = self.engine.region_pointer(id).unwrap().cast::<f32>();
        assert!(data.len() as u64 * 4 <= self.engine.region_bytes(id).unwrap());
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), pointer, data.len()) }
    }

    pub fn read(&self, id: RegionId) -> Vec<f32> {
        let (pointer, bytes) = (self.engine.region_pointer(id).unwrap(), self.engine.region_bytes(id).unwrap());
        unsafe { std::slice::from_raw_parts(pointer.cast::<f32>(), bytes as usize / 4) }.to_vec()
    }

    pub fn bits(&self, id: RegionId) -> Vec<u32> {
        self.read(id).iter().map(|x| x.to_bits()).collect()
    }

    /// Begins and runs to the end in slices; returns how many slices it took.
    pub fn run(
        &mut self,
        program: u32,
        extents: &[u32],
        scalars: &[f64],
        budget_ms: f64,
    ) -> Result<usize, EngineError> {
        self.engine.run_begin(program, extents, scalars)?;
        let mut slices = 1;
        while !self.engine.run_slice(budget_ms)? {
            slices += 1;
        }
        Ok(slices)
    }

    /// Ends the threads; whether each of them returned without a panic.
    pub fn join(&mut self) -> Vec<bool> {
        self.engine.shared().shutdown();
        self.threads.drain(..).map(|thread| thread.join().unwrap()).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.join();
    }
}

/// What a thread's entry in JavaScript does: work, and poison the engine if that traps.
fn thread_entry(shared: &Arc<Shared>, tid: u32) -> bool {
    match catch_unwind(AssertUnwindSafe(|| shared.thread_main(tid))) {
        Ok(_) => true,
        Err(_) => {
            shared.poison(100 + tid);
            false
        }
    }
}

/// Seeded numbers in (-1, 1).
pub fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}
