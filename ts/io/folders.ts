// Folders that need no file system: files in memory, File objects a user chose, a directory handle of a browser, a URL. Node's folder of a path is in
// ts/io/node/nodeFolder.ts.
import { FerroError, throwIfAborted } from '../errors';
import { type ByteSource, type FileData, type OpenOptions, type ReadableFolder, sourceOf } from './files';

/** Files in memory, for example what `model.toFiles()` gave. */
export function memoryFolder(files: ReadonlyMap<string, FileData>, label = 'files'): ReadableFolder {
  return {
    label,
    open: (name) => (files.has(name) ? sourceOf(name, files.get(name)!) : Promise.resolve(null)),
    has: (name) => Promise.resolve(files.has(name)),
  };
}

/** File objects, as `<input type="file" multiple>` or a drop gives them; of a chosen folder only the files directly in it count. */
export function fileListFolder(files: Iterable<File>): ReadableFolder {
  const byName = new Map<string, FileData>();
  for (const file of files) {
    const path = (file.webkitRelativePath ?? '').split('/');
    if (path.length <= 2 && !byName.has(file.name)) byName.set(file.name, file);
  }
  return memoryFolder(byName, 'files');
}

/** The part of FileSystemDirectoryHandle that is used. */
export interface DirectoryHandle {
  readonly name: string;
  getFileHandle(name: string): Promise<{ getFile(): Promise<File> }>;
}

/** A directory handle of the File System API (a folder the user picked, or one of the origin's private file system). */
export function handleFolder(handle: DirectoryHandle): ReadableFolder {
  const find = async (name: string): Promise<File | null> => {
    try {
      return await (await handle.getFileHandle(name)).getFile();
    } catch (cause) {
      const kind = (cause as Error).name;
      if (kind === 'NotFoundError' || kind === 'TypeMismatchError') return null;
      throw new FerroError('FILE_ERROR', `${handle.name}/${name}: must be readable, got ${kind}`, { cause });
    }
  };
  return {
    label: handle.name,
    async open(name) {
      const file = await find(name);
      return file === null ? null : sourceOf(name, file);
    },
    has: async (name) => (await find(name)) !== null,
  };
}

/** A folder of a web server: each file is fetched whole, once it is opened. `fetch` can be replaced for tests. */
export function urlFolder(url: string | URL, fetchFile: typeof fetch = fetch): ReadableFolder {
  const base = new URL(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const request = async (name: string, method: 'GET' | 'HEAD', signal: AbortSignal | undefined): Promise<Response | null> => {
    const file = new URL(name, base);
    const response = await fetchFile(file, { method, signal }).catch((cause: unknown) => {
      throwIfAborted(signal, 'fetch');
      throw new FerroError('FILE_ERROR', `${file.href}: must be reachable, got ${(cause as Error).message}`, { cause });
    });
    if (response.ok) return response;
    await response.body?.cancel();
    if (response.status === 404 || response.status === 410) return null;
    throw new FerroError('FILE_ERROR', `${file.href}: must be served with status 200, got ${response.status} ${response.statusText}`);
  };
  return {
    label: base.href.replace(/\/$/, ''),
    async open(name, options = {}) {
      const response = await request(name, 'GET', options.signal);
      return response === null ? null : download(name, response, options);
    },
    has: async (name, options = {}) => (await request(name, 'HEAD', options.signal)) !== null,
  };
}

/** Reads a response to its end. The parts go into a Blob, which a browser may keep on disk. */
async function download(name: string, response: Response, { signal, onProgress }: OpenOptions): Promise<ByteSource> {
  // With a content encoding the length is that of the packed bytes, which says nothing about what arrives here.
  const length =
    response.headers.get('content-encoding') === null ? Number(response.headers.get('content-length') ?? Number.NaN) : Number.NaN;
  const totalBytes = Number.isFinite(length) ? length : undefined;
  const parts: BlobPart[] = [];
  let loadedBytes = 0;
  const reader = response.body?.getReader();
  try {
    for (let piece = await reader?.read(); piece !== undefined && !piece.done; piece = await reader?.read()) {
      parts.push(piece.value);
      loadedBytes += piece.value.length;
      onProgress?.({ name, loadedBytes, totalBytes });
    }
  } catch (cause) {
    throwIfAborted(signal, 'fetch');
    throw new FerroError(
      'FILE_ERROR',
      `${response.url || name}: must arrive whole, got ${(cause as Error).message} after ${loadedBytes} bytes`,
      { cause },
    );
  }
  if (totalBytes !== undefined && totalBytes !== loadedBytes) {
    throw new FerroError('FILE_ERROR', `${response.url || name}: must have the ${totalBytes} bytes announced, got ${loadedBytes}`);
  }
  return sourceOf(name, new Blob(parts));
}
