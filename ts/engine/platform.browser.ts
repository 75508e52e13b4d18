// The platform of the caller's realm in a browser (a page or a worker of it). Touches no global before it is used, so that importing the
// package on a server is harmless.
import type { Build } from './build';
import { yieldToEventLoop } from './inside/realm.browser';
import type { ModuleSource, Platform, WorkerHandle, WorkerKind } from './platform';
import { isNote, type WorkerNote } from './protocol';

/** The kernels beside the bundled file; one literal each, which is what bundlers look for. */
function assetUrl(build: Build): URL {
  switch (build) {
    case 'simd128':
      return new URL('./kernels.simd128.wasm', import.meta.url);
    case 'relaxed':
      return new URL('./kernels.relaxed.wasm', import.meta.url);
  }
}

/** Compiles while loading; a server that sends the wrong MIME type costs a second step, not the start. */
async function compile(url: string | URL): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.url}: HTTP status ${response.status}`);
  if (response.headers.get('content-type')?.startsWith('application/wasm')) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

class BrowserWorker implements WorkerHandle {
  readonly name: string;
  readonly endpoint: Worker;

  constructor(worker: Worker, name: string) {
    this.endpoint = worker;
    this.name = name;
  }

  post(message: unknown, transfer: Transferable[]): void {
    this.endpoint.postMessage(message, transfer);
  }

  listen(onNote: (note: WorkerNote) => void, onEnd: (cause: Error) => void): void {
    this.endpoint.addEventListener('message', ({ data }) => {
      if (isNote(data)) onNote(data);
    });
    this.endpoint.addEventListener('error', (event) => {
      event.preventDefault();
      // An error without a text is a script that did not load.
      onEnd(new Error(`${this.name} failed: ${event.message || 'its script did not load'}`, { cause: event.error ?? undefined }));
    });
    this.endpoint.addEventListener('messageerror', () => onEnd(new Error(`${this.name} sent what cannot be read`)));
  }

  setRef(): void {}

  terminate(): Promise<void> {
    this.endpoint.terminate();
    return Promise.resolve();
  }
}

/** Starts a script; the literals are what bundlers look for. */
function startWorker(kind: WorkerKind, name: string, url: string | URL | undefined): Worker {
  try {
    if (url !== undefined) return new Worker(url, { type: 'module', name });
    if (kind === 'worker') return new Worker(new URL('./worker.browser.js', import.meta.url), { type: 'module', name: 'engine worker' });
    return new Worker(new URL('./thread.browser.js', import.meta.url), { type: 'module', name: 'thread' });
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'SecurityError')) throw error;
    return startFromBlob(new URL(url ?? scriptName(kind), url === undefined ? import.meta.url : location.href), name);
  }
}

/** Not literal in the URL above, so that bundlers emit no second copy. */
function scriptName(kind: WorkerKind): string {
  return `./${kind}.browser.js`;
}

/** A script of another origin (a CDN) cannot be a worker, but a worker of ours can import it. */
function startFromBlob(script: URL, name: string): Worker {
  const blob = URL.createObjectURL(new Blob([`import ${JSON.stringify(script.href)};`], { type: 'text/javascript' }));
  try {
    return new Worker(blob, { type: 'module', name });
  } finally {
    URL.revokeObjectURL(blob);
  }
}

export const platform: Platform = {
  get runtime() {
    return typeof navigator === 'undefined' ? 'unknown' : navigator.userAgent;
  },
  sharingObstacle() {
    if (typeof SharedArrayBuffer === 'undefined' || !globalThis.crossOriginIsolated)
      return 'this page is not cross-origin isolated (it needs the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp)';
    return undefined;
  },
  hardwareThreads: () => navigator.hardwareConcurrency || 1,
  async loadModule(build: Build, source: ModuleSource): Promise<WebAssembly.Module> {
    return source.wasmModule ?? compile(source.wasmUrl ?? assetUrl(build));
  },
  spawn: (kind, name, url) => new BrowserWorker(startWorker(kind, name, url), name),
  yieldToEventLoop,
};
