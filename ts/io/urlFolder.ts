// A folder of a web server. A file is one response that is consumed as it arrives, in the order in which its tensors are read; reading elsewhere asks for
// a range, and where the server knows no ranges it starts again. One response is open at a time, so that many shards hold no connections.
import { FerroError, throwIfAborted } from '../errors';
import { type ByteSource, type OpenOptions, type ReadableFolder, shortFile, sourceOf } from './files';

/** Bytes that are rather read and dropped than skipped by a new request. */
const DROP_BYTES = 1 << 20;

/** The responses of one folder: at most one is open. */
class Connection {
  readonly #fetch: typeof fetch;
  #open: RemoteFile | undefined;

  constructor(fetchFile: typeof fetch) {
    this.#fetch = fetchFile;
  }

  /** The answer to a request, whatever its status. @throws FILE_ERROR, ABORTED */
  async request(url: URL, init: RequestInit): Promise<Response> {
    try {
      return await this.#fetch(url, init);
    } catch (cause) {
      throwIfAborted(init.signal ?? undefined, 'fetch');
      throw new FerroError('FILE_ERROR', `${url.href}: must be reachable, got ${reasonOf(cause)}`, { cause });
    }
  }

  /** Makes `file` the one whose response is open. */
  async take(file: RemoteFile | undefined): Promise<void> {
    const before = this.#open;
    this.#open = file;
    if (before !== undefined && before !== file) await before.release();
  }

  /** `file` has no open response any more. */
  drop(file: RemoteFile): void {
    if (this.#open === file) this.#open = undefined;
  }
}

/** What went wrong; Node hides it in the cause of "fetch failed". */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== '' ? `${message} (${cause.message})` : message;
}

/** The length of a response's body in bytes; undefined where it is not known (chunked, or packed: then the length is that of the packed bytes). */
function lengthOf(response: Response): number | undefined {
  const length = response.headers.get('content-length');
  if (length === null || (response.headers.get('content-encoding') ?? 'identity') !== 'identity') return undefined;
  return /^\d+$/.test(length) ? Number(length) : undefined;
}

/** A file on a server: its bytes are consumed as they arrive. Reads are served one after the other. */
class RemoteFile implements ByteSource {
  readonly name: string;
  readonly sizeBytes: number;
  readonly #connection: Connection;
  readonly #url: URL;
  readonly #signal: AbortSignal | undefined;
  readonly #tag: string | null;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Where in the file the reader is, and what it gave that has not been used. */
  #at = 0;
  #rest = new Uint8Array(0);
  #ranges = true;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, url: URL, response: Response, sizeBytes: number, signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.#url = url;
    this.#signal = signal;
    this.name = url.href;
    this.sizeBytes = sizeBytes;
    this.#tag = response.headers.get('etag');
    this.#reader = response.body?.getReader();
  }

  read(start: number, end: number): Promise<Uint8Array> {
    const reading = this.#turn.then(() => this.#read(start, end));
    this.#turn = reading.catch(() => undefined);
    return reading;
  }

  async close(): Promise<void> {
    this.#connection.drop(this);
    await this.release();
  }

  /** Ends the response; a later read asks again. */
  async release(): Promise<void> {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#rest = new Uint8Array(0);
    await reader?.cancel().catch(() => undefined);
  }

  async #read(start: number, end: number): Promise<Uint8Array> {
    if (start < 0 || end < start || end > this.sizeBytes) throw shortFile(this.name, end, this.sizeBytes);
    if (start === end) return new Uint8Array(0);
    try {
      await this.#connection.take(this);
      const behind = start < this.#at;
      const far = this.#ranges && start - this.#at > DROP_BYTES;
      if (this.#reader === undefined || behind || far) await this.#ask(start);
      while (this.#at < start) this.#use(Math.min(start - this.#at, (await this.#some()).length));
      return await this.#fill(new Uint8Array(end - start));
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  async #fill(bytes: Uint8Array): Promise<Uint8Array> {
    for (let filled = 0; filled < bytes.length; ) {
      const piece = (await this.#some()).subarray(0, bytes.length - filled);
      bytes.set(piece, filled);
      filled += piece.length;
      this.#use(piece.length);
    }
    return bytes;
  }

  /** Bytes at the current position, at least one. @throws FILE_ERROR where the response ends or breaks off */
  async #some(): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const next = await this.#reader!.read().catch((cause: unknown) => {
        throwIfAborted(this.#signal, 'fetch');
        throw this.#error(`must arrive whole, got ${reasonOf(cause)} after ${this.#at} of ${this.sizeBytes} bytes`, cause);
      });
      if (next.done) throw this.#error(`must have the ${this.sizeBytes} bytes announced, got ${this.#at}`);
      this.#rest = next.value as Uint8Array<ArrayBuffer>;
    }
    return this.#rest;
  }

  #use(bytes: number): void {
    this.#rest = this.#rest.subarray(bytes);
    this.#at += bytes;
  }

  /** Begins a new response at `start`, or at 0 where the server knows no ranges. */
  async #ask(start: number): Promise<void> {
    await this.release();
    const headers: HeadersInit = start > 0 && this.#ranges ? { range: `bytes=${start}-` } : {};
    const response = await this.#connection.request(this.#url, { headers, signal: this.#signal });
    const partial = response.status === 206;
    const length = lengthOf(response);
    const expected = partial ? this.sizeBytes - start : this.sizeBytes;
    const tag = response.headers.get('etag');
    const problem = !response.ok
      ? `must be served with status 200 or 206, got ${response.status} ${response.statusText}`
      : (length !== undefined && length !== expected) || (tag ?? this.#tag) !== (this.#tag ?? tag)
        ? 'must stay the same while it is read, got another version'
        : undefined;
    if (problem !== undefined) {
      await response.body?.cancel();
      throw this.#error(problem);
    }
    if (start > 0 && !partial) this.#ranges = false;
    this.#reader = response.body?.getReader();
    this.#at = partial ? start : 0;
  }

  #error(rule: string, cause?: unknown): FerroError {
    return new FerroError('FILE_ERROR', `${this.name}: ${rule}`, { cause });
  }
}

