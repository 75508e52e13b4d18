// Files as values: what a folder's writer takes and its reader gives, without any file system. The Node side is in ts/io/node.
import { FerroError, show } from '../errors';
import { parseJson } from '../json';

/** A file whose bytes are made while it is written, so that it is never in memory as a whole. It can be written more than once. */
export interface LazyFile {
  readonly sizeBytes: number;
  pieces(): AsyncIterable<Uint8Array>;
}

/** The contents of a file to write: text (UTF-8), bytes, a list of byte pieces, a Blob, or bytes that are made on the way. */
export type FileData = string | Uint8Array | readonly Uint8Array[] | Blob | LazyFile;

/** Random access to a file's bytes. */
export interface ByteSource {
  /** What the file is called in messages. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Bytes start … end − 1 as a copy the caller owns. @throws INVALID_FILE if the file has become shorter, FILE_ERROR */
  read(start: number, end: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** How much of a model's folder has been read. */
export interface FileProgress {
  /** The file that is being read. */
  name: string;
  /** Bytes read so far, of all files. */
  loadedBytes: number;
  /** Bytes of all files; undefined until all weight files are known. */
  totalBytes?: number;
}

export interface OpenOptions {
  signal?: AbortSignal;
  /** Told of bytes that are fetched before anybody reads them. */
  onBytes?: (bytes: number) => void;
}

/** A folder whose files are opened by name. */
export interface ReadableFolder {
  /** What the folder is called in messages. */
  readonly label: string;
  /** The file of that name; null if there is none. */
  open(name: string, options?: OpenOptions): Promise<ByteSource | null>;
  /** Whether there is such a file, without fetching it. */
  has(name: string, options?: OpenOptions): Promise<boolean>;
  /** What was found in place of a file that is not there, if that is worth telling. */
  whyAbsent?(name: string): string | undefined;
}

function isLazy(data: FileData): data is LazyFile {
  return typeof data === 'object' && 'pieces' in data;
}

/** Bytes of a file; of text at most. */
export function sizeOf(data: FileData): number {
  if (typeof data === 'string') return 3 * data.length;
  if (data instanceof Blob) return data.size;
  if (isLazy(data)) return data.sizeBytes;
  return data instanceof Uint8Array ? data.length : data.reduce((sum, piece) => sum + piece.length, 0);
}

/** The bytes of a file in pieces. */
export async function* pieces(data: FileData): AsyncGenerator<Uint8Array> {
  if (typeof data === 'string') yield new TextEncoder().encode(data);
  else if (data instanceof Uint8Array) yield data;
  else if (data instanceof Blob) {
    // By slices, not by blob.stream(): a reader that stops early then leaves no stream behind.
    const step = 1 << 22;
    for (let at = 0; at < data.size; at += step) yield new Uint8Array(await data.slice(at, at + step).arrayBuffer());
  } else if (isLazy(data)) yield* data.pieces();
  else yield* data;
}

/** A file as a Blob. Bytes are copied, also out of shared memory, which a Blob cannot hold. */
export async function toBlob(data: FileData): Promise<Blob> {
  if (data instanceof Blob) return data;
  const parts: BlobPart[] = [];
  // A Blob for each piece: a browser may put it on its disk while the next one is made.
  for await (const piece of pieces(data)) parts.push(new Blob([(piece.buffer instanceof ArrayBuffer ? piece : piece.slice()) as BlobPart]));
  return new Blob(parts);
}

/** Files as Blobs: what `model.toFiles()` gives. */
export async function toBlobs(files: ReadonlyMap<string, FileData>): Promise<Map<string, Blob>> {
  const blobs = new Map<string, Blob>();
  for (const [name, data] of files) blobs.set(name, await toBlob(data));
  return blobs;
}

/** Random access to bytes, text or a Blob that exist already. */
export async function sourceOf(name: string, data: FileData): Promise<ByteSource> {
  const blob = await toBlob(data);
  return {
    name,
    sizeBytes: blob.size,
    async read(start, end) {
      if (start < 0 || end < start || end > blob.size) throw shortFile(name, end, blob.size);
      try {
        return new Uint8Array(await blob.slice(start, end).arrayBuffer());
      } catch (cause) {
        // A File of a page whose file was changed or removed after it was chosen.
        throw new FerroError('FILE_ERROR', `${name}: must be readable, got ${(cause as Error).message}`, { cause });
      }
    },
    close: () => Promise.resolve(),
  };
}

/** The error for a file that ends before what is to be read. */
export function shortFile(name: string, wanted: number, sizeBytes: number): FerroError {
  return new FerroError('INVALID_FILE', `${name}: must have at least ${wanted} bytes, got ${sizeBytes}`);
}

/** A malformed file inside a checkpoint makes a malformed checkpoint: INVALID_FILE and INVALID_DTYPE become INVALID_CHECKPOINT with it as cause; others stay. */
export function checkpointError(error: unknown): unknown {
  const malformed = error instanceof FerroError && (error.code === 'INVALID_FILE' || error.code === 'INVALID_DTYPE');
  return malformed ? new FerroError('INVALID_CHECKPOINT', error.message, { cause: error }) : error;
}

/** A file's whole text. @throws INVALID_FILE if it is not UTF-8 or larger than `limitBytes` (a small file is expected). */
export async function readTextFile(source: ByteSource, limitBytes = 1 << 28): Promise<string> {
  if (source.sizeBytes > limitBytes) {
    throw new FerroError('INVALID_FILE', `${source.name}: must be at most ${limitBytes} bytes, got ${source.sizeBytes}`);
  }
  const bytes = await source.read(0, source.sizeBytes);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FerroError('INVALID_FILE', `${source.name}: must be UTF-8, got other bytes`, { cause });
  }
}

/** The text of a small file in a folder; null if there is none. The file is closed again. */
export async function readFolderText(folder: ReadableFolder, name: string, options?: OpenOptions): Promise<string | null> {
  const source = await folder.open(name, options);
  if (source === null) return null;
  try {
    return await readTextFile(source);
  } finally {
    await source.close();
  }
}

/** Parses a JSON file's text into an object. @throws INVALID_FILE naming the file */
export function parseJsonObject(name: string, text: string): Map<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw new FerroError('INVALID_FILE', `${name}: must be JSON, got ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FerroError('INVALID_FILE', `${name}: must be a JSON object, got ${Array.isArray(value) ? 'a list' : show(value)}`);
  }
  // A Map: a key such as "__proto__" is then only a key.
  return new Map(Object.entries(value));
}
