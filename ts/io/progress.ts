// Progress of reading a model's folder, whatever kind of folder it is: bytes over all files, counted as they are read.
import type { FileProgress, OpenOptions, ReadableFolder } from './files';

/** A folder whose reading is counted. */
export interface TrackedFolder {
  readonly folder: ReadableFolder;
  /** All files are open now: their bytes are the total. */
  allOpened(): void;
  /** Everything has been read that will be. */
  finished(): void;
}

/** Counts what is read from the folder. */
export function trackProgress(inner: ReadableFolder, onProgress: ((progress: FileProgress) => void) | undefined): TrackedFolder {
  if (onProgress === undefined) return { folder: inner, allOpened: () => undefined, finished: () => undefined };
  let [loadedBytes, sizeBytes, last] = [0, 0, ''];
  let totalBytes: number | undefined;
  const report = (name: string) => {
    last = name;
    // What is read twice (a file's length first, a head that is compared) counts once.
    loadedBytes = Math.min(loadedBytes, totalBytes ?? loadedBytes);
    onProgress({ name, loadedBytes, totalBytes });
  };
  const count = (name: string, bytes: number) => {
    loadedBytes += bytes;
    report(name);
  };
  const open = async (name: string, options: OpenOptions = {}) => {
    let ahead = 0; // bytes that were downloaded, and counted, before they are read
    const onBytes = (bytes: number) => {
      ahead += bytes;
      count(name, bytes);
    };
    const source = await inner.open(name, { ...options, onBytes });
    if (source === null) return null;
    sizeBytes += source.sizeBytes;
    return {
      name: source.name,
      sizeBytes: source.sizeBytes,
      async read(start: number, end: number) {
        const bytes = await source.read(start, end);
        const known = Math.min(ahead, bytes.length);
        ahead -= known;
        if (bytes.length > known) count(name, bytes.length - known);
        return bytes;
      },
      close: () => source.close(),
    };
  };
  return {
    folder: { label: inner.label, open, has: (name, options) => inner.has(name, options), whyAbsent: (name) => inner.whyAbsent?.(name) },
    allOpened() {
      totalBytes = sizeBytes;
    },
    finished() {
      if (loadedBytes === totalBytes) return;
      loadedBytes = totalBytes ?? loadedBytes;
      report(last);
    },
  };
}
