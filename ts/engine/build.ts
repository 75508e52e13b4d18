// Which build of the kernels this JavaScript engine can run. An engine validates a module as a whole, so each instruction set is a file of
// its own; asking is done with tiny modules that use one instruction. This file chooses; platform.*.ts loads.
import { FerroError } from '../errors';

/** The files that exist: kernels.simd128.wasm and kernels.relaxed.wasm. */
export type Build = 'simd128' | 'relaxed';

/** The `simd` option. 'portable' gives the same bits on every engine and processor; 'auto256' is 'auto' with 256-bit vectors where V8 can (simd.ts). */
export type SimdChoice = 'auto' | 'portable' | 'relaxed' | 'auto256';

/** All values of the `simd` option. */
export const SIMD_CHOICES: readonly SimdChoice[] = ['auto', 'portable', 'relaxed', 'auto256'];

// The header of both probes: magic, version; type section: one type () -> (); function section: one function of it.
const HEADER = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0];

// (module (func
//   i32.const 0  i8x16.splat  drop))
const SIMD128 = [...HEADER, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11];

// (module (func
//   i32.const 0  i8x16.splat  i32.const 0  i8x16.splat  i32.const 0  i8x16.splat  f32x4.relaxed_madd  drop))
const RELAXED = [...HEADER, 10, 20, 1, 18, 0, 65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 26, 11];

/** What this JavaScript engine accepts. */
export interface SimdSupport {
  simd128: boolean;
  relaxed: boolean;
}

/** Asks the engine by validating the probes. */
export function probeSimd(): SimdSupport {
  return { simd128: WebAssembly.validate(Uint8Array.from(SIMD128)), relaxed: WebAssembly.validate(Uint8Array.from(RELAXED)) };
}

/**
 * The build for a choice: 'auto' and 'auto256' take the relaxed one where it is valid, 'portable' always simd128.
 * @throws FerroError UNSUPPORTED_RUNTIME where the wanted instructions are missing.
 */
export function chooseBuild(choice: SimdChoice, support: SimdSupport = probeSimd()): Build {
  if (!support.simd128) throw new FerroError('UNSUPPORTED_RUNTIME', 'Engine.start: WebAssembly SIMD is required, got an engine without it');
  switch (choice) {
    case 'auto':
    case 'auto256':
      return support.relaxed ? 'relaxed' : 'simd128';
    case 'portable':
      return 'simd128';
    case 'relaxed':
      if (support.relaxed) return 'relaxed';
      throw new FerroError(
        'UNSUPPORTED_RUNTIME',
        'Engine.start: simd "relaxed" needs relaxed SIMD, which this JavaScript engine does not have',
      );
  }
}
