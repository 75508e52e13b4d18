//! The exports of docs/architecture.md, section 4: free functions over the one engine of a memory. Numbers in, numbers out; no
//! maths and no decisions here, those are the engine's.
//!
//! Thread 0 (the instance that called [`engine_init`]) calls everything. Every other thread is an instance of the same module
//! over the same memory that calls [`thread_main`] only, and [`poison`] and [`panic_text`] if that trapped.
//!
//! A refused call throws an `Error` whose message is `CODE: op: rule, got value`.

#![cfg_attr(target_arch = "wasm32", feature(alloc_error_hook))]

mod panic_text;

use engine::{Engine, EngineError, RotaryScaling, Shared, Source};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicPtr, Ordering};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

type Result<T> = std::result::Result<T, JsError>;

/// Thread 0's engine.
struct Slot(UnsafeCell<Option<Engine>>);

// SAFETY: only thread 0 calls the functions that reach it, one at a time (JavaScript never enters an instance twice).
unsafe impl Sync for Slot {}

static ENGINE: Slot = Slot(UnsafeCell::new(None));
/// The half that all threads see; null before `engine_init`. Never freed: it lives as long as the memory.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

fn engine() -> Result<&'static mut Engine> {
    // SAFETY: see `Slot`; no export keeps the reference beyond its call.
    unsafe { &mut *ENGINE.0.get() }
        .as_mut()
        .ok_or_else(|| JsError::new("BAD_PROGRAM: engine: engine_init must come first"))
}

fn shared() -> Option<&'static Shared> {
    // SAFETY: null or what engine_init leaked.
    unsafe { SHARED.load(Ordering::Acquire).as_ref() }
}

fn refused(error: EngineError) -> JsError {
    JsError::new(&error.to_string())
}

/// Makes this memory's engine, for `threads` threads in all. Once per memory.
#[wasm_bindgen]
pub fn engine_init(threads: u32) -> Result<()> {
    panic_text::install();
    // SAFETY: see `Slot`.
    let slot = unsafe { &mut *ENGINE.0.get() };
    if slot.is_some() {
        return Err(JsError::new("BAD_PROGRAM: engine_init: must be called once per memory"));
    }
    let engine = Engine::new(threads, performance_now).map_err(refused)?;
    SHARED.store(std::sync::Arc::into_raw(engine.shared().clone()).cast_mut(), Ordering::Release);
    *slot = Some(engine);
    Ok(())
}

/// Refuses allocations that would bring the bytes in use beyond `bytes` (default and most: 4 GiB).
#[wasm_bindgen]
pub fn set_memory_limit(bytes: f64) -> Result<()> {
    engine()?.set_memory_limit(bytes);
    Ok(())
}

/// A new zeroed, 64-byte aligned region of `bytes` < 2 GiB; returns its id (never 0, never used again).
#[wasm_bindgen]
pub fn region_alloc(bytes: f64) -> Result<u32> {
    engine()?.region_alloc(bytes).map_err(refused)
}

/// Frees a region. Refused (`BUSY`) while a run is in progress.
#[wasm_bindgen]
pub fn region_free(id: u32) -> Result<()> {
    engine()?.region_free(id).map_err(refused)
}

/// Byte offset of a region in the memory; the same for the region's life.
#[wasm_bindgen]
pub fn region_ptr(id: u32) -> Result<u32> {
    engine()?.region_pointer(id).map(|pointer| pointer as usize as u32).map_err(refused)
}

/// Bytes of a region, as asked for.
#[wasm_bindgen]
pub fn region_bytes(id: u32) -> Result<u32> {
    engine()?.region_bytes(id).map(|bytes| bytes as u32).map_err(refused)
}

/// A number that changes whenever the region's contents may have changed.
#[wasm_bindgen]
pub fn region_version(id: u32) -> Result<u32> {
    engine()?.region_version(id).map_err(refused)
}

/// Says that the region was written from JavaScript.
#[wasm_bindgen]
pub fn region_touch(id: u32) -> Result<()> {
    engine()?.region_touch(id).map_err(refused)
}