/** Reads a response of unknown length to its end. The parts go into Blobs, which a browser may keep on disk. */
async function download(url: URL, response: Response, { signal, onBytes }: OpenOptions): Promise<ByteSource> {
  const parts: Blob[] = [];
  let loadedBytes = 0;
  const reader = response.body?.getReader();
  try {
    for (let piece = await reader?.read(); piece !== undefined && !piece.done; piece = await reader?.read()) {
      parts.push(new Blob([piece.value as BlobPart]));
      loadedBytes += piece.value.length;
      onBytes?.(piece.value.length);
    }
  } catch (cause) {
    throwIfAborted(signal, 'fetch');
    throw new FerroError('FILE_ERROR', `${url.href}: must arrive whole, got ${reasonOf(cause)} after ${loadedBytes} bytes`, { cause });
  }
  return sourceOf(url.href, new Blob(parts));
}

/**
 * A folder of a web server. Files are asked for as any page asks for them, so the browser's cache and the server's rules for it apply. A missing file may be
 * answered with 404 or 410, or with a web page, as servers of single-page applications do. `fetchFile` can be replaced for tests.
 */
export function urlFolder(url: string | URL, fetchFile: typeof fetch = (...request) => fetch(...request)): ReadableFolder {
  const base = new URL(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const connection = new Connection(fetchFile);
  const reasons = new Map<string, string>();
  /** The response to a request for an existing file, or null. */
  const find = async (name: string, method: 'GET' | 'HEAD', signal: AbortSignal | undefined): Promise<Response | null> => {
    const file = fileUrl(base, name);
    await connection.take(undefined);
    const response = await connection.request(file, { method, signal });
    const page = /^text\/html\b/i.test(response.headers.get('content-type') ?? '');
    if (response.ok && !page) return response;
    await response.body?.cancel();
    const absent = response.status === 404 || response.status === 410;
    if (!response.ok && !absent) {
      const got = `${response.status} ${response.statusText}`.trim();
      throw new FerroError('FILE_ERROR', `${file.href}: must be served with status 200, got ${got}`);
    }
    reasons.set(name, absent ? `status ${response.status}` : `a web page (text/html) from ${response.url || file.href}`);
    return null;
  };
  return {
    label: base.href.replace(/\/$/, ''),
    async open(name, options = {}) {
      const response = await find(name, 'GET', options.signal);
      if (response === null) return null;
      const file = fileUrl(base, name);
      const sizeBytes = lengthOf(response);
      if (sizeBytes === undefined || response.body === null) return download(file, response, options);
      const remote = new RemoteFile(connection, file, response, sizeBytes, options.signal);
      await connection.take(remote);
      return remote;
    },
    async has(name, options = {}) {
      const response = await find(name, 'HEAD', options.signal);
      await response?.body?.cancel();
      return response !== null;
    },
    whyAbsent: (name) => reasons.get(name),
  };
}

/** The file's address below the folder's; a query of the folder's address (a key, a version) goes to every file. */
function fileUrl(base: URL, name: string): URL {
  const file = new URL(encodeURIComponent(name), base);
  file.search = base.search;
  return file;
}
