// What the host needs of an engine, whether it runs in workers (workers.ts) or in the calling thread (inThread.ts).
import type { Platform } from '../platform';
import type { EngineApi, EngineReport, TileChoice } from '../protocol';

/** What to start. */
export interface ConnectionRequest {
  platform: Platform;
  module: WebAssembly.Module;
  threads: number;
  workerUrl?: string | URL;
  threadWorkerUrl?: string | URL;
  maxMemoryBytes?: number;
  tile?: TileChoice;
  signal?: AbortSignal;
}

/** A started engine. */
export interface Connection {
  readonly api: EngineApi;
  readonly report: EngineReport;
  /** Workers alive while the connection is. */
  readonly workers: number;
  /** Set by the host: told once when the engine ends by itself, with what ended it. */
  onDeath: (cause: Error) => void;
  /** A call failed in a way that ends the engine. With `secondary` its cause lies elsewhere and may still be on its way. */
  reportDeath(cause: Error, secondary: boolean): void;
  /** Asks the call with this token to stop. */
  abort(token: number): void;
  /** Whether calls are in flight: a busy engine keeps Node alive. */
  setBusy(busy: boolean): void;
  /** Ends the engine now, without a report. */
  terminate(): Promise<void>;
}

/** A start that could not give memory to threads: the host tries again with one. */
export class SharingRefused extends Error {
  override readonly name = 'SharingRefused';
}
