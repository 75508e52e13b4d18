// A GGUF file on the disk: written beside its place and renamed, never over a file of another kind.
import { FerroError, throwIfAborted } from '../../errors';
import type { LazyFile } from '../files';
import { absolutePath, type FileSystem, fileError, nodeFileSystem, splitPath } from './fileSystem';
import { writeFileAtomic } from './runFiles';

const MAGIC = 'GGUF';

/**
 * Writes a GGUF file so that `path` always is either what it was or the new file, whole and flushed.
 * @param path the file, made or replaced (only if it is a GGUF file)
 * @throws FILE_ERROR (no space, no permission, a folder or a file of another kind there), ABORTED, what the stream throws; nothing is left behind
 */
export async function writeGgufFile(path: string, file: LazyFile, options: { fs?: FileSystem; signal?: AbortSignal } = {}): Promise<void> {
  const { fs = nodeFileSystem, signal } = options;
  const target = absolutePath(path);
  try {
    await requireReplaceable(fs, target);
    const { folder } = splitPath(target);
    await fs.makeFolder(folder);
    const free = await fs.freeBytes(folder);
    if (free !== null && free < file.sizeBytes) {
      throw new FerroError('FILE_ERROR', `export: ${folder} must have ${file.sizeBytes} bytes free, got ${free}`);
    }
  } catch (error) {
    throw fileError('export', target, error);
  }
  await writeFileAtomic(target, abortable(file.pieces(), signal), fs);
}

async function* abortable(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    throwIfAborted(signal, 'export');
    yield piece;
  }
}

/** Refuses to replace anything but a GGUF file. */
async function requireReplaceable(fs: FileSystem, target: string): Promise<void> {
  const stat = await fs.stat(target);
  if (stat === null) return;
  if (stat.isFolder) throw new FerroError('FILE_ERROR', `export: ${target} must be a file, got a folder`);
  const handle = await fs.openRead(target);
  try {
    const start = String.fromCharCode(...(await handle.read(0, Math.min(MAGIC.length, stat.sizeBytes))));
    if (start !== MAGIC) throw new FerroError('FILE_ERROR', `export: ${target} must be free or a GGUF file, got another file`);
  } finally {
    await handle.close();
  }
}
