// Where a pretrained model can come from, as a folder to read. No reading here.
import { FerroError } from '../errors';
import { type DirectoryHandle, fileListFolder, handleFolder, type ReadableFolder, urlFolder } from '../io';
import { openModelFolder } from '../io/node';

/** A folder's path (Node), a URL, a list of Files, or a directory handle of the File System Access API. */
export type PretrainedSource = string | URL | Iterable<File> | DirectoryHandle;

/** The folder behind a source. @throws INVALID_OPTION; what opening a path throws */
export async function sourceFolder(op: string, source: PretrainedSource, signal?: AbortSignal): Promise<ReadableFolder> {
  const openPath = (path: string) => openModelFolder(path, { signal });
  if (source instanceof URL) return source.protocol === 'file:' ? openPath(decodeURIComponent(source.pathname)) : urlFolder(source);
  if (typeof source === 'string') return /^https?:\/\//i.test(source) ? urlFolder(source) : openPath(source);
  if (typeof source === 'object' && source !== null) {
    if (Symbol.iterator in source) return fileListFolder(source);
    if ('getFileHandle' in source) return handleFolder(source);
  }
  throw new FerroError(
    'INVALID_OPTION',
    `${op}: the source must be a path, a URL, a list of Files or a directory handle, got ${typeof source}`,
  );
}

/**
 * What a source is called where another folder refers to it: its path or address; null for files in memory. Of a run's path the folder of the model in it, since others know no runs.
 * @param folder what the source turned out to be
 */
export function nameOf(source: PretrainedSource, folder: ReadableFolder): string | null {
  if (source instanceof URL) return source.protocol === 'file:' ? decodeURIComponent(source.pathname) : source.href;
  if (typeof source !== 'string') return null;
  const found = /[^/\\]*$/.exec(folder.label)![0];
  const given = source.replace(/[/\\]+$/, '');
  return /^(?:final|checkpoint-\d+)$/.test(found) && !given.endsWith(found) ? `${given}/${found}` : source;
}
