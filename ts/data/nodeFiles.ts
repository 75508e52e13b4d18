// Reads files by path, in Node only: the one place of ts/data that touches a file system. The module can be loaded anywhere; without Node a path is a
// typed error.
import { FerroError } from '../errors';

/** Bytes read at once. */
const PIECE = 1 << 20;

/** Turns an error of Node's file system into FILE_NOT_FOUND or FILE_ERROR. */
function fileError(path: string, cause: unknown): FerroError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new FerroError('FILE_NOT_FOUND', `${path}: the file must exist, got ${code}`, { cause });
  if (code === 'EISDIR') return new FerroError('FILE_ERROR', `${path}: must be a file, got a folder`, { cause });
  return new FerroError('FILE_ERROR', `${path}: must be readable, got ${code ?? String(cause)}`, { cause });
}

/** The bytes of a file in pieces of at most 1 MiB; each is a copy of its own. @throws FILE_NOT_FOUND, FILE_ERROR */
export async function* readPath(path: string): AsyncGenerator<Uint8Array> {
  const fs = typeof process === 'undefined' ? undefined : process.getBuiltinModule?.('node:fs/promises');
  if (fs === undefined)
    throw new FerroError('FILE_ERROR', `${path}: paths can be read in Node only, got a browser; give File objects instead`);
  const file = await fs.open(path, 'r').catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  try {
    for (;;) {
      const buffer = new Uint8Array(PIECE);
      const { bytesRead } = await file.read(buffer, 0, PIECE, null).catch((cause: unknown) => {
        throw fileError(path, cause);
      });
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
