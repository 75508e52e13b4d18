// The versions of V8 on which code that is off by default was found to give the same bits, each with the record of its differential run
// (scripts/differential-256.mjs). Only the command line's defaults read this list as a permission; the library, where all of this is opt-in, reads it to
// know whether to warn. A version is what `process.versions.v8` says, patch and all: a version that is not here has not been looked at.

/** One recorded run. */
export interface DifferentialRun {
  /** The Node that holds this V8. */
  readonly node: string;
  /** The day of the run. */
  readonly date: string;
  /** The record, in bench/record/. */
  readonly record: string;
}

type Runs = Readonly<Record<string, DifferentialRun>>;

/** x64, `--experimental-wasm-revectorize`: every function compiles, every kernel gives the bits of 128-bit code. */
export const VERIFIED_256: Runs = {
  '13.6.233.17-node.53': { node: '24.21.0', date: '2026-11-26', record: 'bench/record/differential-256-v8-13.6.233.17-node.53.json' },
  '14.6.202.34-node.34': { node: '26.10.0', date: '2026-11-26', record: 'bench/record/differential-256-v8-14.6.202.34-node.34.json' },
};

/** x64, `--experimental-wasm-relaxed-simd` (V8 11.3): every kernel gives the bits that the same file gives on a V8 that has relaxed SIMD by default. */
export const VERIFIED_RELAXED: Runs = {
  '11.3.244.8-node.38': { node: '20.20.2', date: '2026-11-26', record: 'bench/record/differential-relaxed-v8-11.3.244.8-node.38.json' },
};

/** Versions on which 256-bit vectors must not be turned on, with the reason. */
export const UNSAFE_256: Readonly<Record<string, string>> = {};
