// What the Trainer asks of a run directory, as an interface: Node implements it on its file system (ts/io/node), browsers have none yet.
import type { FileData } from '../io';
import type { LogEntry } from './log';

/** An open run directory; this process is its only writer until `close`. */
export interface OpenRun {
  readonly directory: string;
  /** run.json; undefined when the run is new. */
  readConfig(): Promise<Record<string, unknown> | undefined>;
  writeConfig(config: Record<string, unknown>): Promise<void>;
  /** Adds one line to metrics.jsonl. */
  log(entry: LogEntry): Promise<void>;
  /** Drops the lines of metrics.jsonl after `step`: what a resumed run will write again. */
  truncateLog(step: number): Promise<void>;
  /** The newest complete checkpoint's files, or undefined. */
  newestCheckpoint(): Promise<{ step: number; files: Map<string, Uint8Array> } | undefined>;
  /** Writes checkpoint-`step` whole or not at all, then removes old ones beyond `keep` (never the best). */
  saveCheckpoint(step: number, files: ReadonlyMap<string, FileData>, keep: number): Promise<void>;
  /** Points `best` to checkpoint-`step`. */
  markBest(step: number, evalLoss: number): Promise<void>;
  /** Writes final/. */
  saveFinal(files: ReadonlyMap<string, FileData>): Promise<void>;
  /** Lets go of the lock. */
  close(): Promise<void>;
}

/** How a run directory is opened. */
export interface OpenRunOptions {
  resume: boolean;
  overwrite: boolean;
}
