// The compiled kernels behind typed methods: pointers made unsigned, views on the memory made for one use (the memory may grow at any
// allocation, which leaves older views behind). No policy here: what is allocated and run is decided in the other files of inside/.

import type { RotaryScaling } from '../../graph';
import { createKernels } from '../../wasm/kernels';
import type { WireNumbers } from '../protocol';

/** Bytes of stack of each thread beside the first (whose stack is linked into the module). */
const THREAD_STACK_BYTES = 1 << 20;

/** What one slice of a run came to. */
export type SliceResult = 'done' | 'more';

/** One instance of the kernels on a memory. Methods throw what the kernels throw; see failures.ts. */
export class Kernels {
  readonly memory: WebAssembly.Memory;
  readonly #glue: ReturnType<typeof createKernels>;

  /** @throws whatever instantiating throws: LinkError, RangeError (out of memory) */
  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory) {
    this.memory = memory;
    this.#glue = createKernels();
    this.#glue.initSync({ module, memory, thread_stack_size: THREAD_STACK_BYTES });
  }

  /** Once per memory, by the thread that will be number 0. Allocations that would bring the bytes in use beyond `limitBytes` are refused. */
  engineInit(threads: number, limitBytes: number): void {
    this.#glue.engine_init(threads);
    this.#glue.set_memory_limit(limitBytes);
  }

  /** A thread's life: blocks until the engine ends. */
  threadMain(tid: number): void {
    this.#glue.thread_main(tid);
  }

  /** Makes every wait of a thread end with an error. */
  poison(code: number): void {
    this.#glue.poison(code);
  }

  /** The text of the last panic in this memory, '' when there was none. */
  panicText(): string {
    return this.#glue.panic_text();
  }

  /** [code, at, value, instruction] of the fault that ended the last run; empty when there was none. */
  fault(): Int32Array {
    return this.#glue.fault();
  }

  regionAlloc(bytes: number): number {
    return this.#glue.region_alloc(bytes);
  }

  regionFree(region: number): void {
    this.#glue.region_free(region);
  }

  regionFill(region: number, value: number): void {
    this.#glue.region_fill(region, value);
  }

  regionFillNormal(region: number, mean: number, std: number, key: RandomKey): void {
    this.#glue.region_fill_normal(region, mean, std, ...key);
  }

  regionFillUniform(region: number, low: number, high: number, key: RandomKey): void {
    this.#glue.region_fill_uniform(region, low, high, ...key);
  }

  regionFillSinusoidal(region: number, rows: number, cols: number, noise: number, key: RandomKey): void {
    this.#glue.region_fill_sinusoidal(region, rows, cols, noise, ...key);
  }

  regionFillRotary(region: number, rows: number, cols: number, base: number, scaling: RotaryScaling = { kind: 'linear', factor: 1 }): void {
    const [low, high, original] =
      scaling.kind === 'linear' ? [0, 0, 0] : [scaling.lowFrequencyFactor, scaling.highFrequencyFactor, scaling.originalPositions];
    this.#glue.region_fill_rotary(region, rows, cols, base, scaling.factor, low, high, original);
  }

  /** Copies `data` into a region, from element `start` on. */
  write(region: number, data: WireNumbers, start = 0): void {
    const pointer = (this.#glue.region_ptr(region) >>> 0) + data.BYTES_PER_ELEMENT * start;
    if (data instanceof Float32Array) new Float32Array(this.memory.buffer, pointer, data.length).set(data);
    else if (data instanceof Uint16Array) new Uint16Array(this.memory.buffer, pointer, data.length).set(data);
    else new Int32Array(this.memory.buffer, pointer, data.length).set(data);
    this.#glue.region_touch(region);
  }

  /** A copy of `elements` of a region, from `start` on, in memory of its own. */
  read(region: number, elements: number, dtype: string, start = 0): WireNumbers {
    const pointer = this.#glue.region_ptr(region) >>> 0;
    const { buffer } = this.memory;
    if (dtype === 'bf16') return new Uint16Array(buffer, pointer + 2 * start, elements).slice();
    const at = pointer + 4 * start;
    return (dtype === 'f32' ? new Float32Array(buffer, at, elements) : new Int32Array(buffer, at, elements)).slice();
  }

  programLoad(words: Uint32Array, regions: Uint32Array): number {
    return this.#glue.program_load(words, regions);
  }

  programFree(program: number): void {
    this.#glue.program_free(program);
  }

  runBegin(program: number, extents: Uint32Array, scalars: Float64Array): void {
    this.#glue.run_begin(program, extents, scalars);
  }

  /** Runs for about `budgetMs`, at least a tile. */
  runSlice(budgetMs: number): SliceResult {
    return this.#glue.run_slice(budgetMs) === 0 ? 'done' : 'more';
  }

  /** Gives a begun run up. */
  runAbandon(): void {
    this.#glue.run_abandon();
  }

  /** How many register tiles there are; 0 is the default. */
  registerTiles(): number {
    return this.#glue.register_tiles();
  }

  /** A register tile's size: "4x8". */
  registerTileName(tile: number): string {
    return this.#glue.register_tile_name(tile);
  }

  setRegisterTile(tile: number): void {
    this.#glue.set_register_tile(tile);
  }

  /** Multiplies with a register tile for `budgetMs`. @returns 10^9 operations per second */
  tileSelfTest(tile: number, budgetMs: number): number {
    return this.#glue.tile_self_test(tile, budgetMs);
  }

  /** Whether multiply-add rounds once in this build on this processor. */
  maddIsFused(): boolean {
    return this.#glue.madd_is_fused();
  }

  /** Microseconds that one meeting of all threads takes, as the mean of `rounds`. */
  barrierUs(rounds: number): number {
    return this.#glue.barrier_us(rounds);
  }

  /** Turns the timing of instructions on or off, and forgets what was measured. */
  profileEnable(on: boolean): void {
    this.#glue.profile_enable(on);
  }

  /** [instruction, ms, flops, idle ms, …] of the program run last since profiling was turned on. */
  profile(): Float64Array {
    return this.#glue.profile();
  }

  liveBytes(): number {
    return this.#glue.live_bytes();
  }

  arenaBytes(): number {
    return this.#glue.arena_bytes();
  }

  programsLoaded(): number {
    return this.#glue.programs_loaded();
  }
}

/** The key of a random stream: seed and path, each as low and high word. */
export type RandomKey = [seedLo: number, seedHi: number, pathLo: number, pathHi: number];
