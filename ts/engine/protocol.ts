// The messages between the caller's realm (outside/) and the engine (inside/): types and three constants, no behaviour.
// The outside gives every variable and program its number, so that calls need no answer before the next one can be sent.
import type { PlainError } from '../errors';
import type { DType, RotaryScaling } from '../graph';

/** Raised whenever a message changes its meaning: the worker's first message carries it, so that files of two versions never talk. */
export const PROTOCOL_VERSION = 4;

/** Words of the control buffer: word `token % ABORT_SLOTS` holds the token of the last aborted call that maps to it. */
export const ABORT_SLOTS = 64;

/** How long one slice may keep the engine's worker from its event loop, in milliseconds. */
export const SLICE_MS = 50;

/** The arrays that cross: f32 or i32. */
export type Numbers = Float32Array | Int32Array;

/** Numbers on the way to or from the engine's memory; bf16 weights as their bits. */
export type WireNumbers = Numbers | Uint16Array;

/** The speed of one register tile of the matrix products, in 10^9 operations per second on one thread (2 per multiply-add). */
export interface TileSpeed {
  readonly name: string;
  readonly gflops: number;
}

/** A register tile, and what choosing it was based on: empty where nothing could be measured. */
export interface TileChoice {
  readonly tile: number;
  readonly name: string;
  readonly measured: readonly TileSpeed[];
  /** Whether optimised code of every tile was seen; if not, the next engine measures again. */
  readonly settled: boolean;
}

/** How long measuring the register tiles may take: usually, and where the optimising compiler is late. */
export interface SelfTestLimits {
  readonly usualMs: number;
  readonly mostMs: number;
}

/** What the engine needs to begin. `ports` has one port for each thread beyond the first; its other end is with that thread. */
export interface EngineSetup {
  module: WebAssembly.Module;
  ports: readonly MessagePort[];
  control?: SharedArrayBuffer;
  maxMemoryBytes?: number;
  /** What an earlier engine of this process chose for the same module; without it the engine measures. */
  tile?: TileChoice;
  selfTest: SelfTestLimits;
}

/** What the engine found when it began. `memoryLimitBytes` is the maximum of its memory or the user's lower limit. */
export interface EngineReport {
  fused: boolean;
  memoryLimitBytes: number;
  /** The register tile in use; absent when the engine is not initialised. */
  tile?: TileChoice;
  /** Why a thread could not be given the memory; the engine is then not initialised. */
  sharingRefused?: string;
}

/** How a new region is filled. */
export type WireInit =
  | { kind: 'constant'; value: number }
  | { kind: 'normal'; mean: number; std: number }
  | { kind: 'uniform'; low: number; high: number }
  | { kind: 'sinusoidal'; noise: number; rows: number; cols: number }
  | { kind: 'rotary'; base: number; scaling: RotaryScaling | undefined; rows: number; cols: number }
  | { kind: 'data'; data: WireNumbers };

/** A variable to make room for. `id` is the outside's number, `bytes` a multiple of 4. */
export interface WireVariable {
  id: number;
  name: string;
  bytes: number;
  dtype: DType;
  init: WireInit;
}

/** What operand region i of a program is: a variable, or a buffer that the loaded program owns. */
export type WireBinding = { variable: number } | { sizeBytes: number; data?: Numbers };

/** A program to load under the number `id`. */
export interface WireProgram {
  id: number;
  name: string;
  words: Uint32Array;
  bindings: readonly WireBinding[];
  arenaBytes: number;
}

/** An output to copy back: the first `elements` of the buffer at `binding`. */
export interface WireOutput {
  binding: number;
  elements: number;
  dtype: DType;
}

/** One execution of a program. Arrays of extents and scalars are in the program's order. */
export interface WireCall {
  program: number;
  extents: Uint32Array;
  scalars: Float64Array;
  inputs: readonly { binding: number; data: Numbers }[];
  outputs: readonly WireOutput[];
  atomic: boolean;
}

/** Many executions of one program: extents and scalars are `count` rows, outputs gives the emitted one for each execution. */
export interface WireSequence {
  program: number;
  count: number;
  extents: Uint32Array;
  scalars: Float64Array;
  inputs: readonly { binding: number; data: Numbers }[];
  outputs: readonly WireOutput[];
  stopValues: readonly number[];
  /** Which elements decide whether to stop: every n-th, from the first. */
  stopEvery: number;
  token: number;
}

/** Bytes as the inside counts them. */
export interface InsideBytes {
  live: number;
  arena: number;
  regions: number;
  programs: number;
  programsLoaded: number;
}

/** Where a sequence's values go: a MessagePort, or an object like it in the same realm. */
export interface ValueSink {
  postMessage(value: Numbers, transfer: Transferable[]): void;
}

/** What the engine answers to. Calls queue in the order in which they arrive; `abort` is heard between slices. */
export interface EngineApi {
  start(setup: EngineSetup): Promise<EngineReport>;
  bytes(): Promise<InsideBytes>;
  allocate(variables: readonly WireVariable[], seed: number, token: number): Promise<void>;
  release(ids: readonly number[]): Promise<void>;
  /** Copies `data` into a variable from element `start` on. */
  write(id: number, data: WireNumbers, start: number): Promise<void>;
  /** A copy of the elements `start` … `end` − 1. */
  read(id: number, start: number, end: number): Promise<WireNumbers>;
  load(program: WireProgram): Promise<void>;
  unload(id: number): Promise<void>;
  run(calls: readonly WireCall[], token: number): Promise<Numbers[][]>;
  runSequence(sequence: WireSequence, sink: ValueSink): Promise<number>;
  setProfiling(on: boolean): Promise<void>;
  /** [instruction, ms, flops, idle ms, …] of the program run last. */
  profile(): Promise<Float64Array>;
  /** Microseconds that one meeting of all threads takes, as the mean of `rounds`. */
  barrierUs(rounds: number): Promise<number>;
  abort(token: number): Promise<void>;
}

/** What a worker or a thread tells the outside on its own channel, beside Comlink's messages. */
export type WorkerNote = { kind: 'ready'; protocol: number } | { kind: 'died'; error: PlainError; secondary: boolean };

/** The outside's only message to a thread: the port on which the engine will send it the memory. */
export interface JoinMessage {
  kind: 'join';
  port: MessagePort;
}

/** The engine's messages to a thread: first the memory, then, once the thread has joined and the engine is initialised, the word to begin. */
export type ThreadOrder = { kind: 'memory'; module: WebAssembly.Module; memory: WebAssembly.Memory } | { kind: 'begin'; tid: number };

/** A thread's answer to the memory. */
export type ThreadReply = { kind: 'joined' } | { kind: 'refused'; error: PlainError };

/** True for a message of ours, as against one of Comlink's, which has no `kind`. */
export function isNote(data: unknown): data is WorkerNote {
  return typeof data === 'object' && data !== null && 'kind' in data;
}
