// Folders that need no file system: files in memory, File objects a user chose, a directory handle of a browser. A URL is in urlFolder.ts, Node's folder of
// a path in ts/io/node/nodeFolder.ts.
import { FerroError } from '../errors';
import { type FileData, type ReadableFolder, sourceOf } from './files';

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
