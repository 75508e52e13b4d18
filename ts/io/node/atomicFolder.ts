// Folders that appear whole or not at all, whatever interrupts the writer. A folder is complete if and only if its complete.json, written and flushed
// last, lists every file's size and hash. Replacing X: write X.tmp-ID, rename X to X.old, X.tmp-ID to X, delete X.old; `repairFolder` settles what an
// interrupted replacement left.
import { FerroError, throwIfAborted } from '../../errors';
import { createSha256 } from '../../math/sha256';
import { type FileData, parseJsonObject, pieces, sizeOf } from '../files';
import {
  absolutePath,
  errnoOf,
  type FileSystem,
  fileError,
  joinPath,
  nodeFileSystem,
  readWhole,
  removeTree,
  splitPath,
} from './fileSystem';
import { forget, temporaryPath, temporaryState } from './temporary';

/** The file that makes a folder complete. */
export const MANIFEST = 'complete.json';

/** One file of a complete folder. */
export interface ManifestEntry {
  name: string;
  sizeBytes: number;
  sha256: string;
}

export interface FolderOptions {
  fs?: FileSystem;
  signal?: AbortSignal;
}

/** Refuses before anything is written when the disk cannot hold it (a full disk after hours of training should not cost a half-written file). */
async function requireSpace(fs: FileSystem, folder: string, files: ReadonlyMap<string, FileData>): Promise<void> {
  const needed = [...files.values()].reduce((sum, data) => sum + sizeOf(data), 0);
  const free = await fs.freeBytes(folder);
  if (free !== null && free < needed) {
    throw new FerroError('FILE_ERROR', `save: ${folder} must have ${needed} bytes free, got ${free}`);
  }
}

function requirePlainName(name: string): void {
  const plain = name !== '' && name !== '.' && name !== '..' && name !== MANIFEST && !/[/\\\0]/.test(name);
  if (!plain) throw new FerroError('INVALID_OPTION', `save: files must have plain names, got ${JSON.stringify(name)}`);
}