/// Sets every float of a region.
#[wasm_bindgen]
pub fn region_fill(id: u32, value: f32) -> Result<()> {
    engine()?.region_fill(id, value).map_err(refused)
}

/// Fills a region with `mean + std · z`, z standard normal by (seed, path, element).
#[wasm_bindgen]
pub fn region_fill_normal(
    id: u32,
    mean: f64,
    std: f64,
    seed_lo: u32,
    seed_hi: u32,
    path_lo: u32,
    path_hi: u32,
) -> Result<()> {
    let source = Source { seed: [seed_lo, seed_hi], path: [path_lo, path_hi] };
    engine()?.region_fill_normal(id, mean, std, source).map_err(refused)
}

/// Fills a region with `low + (high − low) · u`, u uniform in [0, 1) by (seed, path, element).
#[wasm_bindgen]
pub fn region_fill_uniform(
    id: u32,
    low: f64,
    high: f64,
    seed_lo: u32,
    seed_hi: u32,
    path_lo: u32,
    path_hi: u32,
) -> Result<()> {
    let source = Source { seed: [seed_lo, seed_hi], path: [path_lo, path_hi] };
    engine()?.region_fill_uniform(id, low, high, source).map_err(refused)
}

/// Fills a region of `rows` × `cols` floats with the sinusoidal position table plus `noise · z`.
#[wasm_bindgen]
pub fn region_fill_sinusoidal(
    id: u32,
    rows: u32,
    cols: u32,
    noise: f64,
    seed_lo: u32,
    seed_hi: u32,
    path_lo: u32,
    path_hi: u32,
) -> Result<()> {
    let source = Source { seed: [seed_lo, seed_hi], path: [path_lo, path_hi] };
    engine()?.region_fill_sinusoidal(id, rows, cols, noise, source).map_err(refused)
}

/// Fills a region of `rows` × `cols` floats with the table of rotary positions. Frequencies are divided by `factor`, as Llama 3.1 does
/// where `original` (positions of its context) is above 0, all of them otherwise.
#[wasm_bindgen]
pub fn region_fill_rotary(
    id: u32,
    rows: u32,
    cols: u32,
    base: f64,
    factor: f32,
    low: f32,
    high: f32,
    original: f32,
) -> Result<()> {
    let scaling = if original > 0.0 {
        RotaryScaling::Llama3 { factor, low, high, original }
    } else {
        RotaryScaling::Linear { factor }
    };
    engine()?.region_fill_rotary(id, rows, cols, base, scaling).map_err(refused)
}

/// Checks and loads a program (docs/architecture.md, section 2), bound to these regions; returns its id.
#[wasm_bindgen]
pub fn program_load(words: &[u32], bindings: &[u32]) -> Result<u32> {
    engine()?.program_load(words, bindings).map_err(refused)
}

/// Forgets a program; the arena shrinks to what the others need.
#[wasm_bindgen]
pub fn program_free(id: u32) -> Result<()> {
    engine()?.program_free(id).map_err(refused)
}

/// Begins a run; everything is checked, nothing executed.
#[wasm_bindgen]
pub fn run_begin(program: u32, extents: &[u32], scalars: &[f64]) -> Result<()> {
    engine()?.run_begin(program, extents, scalars).map_err(refused)
}

/// Goes on with the run for about `budget_ms`. 0: done, 1: call again.
#[wasm_bindgen]
pub fn run_slice(budget_ms: f64) -> Result<u32> {
    engine()?.run_slice(budget_ms).map(|done| u32::from(!done)).map_err(refused)
}

/// Ends the run in progress where it stands. Without one, nothing happens.
#[wasm_bindgen]
pub fn run_abandon() -> Result<()> {
    engine()?.run_abandon().map_err(refused)
}

/// `[code, at, value, instruction]` of the kernel fault that ended the last run; empty if none did.
#[wasm_bindgen]
pub fn fault() -> Result<Vec<i32>> {
    let report = engine()?.fault();
    Ok(report.map_or_else(Vec::new, |report| {
        vec![report.fault.code as i32, report.fault.at as i32, report.fault.value, report.instruction as i32]
    }))
}

