// Reads the options of an engine and decides how many threads it gets, with the reasons when fewer than wanted.
import { ENGINE_OPTIONS, readOptions } from '../../options';
import type { Platform } from '../platform';
import type { EngineOptions, EngineWarning } from './types';

/** Beyond eight threads barriers cost more than small models gain. */
const DEFAULT_MAX_THREADS = 8;

/** The options under their own names. @throws FerroError UNKNOWN_OPTION, INVALID_OPTION */
export function readEngineOptions(options: EngineOptions): EngineOptions {
  return readOptions('Engine.start', options, ENGINE_OPTIONS, { defaults: false }) as EngineOptions;
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