/** Writes, flushes and hashes one file. */
async function writeOne(fs: FileSystem, folder: string, name: string, data: FileData, signal?: AbortSignal): Promise<ManifestEntry> {
  const file = await fs.create(joinPath(folder, name));
  const hasher = createSha256();
  let sizeBytes = 0;
  try {
    for await (const piece of pieces(data)) {
      throwIfAborted(signal, 'save');
      await file.write(piece);
      hasher.update(piece);
      sizeBytes += piece.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { name, sizeBytes, sha256: hasher.digestHex() };
}

/** Fills a new folder: every file, then complete.json, then the folder itself is flushed. */
async function fill(fs: FileSystem, folder: string, files: ReadonlyMap<string, FileData>, signal?: AbortSignal): Promise<void> {
  await fs.makeFolder(folder);
  const entries: ManifestEntry[] = [];
  for (const [name, data] of files) entries.push(await writeOne(fs, folder, name, data, signal));
  const list = entries.map(({ name, sizeBytes, sha256 }) => ({ name, size: sizeBytes, sha256 }));
  throwIfAborted(signal, 'save');
  await writeOne(fs, folder, MANIFEST, `${JSON.stringify({ format: 'ferroformer-folder', version: 1, files: list }, null, 2)}\n`);
  await fs.syncFolder(folder);
}

/** Puts a complete temporary folder in the place of `path`. */
async function swapIn(fs: FileSystem, temporary: string, path: string): Promise<void> {
  const old = `${path}.old`;
  const replaces = (await fs.stat(path)) !== null;
  if (replaces) await fs.rename(path, old);
  try {
    await fs.rename(temporary, path);
  } catch (error) {
    if (replaces) await fs.rename(old, path).catch(() => undefined); // else the next opening does it
    throw error;
  }
  await fs.syncFolder(splitPath(path).folder);
  // The new folder is safe from here on: an old one that cannot be deleted now is deleted at the next opening.
  if (replaces) await removeTree(fs, old, MANIFEST).catch(() => undefined);
}

/** Refuses to replace a folder that holds anything this library did not write there. */
async function requireOurs(fs: FileSystem, path: string): Promise<void> {
  const stat = await fs.stat(path);
  if (stat === null) return;
  if (!stat.isFolder) throw new FerroError('FILE_ERROR', `save: ${path} must be a folder, got a file`);
  const names = await fs.list(path);
  if (names.length === 0) return;
  const manifest = await readManifest(path, fs).catch(malformedIsNull);
  const ours = new Set([MANIFEST, ...(manifest ?? []).map((entry) => entry.name)]);
  const foreign = names.find((name) => !ours.has(name));
  if (foreign === undefined) return;
  throw new FerroError('FILE_ERROR', `save: ${path} must be empty or a folder saved before, got one with ${JSON.stringify(foreign)} in it`);
}

/**
 * Writes a folder so that `path` always is either what it was or the new files, whole and flushed.
 * @param path the folder, made or replaced (only if it is empty or was written by this function)
 * @throws FILE_ERROR (no space, no permission, foreign files in it), INVALID_OPTION for a name that is not plain, ABORTED; nothing is left behind
 */
export async function writeFolder(path: string, files: ReadonlyMap<string, FileData>, options: FolderOptions = {}): Promise<void> {
  const { fs = nodeFileSystem, signal } = options;
  for (const name of files.keys()) requirePlainName(name);
  const target = absolutePath(path);
  const temporary = temporaryPath(target);
  try {
    throwIfAborted(signal, 'save');
    const { folder } = splitPath(target);
    await fs.makeFolder(folder);
    await repairFolder(target, { fs });
    await requireOurs(fs, target);
    await requireSpace(fs, folder, files);
    await fill(fs, temporary, files, signal);
    await swapIn(fs, temporary, target);
  } catch (error) {
    await removeTree(fs, temporary, MANIFEST).catch(() => undefined);
    throw fileError('save', target, error);
  } finally {
    forget(temporary);
  }
}

/**
 * Settles what an interrupted `writeFolder` left: puts X.old back where X is missing, deletes it where X is complete, and removes temporary folders
 * of writers that no longer live. Does nothing while another living writer is at work on X.
 * @param options exclusive: the caller holds the lock of the run, so every temporary folder but its own is left over
 */
export async function repairFolder(path: string, options: { fs?: FileSystem; exclusive?: boolean } = {}): Promise<void> {
  const { fs = nodeFileSystem, exclusive = false } = options;
  const target = absolutePath(path);
  const { folder, name } = splitPath(target);
  if ((await fs.stat(folder)) === null) return;
  const beside = (await fs.list(folder)).map((entry) => ({ entry, state: temporaryState(entry, name) }));
  for (const { entry, state } of beside) {
    if (state === 'stale' || (state === 'active' && exclusive)) await removeTree(fs, joinPath(folder, entry), MANIFEST);
  }
  if (!exclusive && beside.some(({ state }) => state === 'active')) return;
  const old = `${target}.old`;
  if ((await fs.stat(old)) === null) return;
  if ((await fs.stat(target)) === null) await fs.rename(old, target);
  else if (await isComplete(target, fs)) await removeTree(fs, old, MANIFEST);
  else if (await isComplete(old, fs)) {
    await removeTree(fs, target);
    await fs.rename(old, target);
  }
}

/** What complete.json lists; null without one. @throws INVALID_CHECKPOINT if it is malformed */
export async function readManifest(path: string, fs: FileSystem = nodeFileSystem): Promise<ManifestEntry[] | null> {
  const file = joinPath(path, MANIFEST);
  let bytes: Uint8Array;
  try {
    bytes = await readWhole(fs, file);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
    throw fileError('open', file, error);
  }
  const invalid = (got: string) => new FerroError('INVALID_CHECKPOINT', `${file}: must list files with name, size and sha256, got ${got}`);
  let list: unknown;
  try {
    const root = parseJsonObject(file, new TextDecoder().decode(bytes));
    if (root.get('version') !== 1) throw invalid(`version ${JSON.stringify(root.get('version')) ?? 'none'}`);
    list = root.get('files');
  } catch (error) {
    throw error instanceof FerroError && error.code === 'INVALID_CHECKPOINT' ? error : invalid((error as Error).message);
  }
  if (!Array.isArray(list)) throw invalid('no list');
  return list.map((item: unknown) => {
    const { name, size, sha256 } = Object(item) as Record<string, unknown>;
    const valid = typeof name === 'string' && Number.isSafeInteger(size) && typeof sha256 === 'string';
    if (!valid || /[/\\\0]/.test(name) || name === '..') throw invalid(JSON.stringify(item));
    return { name, sizeBytes: size as number, sha256 };
  });
}

/** For `readManifest(…).catch`: a malformed complete.json counts as none. */
function malformedIsNull(error: unknown): null {
  if (error instanceof FerroError && error.code === 'INVALID_CHECKPOINT') return null;
  throw error;
}

/** The first thing that keeps a folder from being complete by names and sizes; null if nothing does. */
async function firstProblem(path: string, manifest: readonly ManifestEntry[], fs: FileSystem): Promise<string | null> {
  for (const { name, sizeBytes } of manifest) {
    const stat = await fs.stat(joinPath(path, name));
    if (stat === null) return `no ${name}`;
    if (stat.isFolder || stat.sizeBytes !== sizeBytes) return `${name} with ${stat.sizeBytes} of ${sizeBytes} bytes`;
  }
  return null;
}

/** Whether complete.json is there and every file it lists has its size (hashes are checked by `verifyFolder`). */
export async function isComplete(path: string, fs: FileSystem = nodeFileSystem): Promise<boolean> {
  const manifest = await readManifest(path, fs).catch(malformedIsNull);
  try {
    return manifest !== null && (await firstProblem(path, manifest, fs)) === null;
  } catch (error) {
    throw fileError('open', path, error);
  }
}

/**
 * Checks sizes and hashes of all files that complete.json lists.
 * @throws INVALID_CHECKPOINT naming the file; FILE_ERROR; ABORTED
 */
export async function verifyFolder(path: string, options: FolderOptions = {}): Promise<void> {
  const { fs = nodeFileSystem, signal } = options;
  const manifest = await readManifest(path, fs);
  if (manifest === null) {
    throw new FerroError('INVALID_CHECKPOINT', `${path}: a checkpoint must have ${MANIFEST}, got none (it was not finished)`);
  }
  try {
    const problem = await firstProblem(path, manifest, fs);
    if (problem !== null) throw new FerroError('INVALID_CHECKPOINT', `${path}: must have what ${MANIFEST} lists, got ${problem}`);
    for (const { name, sizeBytes, sha256 } of manifest) {
      const hasher = createSha256();
      for await (const piece of readPieces(fs, joinPath(path, name), sizeBytes)) {
        throwIfAborted(signal, 'open');
        hasher.update(piece);
      }
      const got = hasher.digestHex();
      if (got !== sha256) throw new FerroError('INVALID_CHECKPOINT', `${path}/${name}: must have the SHA-256 ${sha256}, got ${got}`);
    }
  } catch (error) {
    throw fileError('open', path, error);
  }
}

async function* readPieces(fs: FileSystem, path: string, sizeBytes: number): AsyncGenerator<Uint8Array> {
  const file = await fs.openRead(path);
  const step = 1 << 22;
  try {
    for (let at = 0; at < sizeBytes; at += step) yield await file.read(at, Math.min(at + step, sizeBytes));
  } finally {
    await file.close();
  }
}
