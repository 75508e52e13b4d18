// Checks the options of an engine and decides how many threads it gets, with the reasons when fewer than wanted.
import { FerroError } from '../../errors';
import { SIMD_CHOICES } from '../build';
import type { Platform } from '../platform';
import type { EngineOptions, EngineWarning } from './types';

/** More threads than this bring nothing to these kernels, and each costs a stack. */
const MAX_THREADS = 64;

/** Beyond eight threads barriers cost more than small models gain. */
const DEFAULT_MAX_THREADS = 8;

const OPTION_NAMES: readonly (keyof EngineOptions)[] = [
  'threads',
  'simd',
  'worker',
  'wasmUrl',
  'wasmModule',
  'workerUrl',
  'threadWorkerUrl',
  'maxMemoryBytes',
  'onWarning',
  'signal',
];

/** @throws FerroError UNKNOWN_OPTION, INVALID_OPTION */
export function checkOptions(options: EngineOptions): void {
  for (const name of Object.keys(options)) {
    if (!(OPTION_NAMES as readonly string[]).includes(name))
      throw new FerroError('UNKNOWN_OPTION', `Engine.start: options are ${OPTION_NAMES.join(', ')}, got "${name}"`);
  }
  const { threads, simd, worker, maxMemoryBytes, onWarning } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS))
    throw new FerroError('INVALID_OPTION', `Engine.start: threads must be an integer from 1 to ${MAX_THREADS}, got ${String(threads)}`);
  if (simd !== undefined && !SIMD_CHOICES.includes(simd))
    throw new FerroError('INVALID_OPTION', `Engine.start: simd must be one of ${SIMD_CHOICES.join(', ')}, got ${String(simd)}`);
  if (worker !== undefined && typeof worker !== 'boolean')
    throw new FerroError('INVALID_OPTION', `Engine.start: worker must be true or false, got ${String(worker)}`);
  if (maxMemoryBytes !== undefined && !(Number.isFinite(maxMemoryBytes) && maxMemoryBytes > 0))
    throw new FerroError('INVALID_OPTION', `Engine.start: maxMemoryBytes must be a positive number, got ${String(maxMemoryBytes)}`);
  if (onWarning !== undefined && typeof onWarning !== 'function')
    throw new FerroError('INVALID_OPTION', `Engine.start: onWarning must be a function, got ${typeof onWarning}`);
}

/** How many threads to start, and why fewer than asked for. */
export interface ThreadPlan {
  threads: number;
  reasons: string[];
  /** Whether the user should be warned: something outside the options reduced the threads. */
  warn: boolean;
}

/** Threads for these options on this platform. */
export function planThreads(options: EngineOptions, platform: Platform): ThreadPlan {
  const wanted = options.threads ?? Math.max(1, Math.min(platform.hardwareThreads(), DEFAULT_MAX_THREADS));
  if (wanted === 1) return { threads: 1, reasons: [], warn: false };
  if (options.worker === false) {
    return { threads: 1, reasons: ['worker: false runs on the calling thread alone'], warn: options.threads !== undefined };
  }
  const obstacle = platform.sharingObstacle();
  if (obstacle !== undefined) return { threads: 1, reasons: [obstacle], warn: true };
  return { threads: wanted, reasons: [], warn: false };
}

const warnedOnConsole = new Set<string>();

/** Gives a warning to `onWarning`, or once per code to the console. */
export function warn(warning: EngineWarning, onWarning: EngineOptions['onWarning']): void {
  if (onWarning !== undefined) {
    onWarning(warning);
    return;
  }
  if (warnedOnConsole.has(warning.code)) return;
  warnedOnConsole.add(warning.code);
  console.warn(`ferroformer: ${warning.message}`);
}
