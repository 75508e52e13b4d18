// Puts together what an engine says about itself.
import manifest from '../../wasm/manifest.json';
import type { Build } from '../build';
import type { Platform } from '../platform';
import type { EngineReport } from '../protocol';
import type { ThreadPlan } from './options';
import type { SimdPlan } from './simd';
import type { EngineInfo, EngineOptions } from './types';

/** The hash of a build's file as the package's manifest has it. */
export function kernelHash(options: EngineOptions, build: Build): string {
  if (options.wasmUrl !== undefined || options.wasmModule !== undefined) return 'custom';
  return manifest.files[`kernels.${build}.wasm`].sha256;
}

/** The `info` of an engine that has started. */
export function describeEngine(
  options: EngineOptions,
  simd: SimdPlan,
  plan: ThreadPlan,
  report: EngineReport,
  platform: Platform,
): EngineInfo {
  return Object.freeze({
    threads: plan.threads,
    simd: options.simd ?? 'auto',
    build: simd.build,
    vectorBits: simd.vectorBits,
    registerTile: report.tile?.name ?? 'none',
    registerTiles: Object.freeze([...(report.tile?.measured ?? [])]),
    fused: report.fused,
    kernelHash: kernelHash(options, simd.build),
    isolated: platform.sharingObstacle() === undefined,
    worker: options.worker !== false,
    reasons: Object.freeze([...plan.reasons, ...simd.reasons]),
    runtime: platform.runtime,
    memoryLimitBytes: report.memoryLimitBytes,
  });
}
