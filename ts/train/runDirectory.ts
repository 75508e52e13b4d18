// A run directory as the Trainer uses it: locked, repaired, its configuration, log and checkpoints. The files' forms and how they are replaced
// are ts/io/node's. In a browser every call is a typed error.
import { FerroError } from '../errors';
import { type FileData, parseJsonObject, type ReadableFolder } from '../io';
import {
  Checkpoints,
  clearRunFolder,
  FINAL,
  isFreshRunFolder,
  MetricsLog,
  openModelFolder,
  RunLock,
  readFileText,
  repairRun,
  writeFileAtomic,
  writeFolder,
} from '../io/node';
import type { LogEntry } from './log';

/** How a run directory is opened. */
export interface OpenRunOptions {
  /** Go on with what is there; an empty or missing folder starts anew. */
  resume: boolean;
  /** Remove what an earlier run wrote. */
  overwrite: boolean;
}

/** An open run directory; this process is its only writer until `close`. */
export class RunDirectory {
  readonly path: string;
  readonly #lock: RunLock;
  readonly #checkpoints: Checkpoints;
  #log: MetricsLog | undefined;

  private constructor(path: string, lock: RunLock) {
    this.path = path;
    this.#lock = lock;
    this.#checkpoints = new Checkpoints(path);
  }

  /** @throws RUN_EXISTS for a folder with something in it and neither option, RUN_LOCKED, FILE_ERROR */
  static async open(path: string, { resume, overwrite }: OpenRunOptions): Promise<RunDirectory> {
    if (!resume && !overwrite && !(await isFreshRunFolder(path))) {
      throw new FerroError(
        'RUN_EXISTS',
        `train: the folder must be new or empty, got ${path} (resume continues it, overwrite replaces it)`,
      );
    }
    const lock = await RunLock.acquire(path);
    try {
      await repairRun(path, { exclusive: true });
      if (overwrite) await clearRunFolder(path);
      return new RunDirectory(path, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** run.json; undefined when the run is new. @throws INVALID_FILE */
  async readConfig(): Promise<Record<string, unknown> | undefined> {
    const name = `${this.path}/run.json`;
    const text = await readFileText(name);
    return text === null ? undefined : Object.fromEntries(parseJsonObject(name, text));
  }

  async writeConfig(config: Record<string, unknown>): Promise<void> {
    await writeFileAtomic(`${this.path}/run.json`, `${JSON.stringify(config, null, 2)}\n`);
  }

  /** Opens metrics.jsonl; lines after `step`, which a resumed run will write again, are dropped. */
  async openLog(step: number): Promise<void> {
    this.#log = await MetricsLog.open(`${this.path}/metrics.jsonl`, step);
  }

  /** Adds one line to metrics.jsonl. */
  async log(entry: LogEntry): Promise<void> {
    await this.#log?.append(entry);
  }

  /** The newest complete checkpoint, its hashes checked; undefined when there is none. @throws INVALID_CHECKPOINT */
  async newestCheckpoint(): Promise<{ folder: ReadableFolder; step: number } | undefined> {
    const newest = (await this.#checkpoints.list()).at(-1);
    return newest === undefined ? undefined : { folder: await openModelFolder(newest.path), step: newest.step };
  }

  /** Writes checkpoint-`step` whole or not at all, points `best` to it if it is the best, then removes old ones beyond `keep` (never the best). */
  async saveCheckpoint(step: number, files: ReadonlyMap<string, FileData>, keep: number, bestEvalLoss?: number): Promise<void> {
    const { name } = await this.#checkpoints.save(step, files);
    if (bestEvalLoss !== undefined) await this.#checkpoints.setBest({ checkpoint: name, step, evalLoss: bestEvalLoss });
    await this.#checkpoints.prune(keep);
  }

  /** Writes final/, the trained model. */
  async saveFinal(files: ReadonlyMap<string, FileData>): Promise<void> {
    await writeFolder(`${this.path}/${FINAL}`, files);
  }

  /** Lets go of the lock. */
  async close(): Promise<void> {
    await this.#log?.close();
    this.#log = undefined;
    await this.#lock.release();
  }
}
