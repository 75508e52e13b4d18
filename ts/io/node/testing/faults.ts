// For tests: a file system whose k-th operation fails, once or from there on. The second is what a crash at that point leaves on the disk, since the
// writer's own clean-up fails too.
import { type FileSystem, nodeFileSystem, type ReadHandle, type WriteHandle } from '../fileSystem';

/** Which operation fails and how. */
export interface Fault {
  /** 1 = the first operation. */
  at: number;
  /** Node's code: ENOSPC, EIO, EACCES … */
  code: string;
  /** Every later operation fails too. */
  forever: boolean;
}

/** A file system with a fault, and how many operations it was asked for. */
export interface FaultyFileSystem extends FileSystem {
  readonly operations: () => number;
  /** Whether the fault has struck. */
  readonly struck: () => boolean;
}

/** Without a fault; it does not wait for the disk. */
export const quickFileSystem: FileSystem = faultyFileSystem({ at: Number.POSITIVE_INFINITY, code: '', forever: false });

/** Node's file system with a fault. A failing write leaves half of its bytes in the file, as a full disk does. */
export function faultyFileSystem(fault: Fault): FaultyFileSystem {
  let count = 0;
  const fails = (): boolean => {
    count++;
    return fault.forever ? count >= fault.at : count === fault.at;
  };
  const error = (what: string) => Object.assign(new Error(`${fault.code}: fault ${fault.at} in ${what}`), { code: fault.code });
  const guard = <T>(what: string, run: () => Promise<T>): Promise<T> => (fails() ? Promise.reject(error(what)) : run());

  const writeHandle = (file: WriteHandle): WriteHandle => ({
    async write(bytes) {
      if (!fails()) return file.write(bytes);
      await file.write(bytes.subarray(0, bytes.length >> 1));
      throw error('write');
    },
    sync: () => guard('sync', () => Promise.resolve()), // a process that dies loses nothing that it wrote, so tests need not wait for the disk
    // The handle is closed in any case: a leaked one would outlive the test.
    close: async () => {
      await file.close();
      if (fails()) throw error('close');
    },
  });
  const readHandle = (file: ReadHandle): ReadHandle => ({
    read: (start, end) => guard('read', () => file.read(start, end)),
    close: async () => {
      await file.close();
      if (fails()) throw error('close');
    },
  });
  const fs = nodeFileSystem;
  return {
    operations: () => count,
    struck: () => count >= fault.at,
    makeFolder: (path) => guard('makeFolder', () => fs.makeFolder(path)),
    create: (path) => guard('create', async () => writeHandle(await fs.create(path))),
    append: (path) => guard('append', async () => writeHandle(await fs.append(path))),
    openRead: (path) => guard('openRead', async () => readHandle(await fs.openRead(path))),
    rename: (from, to) => guard('rename', () => fs.rename(from, to)),
    removeFile: (path) => guard('removeFile', () => fs.removeFile(path)),
    removeFolder: (path) => guard('removeFolder', () => fs.removeFolder(path)),
    list: (path) => guard('list', () => fs.list(path)),
    stat: (path) => guard('stat', () => fs.stat(path)),
    linkStat: (path) => guard('linkStat', () => fs.linkStat(path)),
    syncFolder: () => guard('syncFolder', () => Promise.resolve()),
    freeBytes: (path) => guard('freeBytes', () => fs.freeBytes(path)),
  };
}
