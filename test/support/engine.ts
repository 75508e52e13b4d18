// The engine that the tests of the built package share: its kernel build and number of threads come from the environment, so that scripts/test.mjs can run
// every test on each. Not for tests that are about a particular build or number of threads.
import { Engine } from 'ferroformer';

/** `portable` for the plain simd128 build, `relaxed` for the one with relaxed instructions. */
export const SIMD = readBuild(process.env.FERRO_BUILD ?? 'simd128');
/** Compute threads, 1 to 64. */
export const THREADS = Number(process.env.FERRO_THREADS ?? '2');

function readBuild(build: string): 'portable' | 'relaxed' {
  if (build === 'simd128') return 'portable';
  if (build === 'relaxed') return 'relaxed';
  throw new Error(`FERRO_BUILD must be simd128 or relaxed, got ${build}`);
}

/** Starts an engine of the build and the number of threads that this test run is about; the test closes it. */
export function startEngine(options: Parameters<typeof Engine.start>[0] = {}): ReturnType<typeof Engine.start> {
  return Engine.start({ threads: THREADS, simd: SIMD, ...options });
}
