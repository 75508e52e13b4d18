// Puts together what an engine says about itself.
import manifest from '../../wasm/manifest.json';
import type { Build } from '../build';
import type { Platform } from '../platform';
import type { EngineReport } from '../protocol';
import type { ThreadPlan } from './options';
import type { EngineInfo, EngineOptions } from './types';

/** The hash of a build's file as the package's manifest has it. */
function kernelHash(options: EngineOptions, build: Build): string {
  if (options.wasmUrl !== undefined || options.wasmModule !== undefined) return 'custom';
  return manifest.files[`kernels.${build}.wasm`].sha256;
}

/** The `info` of an engine that has started. */
export function describeEngine(
  options: EngineOptions,
  build: Build,
  plan: ThreadPlan,
  report: EngineReport,
  platform: Platform,
): EngineInfo {
  return Object.freeze({
    threads: plan.threads,
    simd: options.simd ?? 'auto',
    build,
    fused: report.fused,
    kernelHash: kernelHash(options, build),
    isolated: platform.sharingObstacle() === undefined,
    worker: options.worker !== false,
    reasons: Object.freeze([...plan.reasons]),
    runtime: platform.runtime,
    memoryLimitBytes: report.memoryLimitBytes,
  });
}
