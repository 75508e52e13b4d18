// The text of one or many UTF-8 files, in pieces: paths in Node, File or Blob objects anywhere. Files follow each other with nothing in between.
import { FerroError, throwIfAborted } from '../errors';
import { readPath } from './nodeFiles';
import { Utf8Decoder } from './utf8';

/** A text file: a path (Node) or a File or Blob. */
export type TextSource = string | Blob;

/** How far reading has come. */
export interface ReadProgress {
  /** The file being read. */
  name: string;
  fileIndex: number;
  fileCount: number;
  /** Bytes of all files read so far. */
  bytes: number;
}

export interface ReadOptions {
  signal?: AbortSignal;
  /** Called after each piece (about 1 MB). */
  onProgress?: (progress: ReadProgress) => void;
}

/** A source's name in messages. */
function nameOf(source: TextSource, index: number): string {
  if (typeof source === 'string') return source;
  const name = (source as Partial<File>).name;
  return typeof name === 'string' && name !== '' ? name : `file ${index}`;
}

async function* readBlob(blob: Blob): AsyncGenerator<Uint8Array> {
  const reader = blob.stream().getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Also when the consumer stops early: otherwise the stream stays locked and its buffers stay alive.
    await reader.cancel();
  }
}

/** A list of sources from what a user may give: one or several. @throws EMPTY_DATA for none, INVALID_OPTION for anything else. */
export function textSources(sources: TextSource | Iterable<TextSource>): TextSource[] {
  const list = typeof sources === 'string' || sources instanceof Blob ? [sources] : Array.from(sources);
  if (list.length === 0) throw new FerroError('EMPTY_DATA', 'files: at least one file must be given, got none');
  for (const source of list) {
    const valid = (typeof source === 'string' && source !== '') || source instanceof Blob;
    if (!valid) throw new FerroError('INVALID_OPTION', `files: each must be a path or a Blob, got ${JSON.stringify(source)}`);
  }
  return list;
}

/** A piece of the text of one of several files. */
interface FilePiece {
  /** The file's name in messages. */
  name: string;
  /** Which file it is, from 0. */
  index: number;
  /** Not empty. */
  text: string;
}

/**
 * The text of the files in pieces, in order.
 * @throws FILE_NOT_FOUND, FILE_ERROR, EMPTY_DATA (a file without a byte), NOT_UTF8 (naming file and offset), ABORTED
 */
export async function* readText(sources: TextSource | Iterable<TextSource>, options: ReadOptions = {}): AsyncGenerator<string> {
  for await (const { text } of readPieces(textSources(sources), options)) yield text;
}

/** The same with the file that each piece is of. */
export async function* readPieces(list: readonly TextSource[], options: ReadOptions): AsyncGenerator<FilePiece> {
  let bytes = 0;
  for (const [index, source] of list.entries()) {
    const name = nameOf(source, index);
    const decoder = new Utf8Decoder(name);
    let fileBytes = 0;
    for await (const piece of typeof source === 'string' ? readPath(source) : readBlob(source)) {
      throwIfAborted(options.signal, 'readText');
      fileBytes += piece.length;
      bytes += piece.length;
      const text = decoder.push(piece);
      options.onProgress?.({ name, fileIndex: index, fileCount: list.length, bytes });
      if (text !== '') yield { name, index, text };
    }
    decoder.finish();
    if (fileBytes === 0) throw new FerroError('EMPTY_DATA', `${name}: the file must have text in it, got 0 bytes`);
  }
}
