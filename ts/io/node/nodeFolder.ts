// A folder of the file system as a `ReadableFolder`. Names are checked, so that nothing outside the folder is ever opened.
import { FerroError } from '../../errors';
import { type ReadableFolder, shortFile } from '../files';
import { absolutePath, errnoOf, type FileSystem, fileError, joinPath, nodeFileSystem } from './fileSystem';

/** Opens files of `path` by name. Files are read when they are asked for; close the sources. */
export function nodeFolder(path: string, fs: FileSystem = nodeFileSystem): ReadableFolder {
  const folder = absolutePath(path);
  const fileOf = (name: string): string => {
    if (name === '' || name === '..' || /[/\\\0]/.test(name))
      throw new FerroError('INVALID_OPTION', `open: a file of ${path} must have a plain name, got ${JSON.stringify(name)}`);
    return joinPath(folder, name);
  };
  return {
    label: path,
    async open(name) {
      const file = fileOf(name);
      try {
        const stat = await fs.stat(file);
        if (stat === null || stat.isFolder) return null;
        const handle = await fs.openRead(file);
        return {
          name: file,
          sizeBytes: stat.sizeBytes,
          async read(start, end) {
            const bytes = await handle.read(start, end).catch((error: unknown) => {
              throw fileError('read', file, error);
            });
            if (bytes.length !== end - start) throw shortFile(file, end, start + bytes.length);
            return bytes;
          },
          close: () => handle.close(),
        };
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return null;
        throw fileError('open', file, error);
      }
    },
    async has(name) {
      const stat = await fs.stat(fileOf(name)).catch((error: unknown) => {
        throw fileError('open', fileOf(name), error);
      });
      return stat !== null && !stat.isFolder;
    },
  };
}
