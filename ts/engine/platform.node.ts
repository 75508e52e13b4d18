// The platform of the caller's realm in Node: worker_threads, the file system for the kernels, setImmediate.
import { access, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { Endpoint } from 'comlink';
import { yieldToEventLoop } from '#realm';
import type { Build } from './build';
import type { ModuleSource, Platform, WorkerHandle, WorkerKind } from './platform';
import { isNote, type WorkerNote } from './protocol';

/** The place of the kernels: beside the bundled file, or, when the sources run as they are (tests), in ts/wasm. */
async function assetUrl(build: Build): Promise<URL> {
  const name = `kernels.${build}.wasm`;
  const beside = new URL(`./${name}`, import.meta.url);
  const inSources = new URL(`../wasm/${name}`, import.meta.url);
  const exists = (url: URL) =>
    access(url).then(
      () => true,
      () => false,
    );
  return !(await exists(beside)) && (await exists(inSources)) ? inSources : beside;
}

async function readBytes(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  if (url.protocol === 'file:') return new Uint8Array(await readFile(url));
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href}: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** An empty custom section "ferroformer.256": it changes nothing but the bytes. */
const WIDE_SECTION = (() => {
  const name = new TextEncoder().encode('ferroformer.256');
  return [0, name.length + 1, name.length, ...name];
})();

function withWideSection(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const longer = new Uint8Array(bytes.length + WIDE_SECTION.length);
  longer.set(bytes);
  longer.set(WIDE_SECTION, bytes.length);
  return longer;
}

/** Others have their own V8 or none, and say that they are Node. */
function isNode(): boolean {
  return !['bun', 'deno', 'electron'].some((name) => name in process.versions);
}

/** A URL from an option: a URL, its text, or a path. */
function toUrl(value: string | URL): URL {
  if (value instanceof URL) return value;
  return URL.canParse(value) ? new URL(value) : new URL(value, `file://${process.cwd()}/`);
}

class NodeWorker implements WorkerHandle {
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly #worker: Worker;

  constructor(worker: Worker, name: string) {
    this.#worker = worker;
    this.name = name;
    this.endpoint = nodeEndpoint(worker);
  }

  post(message: unknown, transfer: Transferable[]): void {
    this.#worker.postMessage(message, transfer as Parameters<Worker['postMessage']>[1]);
  }

  listen(onNote: (note: WorkerNote) => void, onEnd: (cause: Error) => void): void {
    this.#worker.on('message', (data: unknown) => {
      if (isNote(data)) onNote(data);
    });
    this.#worker.on('error', (error) => onEnd(new Error(`${this.name} failed: ${describe(error)}`, { cause: error })));
    this.#worker.on('messageerror', (error) =>
      onEnd(new Error(`${this.name} sent what cannot be read: ${describe(error)}`, { cause: error })),
    );
    this.#worker.on('exit', (code) => onEnd(new Error(`${this.name} ended with exit code ${code}`)));
  }

  setRef(keepAlive: boolean): void {
    if (keepAlive) this.#worker.ref();
    else this.#worker.unref();
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Comlink speaks the browser's dialect of events; a Worker of Node emits its own. */
function nodeEndpoint(worker: Worker): Endpoint {
  const listeners = new Map<EventListenerOrEventListenerObject, (data: unknown) => void>();
  return {
    postMessage: (message, transfer) => worker.postMessage(message, transfer as Parameters<Worker['postMessage']>[1]),
    addEventListener: (_type, listener) => {
      const onMessage = (data: unknown) => {
        const event = { data } as MessageEvent;
        if (typeof listener === 'function') listener(event);
        else listener.handleEvent(event);
      };
      listeners.set(listener, onMessage);
      worker.on('message', onMessage);
    },
    removeEventListener: (_type, listener) => {
      const onMessage = listeners.get(listener);
      if (onMessage !== undefined) worker.off('message', onMessage);
      listeners.delete(listener);
    },
  };
}

/** Starts a script; the literals are what bundlers look for. */
function startWorker(kind: WorkerKind, name: string, url: string | URL | undefined): Worker {
  const named = { name: `ferroformer ${name}` };
  if (url !== undefined) return new Worker(toUrl(url), named);
  // Our own scripts need none of the caller's flags, and some flags (--input-type with -e) would keep them from starting.
  const options = { ...named, execArgv: [] };
  if (kind === 'worker') return new Worker(new URL('./worker.node.js', import.meta.url), options);
  return new Worker(new URL('./thread.node.js', import.meta.url), options);
}

export const platform: Platform = {
  runtime: `Node ${process.versions.node}`,
  v8: isNode() ? { version: process.versions.v8, arch: process.arch, setFlag: (flag) => setFlagsFromString(flag) } : undefined,
  sharingObstacle: () => undefined,
  hardwareThreads: () => availableParallelism(),
  async loadModule(build: Build, source: ModuleSource, wide: boolean): Promise<WebAssembly.Module> {
    if (source.wasmModule !== undefined) return source.wasmModule;
    const url = source.wasmUrl === undefined ? await assetUrl(build) : toUrl(source.wasmUrl);
    const bytes = await readBytes(url);
    return WebAssembly.compile(wide ? withWideSection(bytes) : bytes);
  },
  spawn: (kind, name, url) => new NodeWorker(startWorker(kind, name, url), name),
  yieldToEventLoop,
};