/// Works for thread 0 until [`shutdown`]: blocks this thread. Throws `POISONED` when another thread died.
#[wasm_bindgen]
pub fn thread_main(tid: u32) -> Result<()> {
    let shared = shared().ok_or_else(|| JsError::new("BAD_PROGRAM: thread_main: engine_init must come first"))?;
    if tid == 0 || tid >= shared.threads() {
        let last = shared.threads() - 1;
        return Err(JsError::new(&format!("BAD_PROGRAM: thread_main: tid must be from 1 to {last}, got {tid}")));
    }
    shared.thread_main(tid).map_err(|poisoned| {
        JsError::new(&format!("POISONED: thread_main: another thread died, got code {}", poisoned.0))
    })
}

/// Lets every [`thread_main`] return. The engine cannot run anything afterwards.
#[wasm_bindgen]
pub fn shutdown() {
    if let Some(shared) = shared() {
        shared.shutdown();
    }
}

/// Says that a thread has died: every thread leaves its barrier, and every later call throws `POISONED`. Any thread may call it.
#[wasm_bindgen]
pub fn poison(code: u32) {
    if let Some(shared) = shared() {
        shared.poison(code);
    }
}

/// The text of the first panic in this memory; empty if there was none (a plain trap has no text).
#[wasm_bindgen]
pub fn panic_text() -> String {
    panic_text::read()
}

/// Bytes in use: regions, arena, programs and scratch.
#[wasm_bindgen]
pub fn live_bytes() -> Result<f64> {
    Ok(engine()?.live_bytes() as f64)
}

/// Bytes of the arena.
#[wasm_bindgen]
pub fn arena_bytes() -> Result<f64> {
    Ok(engine()?.arena_bytes() as f64)
}

/// Bytes of all regions.
#[wasm_bindgen]
pub fn regions_bytes() -> Result<f64> {
    Ok(engine()?.regions_bytes() as f64)
}

/// Number of loaded programs.
#[wasm_bindgen]
pub fn programs_loaded() -> Result<u32> {
    Ok(engine()?.programs_loaded() as u32)
}

/// Whether multiply-add rounds once on this machine (only in the relaxed build, and only on some machines).
#[wasm_bindgen]
pub fn madd_is_fused() -> bool {
    simd::madd_is_fused()
}

/// Microseconds that one meeting of all threads takes: thread 0 calls the others and waits until they have answered, `rounds` times.
#[wasm_bindgen]
pub fn barrier_us(rounds: u32) -> Result<f64> {
    engine()?.barrier_us(rounds).map_err(refused)
}

/// Turns timing of each instruction on or off, and forgets what was measured.
#[wasm_bindgen]
pub fn profile_enable(on: bool) -> Result<()> {
    engine()?.profile_enable(on);
    Ok(())
}

/// `[instruction, ms, flops, idle ms, …]` of the program run last since profiling was turned on (ms: all threads and runs; flops: one run;
/// idle: of all threads in the stage that begins with the instruction).
#[wasm_bindgen]
pub fn profile() -> Result<Vec<f64>> {
    Ok(engine()?.profile())
}

/// How many register tiles the matrix product has; they are numbered from 0, the default.
#[wasm_bindgen]
pub fn register_tiles() -> Result<u32> {
    Ok(engine()?.register_tiles())
}

/// A register tile's size: "4x8".
#[wasm_bindgen]
pub fn register_tile_name(tile: u32) -> Result<String> {
    engine()?.register_tile_name(tile).map_err(refused)
}

/// The register tile that products use from now on; it changes speed, never a bit.
#[wasm_bindgen]
pub fn set_register_tile(tile: u32) -> Result<()> {
    engine()?.set_register_tile(tile).map_err(refused)
}

/// Multiplies with one register tile for `budget_ms` on this thread; returns GFLOP/s.
#[wasm_bindgen]
pub fn tile_self_test(tile: u32, budget_ms: f64) -> Result<f64> {
    engine()?.tile_self_test(tile, budget_ms).map_err(refused)
}
