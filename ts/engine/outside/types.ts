// What callers of an engine give and get. Types only; options.ts checks them.
import type { Build, SimdChoice } from '../build';
import type { Numbers, TileSpeed } from '../protocol';
import type { ProgramHandle } from './programs';

/** A warning: told once per code. */
export interface EngineWarning {
  code: 'SINGLE_THREAD' | 'UNVERIFIED_V8';
  message: string;
}

/** Options of `EngineHost.start`. All may be left out. */
export interface EngineOptions {
  /** Threads that compute, 1 to 64. Default: min(cores, 8); 1 where memory cannot be shared or with `worker: false`. */
  threads?: number;
  /**
   * Instruction set. 'auto' (default): relaxed SIMD where it exists; 'portable': the same bits on every engine and processor; 'relaxed': relaxed SIMD or
   * an error. 'auto256': as 'auto', and Node 24 or newer on x64 fuses pairs of its 128-bit operations: twice the speed, the same bits. 'relaxed' and
   * 'auto256' turn on flags of V8 for the whole process where they need one (docs/options.md).
   */
  simd?: SimdChoice;
  /** `false` runs everything in the calling thread, on one thread (tests, server-side rendering). Default true. */
  worker?: boolean;
  /** Where to load the kernels from, instead of beside the package's own files. */
  wasmUrl?: string | URL;
  /** The compiled kernels; must be the file of the build that `simd` chooses. */
  wasmModule?: WebAssembly.Module;
  /** Script of the engine's worker, instead of the package's own worker.*.js. */
  workerUrl?: string | URL;
  /** Script of the compute threads, instead of the package's own thread.*.js. */
  threadWorkerUrl?: string | URL;
  /** Refuse to hold more than this many bytes. Default: what the memory can grow to (at most 4 GiB). */
  maxMemoryBytes?: number;
  /** Gets each warning once. Default: console.warn, once per code. */
  onWarning?: (warning: EngineWarning) => void;
  /** Gives up the start. */
  signal?: AbortSignal;
}

/** What an engine turned out to be. */
export interface EngineInfo {
  /** Threads that compute. */
  readonly threads: number;
  /** The `simd` option as given. */
  readonly simd: SimdChoice;
  /** The build that was loaded. */
  readonly build: Build;
  /** 256 when V8 was asked to fuse pairs of 128-bit operations (it does so where the processor has AVX2). No bit of any result depends on it. */
  readonly vectorBits: 128 | 256;
  /** The register tile of the matrix products, "4x8": the fastest one measured at the start. No bit of any result depends on it. */
  readonly registerTile: string;
  /** What was measured for each register tile, the default first; empty where the clock is too coarse or the memory too small. */
  readonly registerTiles: readonly TileSpeed[];
  /** Whether multiply-add rounds once on this processor in this build. */
  readonly fused: boolean;
  /** SHA-256 of the kernels' file (hex), or 'custom' with `wasmUrl` or `wasmModule`. */
  readonly kernelHash: string;
  /** Whether memory can be shared with threads here. */
  readonly isolated: boolean;
  /** Whether the engine runs in a worker of its own. */
  readonly worker: boolean;
  /** Why something is less than was asked for or could be: threads, 256-bit vectors. Empty when nothing was reduced. */
  readonly reasons: readonly string[];
  /** 'Node 24.1.0', or the browser's user agent. */
  readonly runtime: string;
  /** The most bytes this engine will hold. */
  readonly memoryLimitBytes: number;
}

/** Bytes and counts of a living engine. */
export interface EngineBytes {
  /** Everything the kernels hold: regions, arena, programs, scratch. */
  live: number;
  /** The arena, sized for the largest loaded program. */
  arena: number;
  /** Variables. */
  regions: number;
  /** Inputs, outputs and constants of loaded programs. */
  programs: number;
  programsLoaded: number;
  /** Workers alive: the engine's and its threads' (0 with `worker: false`). */
  workers: number;
}

/** What one instruction of a program took. */
export interface InstructionProfile {
  /** Its index in the program. */
  instruction: number;
  /** Milliseconds of all threads together, over all runs since profiling began. */
  ms: number;
  /** Floating-point operations of one run. */
  flops: number;
  /**
   * Milliseconds in which threads had nothing to do, all together, over all runs: in the stage that begins with this instruction (0 at the others). They
   * waited for each other, or the stage was too small to be shared.
   */
  idleMs: number;
}

/** Copies of a run's outputs by name: Float32Array or Int32Array of the used part, row-major. */
export type Outputs = Record<string, Numbers>;

/** One execution of a loaded program. */
export interface RunCall {
  handle: ProgramHandle;
  /** One array per input of the program: its used elements, row-major. Copied, never detached. */
  inputs?: Record<string, Numbers>;
  /** One integer from 0 to its maximum per extent of the program. */
  extents?: Record<string, number>;
  /** One number per scalar of the program. */
  scalars?: Record<string, number>;
  /** Which outputs to copy back. Default: all. */
  outputs?: readonly string[];
  /** An abort is not heard once this program has begun (it updates state that must stay whole). */
  atomic?: boolean;
}

/** Extents and scalars of one step of a sequence. */
export interface SequenceRun {
  extents?: Record<string, number>;
  scalars?: Record<string, number>;
}

/** Options of `EngineHost.runSequence`. */
export interface SequenceOptions {
  /** Written once, before the first step. */
  inputs?: Record<string, Numbers>;
  /** The output to hand out after each step. */
  emit: string;
  /** Ends the sequence after a step all of whose emitted elements are among these. */
  stopValues?: readonly number[];
  /** Only every n-th emitted element counts for that, from the first (rows of which the first element says what was drawn). Default 1: all. */
  stopEvery?: number;
  signal?: AbortSignal;
  /** Called for each emitted value, in order. What it throws ends the sequence and rejects the call. */
  onValue(value: Numbers, index: number): void;
}
