// What `compile` makes and an engine loads: the words of program format 1 and the names of everything they refer to by number.
// This file holds types and constants only; encode.ts writes the words, decode.ts reads them, docs/architecture.md section 2 explains them.
import type { Shape } from './dims';
import type { DType, Variable } from './tensor';

/** 'FFPG' in little-endian bytes. */
export const PROGRAM_MAGIC = 0x47504646;
/** The format's version; a loader refuses any other. */
export const PROGRAM_VERSION = 1;
/** Words before the first table. */
export const HEADER_WORDS = 11;
/** Stands for an absent operand, extent or scalar. */
export const NONE = 0xffffffff;
/** Arena banks stay below 1 GiB: no single allocation or slice in Rust may reach 2 GiB, and a bank must fit between regions. */
export const BANK_LIMIT_BYTES = 2 ** 30 - 64;
/** Every buffer begins at a multiple of this. */
export const ALIGNMENT_BYTES = 64;
/** Numbers of operand dtypes. */
export const DTYPE_CODES = { f32: 0, i32: 1, f64: 2, q8: 3, bf16: 4 } as const;
/** Bytes per element; those of q8 and bf16 depend on the shape (`q8Bytes`, `bf16Bytes`). */
export const DTYPE_BYTES = { f32: 4, i32: 4, f64: 8 } as const;

/** What an operand region is: a variable's persistent memory, which a run may change (`written`), or a buffer (input, output, constant) owned by the loaded program. */
export type Binding =
  | { readonly kind: 'variable'; readonly variable: Variable; readonly written: boolean }
  | { readonly kind: 'buffer'; readonly sizeBytes: number; readonly data?: Float32Array | Int32Array };

/** A named input or output of a program. `shape` may hold extents; the buffer is sized for their maxima. */
export interface ProgramPort {
  readonly name: string;
  /** Index into `bindings`. */
  readonly binding: number;
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Known before anything runs. */
export interface ProgramPlan {
  /** Bytes of all arena banks. */
  readonly arenaBytes: number;
  readonly bankBytes: readonly number[];
  /** Bytes of inputs, outputs and constants. */
  readonly ioBytes: number;
  /** Floating-point operations of one run at the maximum extents. */
  readonly flops: number;
  readonly instructions: number;
  readonly stages: number;
}

/** A compiled graph: plain data, apart from the variables it names. */
export interface Program {
  readonly name: string;
  readonly words: Uint32Array<ArrayBuffer>;
  /** The order of a run's extents. */
  readonly extents: readonly { readonly name: string; readonly max: number }[];
  /** The order of a run's scalars. */
  readonly scalars: readonly string[];
  readonly bindings: readonly Binding[];
  readonly outputs: readonly ProgramPort[];
  readonly inputs: readonly ProgramPort[];
  readonly plan: ProgramPlan;
}
