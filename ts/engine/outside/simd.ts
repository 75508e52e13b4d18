// Which build an engine gets and how wide its vectors are: the `simd` option, V8's version and processor, and the flags of V8 that must be set first.
// The flags hold for the whole process, which is why the library sets them only when asked to, and the command line, whose process is its own, also by
// itself, on versions of V8 with a recorded differential run (../verified.ts).
import { type Build, chooseBuild, probeSimd, type SimdChoice } from '../build';
import type { Platform, V8Engine } from '../platform';
import { UNSAFE_256, VERIFIED_256, VERIFIED_RELAXED } from '../verified';
import type { EngineOptions, EngineWarning } from './types';

/** What to load. */
export interface SimdPlan {
  build: Build;
  vectorBits: 128 | 256;
  /** Why vectors are narrower than asked for. */
  reasons: string[];
  warning?: EngineWarning;
}

/** The lists of ../verified.ts. */
export interface Lists {
  verified256: Readonly<Record<string, unknown>>;
  verifiedRelaxed: Readonly<Record<string, unknown>>;
  unsafe256: Readonly<Record<string, string>>;
}

type Realm = Pick<Platform, 'v8'>;

const LISTS: Lists = { verified256: VERIFIED_256, verifiedRelaxed: VERIFIED_RELAXED, unsafe256: UNSAFE_256 };
const FLAG_256 = '--experimental-wasm-revectorize';
const FLAG_RELAXED = '--experimental-wasm-relaxed-simd';
/** The first V8 whose fusing was looked at, that of Node 24. Earlier ones have the flag without its effect, or not at all. */
const FIRST_256 = [13, 6];

/**
 * Decides, and sets the flags of V8 that the decision needs.
 * @throws FerroError UNSUPPORTED_RUNTIME where the wanted instructions are missing
 */
export function planSimd(options: EngineOptions, platform: Realm, lists: Lists = LISTS, probe: typeof probeSimd = probeSimd): SimdPlan {
  const choice = options.simd ?? 'auto';
  const { v8 } = platform;
  const asked = choice === 'relaxed' || choice === 'auto256';
  let warning: EngineWarning | undefined;
  if (asked && v8 !== undefined && hidesRelaxed(v8) && !probe().relaxed) {
    v8.setFlag(FLAG_RELAXED);
    if (!(v8.version in lists.verifiedRelaxed)) warning = unverified(choice, v8);
  }
  const build = chooseBuild(choice, probe());
  if (choice !== 'auto256') return { build, vectorBits: 128, reasons: [], warning };
  const obstacle = obstacle256(v8, lists) ?? obstacleOfModule(build, options);
  if (obstacle !== undefined || v8 === undefined) {
    return { build, vectorBits: 128, reasons: [`no 256-bit vectors: ${obstacle}`], warning };
  }
  v8.setFlag(FLAG_256);
  if (!(v8.version in lists.verified256)) warning = unverified(choice, v8);
  return { build, vectorBits: 256, reasons: [], warning };
}

/** What the command line takes where its user says nothing, and what it tells about it. */
export function commandLineSimd(
  platform: Realm,
  lists: Lists = LISTS,
  probe: typeof probeSimd = probeSimd,
): { simd: SimdChoice; hint?: string } {
  const { v8 } = platform;
  if (v8 === undefined) return { simd: 'auto' };
  if (hidesRelaxed(v8) && !probe().relaxed) {
    if (v8.arch === 'x64' && v8.version in lists.verifiedRelaxed) return { simd: 'relaxed' };
    return { simd: 'auto', hint: `--simd relaxed may be faster: it turns on V8's relaxed SIMD, unchecked on V8 ${v8.version} ${v8.arch}` };
  }
  if (obstacle256(v8, lists) !== undefined) return { simd: 'auto' };
  if (v8.version in lists.verified256) return { simd: 'auto256' };
  return { simd: 'auto', hint: `--simd auto256 may be twice as fast: it turns on V8's 256-bit vectors, unchecked on V8 ${v8.version}` };
}

/** Whether relaxed SIMD is there and behind a flag: V8 11.3, that of Node 20. */
function hidesRelaxed({ version }: V8Engine): boolean {
  return version.startsWith('11.3.');
}

/** Why this process cannot have 256-bit vectors. */
function obstacle256(v8: V8Engine | undefined, { unsafe256 }: Lists): string | undefined {
  if (v8 === undefined) return 'they need Node, where flags of V8 can be set';
  if (v8.arch !== 'x64') return `they need an x64 processor, this is ${v8.arch}`;
  const [major, minor] = v8.version.split('.').map(Number);
  if (major < FIRST_256[0] || (major === FIRST_256[0] && minor < FIRST_256[1]))
    return `they need V8 ${FIRST_256.join('.')} (Node 24) or newer, this is V8 ${v8.version}`;
  if (v8.version in unsafe256) return `V8 ${v8.version} is known to fail: ${unsafe256[v8.version]}`;
  return undefined;
}

/** Why these kernels cannot be compiled for them. */
function obstacleOfModule(build: Build, { wasmModule }: EngineOptions): string | undefined {
  if (build !== 'relaxed') return 'they need relaxed SIMD, which this engine does not have';
  if (wasmModule !== undefined) return 'wasmModule is compiled already; give wasmUrl instead';
  return undefined;
}

function unverified(choice: SimdChoice, { version }: V8Engine): EngineWarning {
  return {
    code: 'UNVERIFIED_V8',
    message: `simd "${choice}" turns on a flag of V8 ${version}, a version on which these kernels have not been compared bit by bit; its compiler may also fail`,
  };
}
