// Single files: whole-file replacement for run.json and the like, and metrics.jsonl, one JSON object per line. Knows no contents.
import { FerroError } from '../../errors';
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
  type WriteHandle,
} from './fileSystem';
import { LOCK_FILE } from './runLock';
import { baseOfTemporary, forget, temporaryPath } from './temporary';

/**
 * Replaces a file so that it always is either what it was or the new contents, flushed. A stream of pieces is written as it comes.
 * @throws FILE_ERROR, what the stream throws; nothing is left behind
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | AsyncIterable<Uint8Array>,
  fs: FileSystem = nodeFileSystem,
): Promise<void> {
  const target = absolutePath(path);
  const { folder } = splitPath(target);
  const temporary = temporaryPath(target);
  try {
    await fs.makeFolder(folder);
    const file = await fs.create(temporary);
    try {
      if (typeof data === 'string') await file.write(new TextEncoder().encode(data));
      else if (data instanceof Uint8Array) await file.write(data);
      else for await (const piece of data) await file.write(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.rename(temporary, target);
    await fs.syncFolder(folder);
  } catch (error) {
    await removeTree(fs, temporary).catch(() => undefined);
    throw fileError('write', target, error);
  } finally {
    forget(temporary);
  }
}

/** A small file's text; null if there is none. @throws FILE_ERROR, INVALID_FILE unless it is UTF-8 */
export async function readFileText(path: string, fs: FileSystem = nodeFileSystem): Promise<string | null> {
  const file = absolutePath(path);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readWhole(fs, file));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
    if (error instanceof TypeError) throw new FerroError('INVALID_FILE', `${path}: must be UTF-8, got other bytes`, { cause: error });
    throw fileError('read', file, error);
  }
}

/** One line of metrics.jsonl. */
export type MetricsRow = Record<string, unknown>;

/** The rows of metrics.jsonl; a line that was cut off by a crash is left out. [] if there is no file. */
export async function readMetrics(path: string, fs: FileSystem = nodeFileSystem): Promise<MetricsRow[]> {
  const rows: MetricsRow[] = [];
  for (const line of ((await readFileText(path, fs)) ?? '').split('\n')) {
    try {
      const row: unknown = JSON.parse(line);
      if (typeof row === 'object' && row !== null && !Array.isArray(row)) rows.push(row as MetricsRow);
    } catch {
      // An empty or torn line.
    }
  }
  return rows;
}

/** metrics.jsonl, open for appending. */
export class MetricsLog {
  readonly #file: WriteHandle;
  readonly #path: string;
  /** A write failed: the file may end in the middle of a line. */
  #torn = false;

  private constructor(path: string, file: WriteHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens the file. Rows of steps after `throughStep` (made after the checkpoint that is resumed) and torn lines are dropped first.
   * @param throughStep the step that the run goes on from; 0 starts the file anew
   */
  static async open(path: string, throughStep: number, fs: FileSystem = nodeFileSystem): Promise<MetricsLog> {
    const target = absolutePath(path);
    const kept = (await readMetrics(target, fs)).filter(({ step }) => throughStep > 0 && typeof step === 'number' && step <= throughStep);
    await writeFileAtomic(target, kept.map((row) => `${JSON.stringify(row)}\n`).join(''), fs);
    try {
      return new MetricsLog(target, await fs.append(target));
    } catch (error) {
      throw fileError('write', target, error);
    }
  }

  /** Appends one row. Numbers that JSON cannot hold become null. */
  async append(row: MetricsRow): Promise<void> {
    try {
      await this.#file.write(new TextEncoder().encode(`${this.#torn ? '\n' : ''}${JSON.stringify(row)}\n`));
      this.#torn = false;
    } catch (error) {
      this.#torn = true;
      throw fileError('write', this.#path, error);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Files and folders that a run writes; anything else in its folder is the user's. */
const RUN_ENTRY = /^(?:run\.json|metrics\.jsonl|samples\.jsonl|report\.html|best|final|checkpoint-\d+)$/;

/** Whether a run can start in a folder without asking: it does not exist or holds nothing but a lock. @throws FILE_ERROR if it is a file */
export async function isFreshRunFolder(path: string, fs: FileSystem = nodeFileSystem): Promise<boolean> {
  const folder = absolutePath(path);
  try {
    const stat = await fs.stat(folder);
    if (stat === null) return true;
    if (!stat.isFolder) throw new FerroError('FILE_ERROR', `run: ${path} must be a folder, got a file`);
    return (await fs.list(folder)).every((name) => name === LOCK_FILE);
  } catch (error) {
    throw fileError('run', folder, error);
  }
}

/** Removes what an earlier run wrote (for `--overwrite`; the caller holds the lock). Files of the user's own stay. */
export async function clearRunFolder(path: string, fs: FileSystem = nodeFileSystem): Promise<void> {
  const folder = absolutePath(path);
  try {
    for (const name of await fs.list(folder)) {
      if (RUN_ENTRY.test(baseOfTemporary(name) ?? name)) await removeTree(fs, joinPath(folder, name), 'complete.json');
    }
  } catch (error) {
    throw fileError('run', folder, error);
  }
}
