// The few file operations that saving needs, as an interface with Node's implementation: small steps, so that a test can make any single one fail.
// Modules of this folder can be loaded anywhere; without Node the first operation is a typed error.
import { FerroError } from '../../errors';

/** A file being written. */
export interface WriteHandle {
  /** Appends all the bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Waits until what was written is on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A file being read. */
export interface ReadHandle {
  /** Bytes start … end − 1; fewer where the file ends before. */
  read(start: number, end: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface FileStat {
  isFolder: boolean;
  sizeBytes: number;
}

/** File operations on absolute paths. They throw Node's errors as they are (`code` ENOENT, ENOSPC …). */
export interface FileSystem {
  /** Makes the folder and those above it; nothing happens if it exists. */
  makeFolder(path: string): Promise<void>;
  /** A new file; fails with EEXIST if there is one. */
  create(path: string): Promise<WriteHandle>;
  /** A file whose every write goes to its end, made if there is none. */
  append(path: string): Promise<WriteHandle>;
  openRead(path: string): Promise<ReadHandle>;
  rename(from: string, to: string): Promise<void>;
  removeFile(path: string): Promise<void>;
  /** Removes an empty folder. */
  removeFolder(path: string): Promise<void>;
  /** Names in a folder, sorted. */
  list(path: string): Promise<string[]>;
  /** Null if there is nothing. Links are followed. */
  stat(path: string): Promise<FileStat | null>;
  /** Null if there is nothing; a link is a link, whatever it points to. */
  linkStat(path: string): Promise<(FileStat & { isLink: boolean }) | null>;
  /** Waits until the folder's entries are on the disk. */
  syncFolder(path: string): Promise<void>;
  /** Bytes that can still be written where `path` is; null where that is not known. */
  freeBytes(path: string): Promise<number | null>;
}

function builtin<T>(module: T | undefined): T {
  if (module === undefined) throw new FerroError('UNSUPPORTED_RUNTIME', 'files: paths need Node 20.19 or newer, got another runtime');
  return module;
}

const getModule = typeof process === 'undefined' ? undefined : process.getBuiltinModule?.bind(process);
const fsp = () => builtin(getModule?.('node:fs/promises'));

/** The absolute form of a path. */
export function absolutePath(path: string): string {
  return builtin(getModule?.('node:path')).resolve(path);
}

/** Joins a folder and a name in it. */
export function joinPath(folder: string, name: string): string {
  return builtin(getModule?.('node:path')).join(folder, name);
}

/** The folder of a path and the last name of it. */
export function splitPath(path: string): { folder: string; name: string } {
  const { dirname, basename } = builtin(getModule?.('node:path'));
  return { folder: dirname(path), name: basename(path) };
}

/** An error's code (ENOENT …); '' if it has none. */
export function errnoOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** What an error of the file system becomes for the user; typed errors stay. */
export function fileError(op: string, path: string, cause: unknown): FerroError {
  if (cause instanceof FerroError) return cause;
  const code = errnoOf(cause);
  if (code === 'ENOENT') return new FerroError('FILE_NOT_FOUND', `${op}: ${path} must exist, got ${code}`, { cause });
  const detail = code === '' ? String(cause) : `${code} (${(cause as Error).message})`;
  return new FerroError('FILE_ERROR', `${op}: ${path} must be accessible, got ${detail}`, { cause });
}

async function openWrite(path: string, flags: string): Promise<WriteHandle> {
  const file = await fsp().open(path, flags);
  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length; ) {
        // One call writes at most 2 GiB − 1; less is asked for, so that an abort or an error comes soon.
        const { bytesWritten } = await file.write(bytes, at, Math.min(bytes.length - at, 1 << 26));
        at += bytesWritten;
      }
    },
    sync: () => file.sync(),
    close: () => file.close(),
  };
}

/** What is used of Node's Stats. */
interface NodeStats {
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  size: number;
}

async function absentIsNull(reading: Promise<NodeStats>): Promise<(FileStat & { isLink: boolean }) | null> {
  try {
    const stat = await reading;
    return { isFolder: stat.isDirectory(), isLink: stat.isSymbolicLink(), sizeBytes: stat.size };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
    throw error;
  }
}

/** Node's file system. */
export const nodeFileSystem: FileSystem = {
  makeFolder: async (path) => {
    await fsp().mkdir(path, { recursive: true });
  },
  create: (path) => openWrite(path, 'wx'),
  append: (path) => openWrite(path, 'a'),
  async openRead(path) {
    const file = await fsp().open(path, 'r');
    return {
      async read(start, end) {
        const bytes = new Uint8Array(end - start);
        let filled = 0;
        while (filled < bytes.length) {
          const { bytesRead } = await file.read(bytes, filled, Math.min(bytes.length - filled, 1 << 26), start + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return filled === bytes.length ? bytes : bytes.slice(0, filled);
      },
      close: () => file.close(),
    };
  },
  rename: (from, to) => fsp().rename(from, to),
  removeFile: (path) => fsp().unlink(path),
  removeFolder: (path) => fsp().rmdir(path),
  list: async (path) => (await fsp().readdir(path)).sort(),
  stat: (path) => absentIsNull(fsp().stat(path)),
  linkStat: (path) => absentIsNull(fsp().lstat(path)),
  async syncFolder(path) {
    if (process.platform === 'win32') return; // Windows cannot open a folder to flush it; its renames are journalled
    const folder = await fsp().open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
  async freeBytes(path) {
    const stat = await fsp().statfs(path);
    return stat.bavail * stat.bsize;
  },
};

/** A file's bytes. */
export async function readWhole(fs: FileSystem, path: string): Promise<Uint8Array> {
  const size = (await fs.stat(path))?.sizeBytes;
  const file = await fs.openRead(path);
  try {
    return await file.read(0, size ?? 0);
  } finally {
    await file.close();
  }
}

/**
 * Removes a file or a folder with all that is in it; nothing happens if it is gone already. Of a link only the link goes. `first` is removed before the
 * rest.
 */
export async function removeTree(fs: FileSystem, path: string, first?: string): Promise<void> {
  const stat = await fs.linkStat(path);
  if (stat === null) return;
  if (!stat.isFolder) return ignoreGone(fs.removeFile(path));
  const names = await fs.list(path);
  if (first !== undefined && names.includes(first)) await ignoreGone(fs.removeFile(joinPath(path, first)));
  for (const name of names) if (name !== first) await removeTree(fs, joinPath(path, name));
  await ignoreGone(fs.removeFolder(path));
}

async function ignoreGone(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
