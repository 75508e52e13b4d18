// What differs between Node and browsers, as one interface. platform.node.ts and platform.browser.ts implement it; package.json's
// imports entry "#platform" chooses. The inside's share (a worker's view of its parent) is in inside/realm.*.ts under "#realm".
import type { Endpoint } from 'comlink';
import type { Build } from './build';
import type { WorkerNote } from './protocol';

/** The two kinds of worker scripts. */
export type WorkerKind = 'worker' | 'thread';

/** A started worker, watched from outside. */
export interface WorkerHandle {
  /** What it is, for error texts: 'engine worker', 'thread 2'. */
  readonly name: string;
  /** The channel as Comlink wants it. */
  readonly endpoint: Endpoint;
  post(message: unknown, transfer: Transferable[]): void;
  /** Calls `onNote` for each of our own messages and `onEnd` once when the worker fails or ends, whoever ended it. */
  listen(onNote: (note: WorkerNote) => void, onEnd: (cause: Error) => void): void;
  /** Whether this worker keeps the process alive (Node; nothing in browsers). */
  setRef(keepAlive: boolean): void;
  /** Ends the worker now; resolves when it is gone. */
  terminate(): Promise<void>;
}

/** Where the wasm file comes from when not from beside the package's own files. */
export interface ModuleSource {
  wasmUrl?: string | URL;
  wasmModule?: WebAssembly.Module;
}

/** The V8 that Node runs on. Its flags hold for the whole process: every thread, every module compiled from then on. */
export interface V8Engine {
  /** `process.versions.v8`. */
  readonly version: string;
  /** `process.arch`. */
  readonly arch: string;
  setFlag(flag: string): void;
}

/** The platform of the caller's realm. */
export interface Platform {
  /** 'Node 24.1.0', or the browser's user agent. */
  readonly runtime: string;
  /** Where V8's flags can be set. */
  readonly v8?: V8Engine;
  /** Why memory cannot be shared with threads here, or undefined when it can. */
  sharingObstacle(): string | undefined;
  hardwareThreads(): number;
  /** Compiles the kernels of a build. With `wide` as a module of its own, since V8 keeps native code by a module's bytes whatever its flags were. */
  loadModule(build: Build, source: ModuleSource, wide: boolean): Promise<WebAssembly.Module>;
  /** Starts a worker script: the package's own, or the one at `url`. */
  spawn(kind: WorkerKind, name: string, url: string | URL | undefined): WorkerHandle;
  /** Lets the event loop turn once. */
  yieldToEventLoop(): Promise<void>;
}
