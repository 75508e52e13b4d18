// Made by scripts/build-wasm.mjs from wasm-bindgen's output. Do not edit.

/** The exports of one instance of the kernels (docs/architecture.md, section 4). */
export interface Kernels {
  /** Instantiates the module over a shared memory. Comes first. `thread_stack_size` is a multiple of 65536, for threads other than the first. */
  initSync(options: { module: WebAssembly.Module; memory: WebAssembly.Memory; thread_stack_size?: number }): unknown;
  /**
   * Bytes of the arena.
   */
  arena_bytes(): number;
  /**
   * Microseconds that one meeting of all threads takes: thread 0 calls the others and waits until they have answered, `rounds` times.
   */
  barrier_us(rounds: number): number;
  /**
   * Makes this memory's engine, for `threads` threads in all. Once per memory.
   */
  engine_init(threads: number): void;
  /**
   * `[code, at, value, instruction]` of the kernel fault that ended the last run; empty if none did.
   */
  fault(): Int32Array;
  /**
   * Bytes in use: regions, arena, programs and scratch.
   */
  live_bytes(): number;
  /**
   * Whether multiply-add rounds once on this machine (only in the relaxed build, and only on some machines).
   */
  madd_is_fused(): boolean;
  /**
   * The text of the first panic in this memory; empty if there was none (a plain trap has no text).
   */
  panic_text(): string;
  /**
   * Says that a thread has died: every thread leaves its barrier, and every later call throws `POISONED`. Any thread may call it.
   */
  poison(code: number): void;
  /**
   * `[instruction, ms, flops, idle ms, …]` of the program run last since profiling was turned on (ms: all threads and runs; flops: one run;
   * idle: of all threads in the stage that begins with the instruction).
   */
  profile(): Float64Array;
  /**
   * Turns timing of each instruction on or off, and forgets what was measured.
   */
  profile_enable(on: boolean): void;
  /**
   * Forgets a program; the arena shrinks to what the others need.
   */
  program_free(id: number): void;
  /**
   * Checks and loads a program (docs/architecture.md, section 2), bound to these regions; returns its id.
   */
  program_load(words: Uint32Array | number[], bindings: Uint32Array | number[]): number;
  /**
   * Number of loaded programs.
   */
  programs_loaded(): number;
  /**
   * A new zeroed, 64-byte aligned region of `bytes` < 2 GiB; returns its id (never 0, never used again).
   */
  region_alloc(bytes: number): number;
  /**
   * Bytes of a region, as asked for.
   */
  region_bytes(id: number): number;
  /**
   * Sets every float of a region.
   */
  region_fill(id: number, value: number): void;
  /**
   * Fills a region with `mean + std · z`, z standard normal by (seed, path, element).
   */
  region_fill_normal(id: number, mean: number, std: number, seed_lo: number, seed_hi: number, path_lo: number, path_hi: number): void;
  /**
   * Fills a region of `rows` × `cols` floats with the table of rotary positions. Frequencies are divided by `factor`, as Llama 3.1 does
   * where `original` (positions of its context) is above 0, all of them otherwise.
   */
  region_fill_rotary(id: number, rows: number, cols: number, base: number, factor: number, low: number, high: number, original: number): void;
  /**
   * Fills a region of `rows` × `cols` floats with the sinusoidal position table plus `noise · z`.
   */
  region_fill_sinusoidal(id: number, rows: number, cols: number, noise: number, seed_lo: number, seed_hi: number, path_lo: number, path_hi: number): void;
  /**
   * Fills a region with `low + (high − low) · u`, u uniform in [0, 1) by (seed, path, element).
   */
  region_fill_uniform(id: number, low: number, high: number, seed_lo: number, seed_hi: number, path_lo: number, path_hi: number): void;
  /**
   * Frees a region. Refused (`BUSY`) while a run is in progress.
   */
  region_free(id: number): void;
  /**
   * Byte offset of a region in the memory; the same for the region's life.
   */
  region_ptr(id: number): number;
  /**
   * Says that the region was written from JavaScript.
   */
  region_touch(id: number): void;
  /**
   * A number that changes whenever the region's contents may have changed.
   */
  region_version(id: number): number;
  /**
   * Bytes of all regions.
   */
  regions_bytes(): number;
  /**
   * A register tile's size: "4x8".
   */
  register_tile_name(tile: number): string;
  /**
   * How many register tiles the matrix product has; they are numbered from 0, the default.
   */
  register_tiles(): number;
  /**
   * Ends the run in progress where it stands. Without one, nothing happens.
   */
  run_abandon(): void;
  /**
   * Begins a run; everything is checked, nothing executed.
   */
  run_begin(program: number, extents: Uint32Array | number[], scalars: Float64Array | number[]): void;
  /**
   * Goes on with the run for about `budget_ms`. 0: done, 1: call again.
   */
  run_slice(budget_ms: number): number;
  /**
   * Refuses allocations that would bring the bytes in use beyond `bytes` (default and most: 4 GiB).
   */
  set_memory_limit(bytes: number): void;
  /**
   * The register tile that products use from now on; it changes speed, never a bit.
   */
  set_register_tile(tile: number): void;
  /**
   * Lets every [`thread_main`] return. The engine cannot run anything afterwards.
   */
  shutdown(): void;
  /**
   * Works for thread 0 until [`shutdown`]: blocks this thread. Throws `POISONED` when another thread died.
   */
  thread_main(tid: number): void;
  /**
   * Multiplies with one register tile for `budget_ms` on this thread; returns GFLOP/s.
   */
  tile_self_test(tile: number, budget_ms: number): number;
}

/** A fresh set of exports with state of its own. */
export function createKernels(): Kernels;
