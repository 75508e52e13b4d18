// The checkpoints of a run folder: which are complete, which is the newest, how many stay, which is the best, and which folder `--model RUN` means.
// What is in a checkpoint is decided elsewhere.
import { FerroError } from '../../errors';
import { ADAPTER_CONFIG_FILE } from '../adapterFolder';
import { type FileData, parseJsonObject, type ReadableFolder } from '../files';
import { isComplete, MANIFEST, repairFolder, verifyFolder, writeFolder } from './atomicFolder';
import { absolutePath, type FileSystem, fileError, joinPath, nodeFileSystem, removeTree, splitPath } from './fileSystem';
import { nodeFolder } from './nodeFolder';
import { readFileText, writeFileAtomic } from './runFiles';
import { baseOfTemporary } from './temporary';

const NAME = /^checkpoint-(0|[1-9]\d{0,15})$/;
/** The pointer to the best checkpoint. */
const BEST = 'best';
/** The folder of a finished run's model. */
export const FINAL = 'final';

export interface CheckpointRef {
  step: number;
  name: string;
  path: string;
}

/** What the file `best` says. */
export interface BestPointer {
  /** Name of the checkpoint's folder. */
  checkpoint: string;
  step: number;
  evalLoss: number;
}

/** Settles what interrupted writers left in a run folder. @param exclusive the caller holds the run's lock */
export async function repairRun(runFolder: string, options: { fs?: FileSystem; exclusive?: boolean } = {}): Promise<void> {
  const { fs = nodeFileSystem } = options;
  const folder = absolutePath(runFolder);
  try {
    const stat = await fs.stat(folder);
    if (stat === null || !stat.isFolder) return;
    const bases = new Set((await fs.list(folder)).map(baseOfTemporary));
    for (const base of bases) if (base !== null) await repairFolder(joinPath(folder, base), options);
  } catch (error) {
    throw fileError('run', folder, error);
  }
}

/** The checkpoints in one run folder. */
export class Checkpoints {
  readonly runFolder: string;
  readonly #fs: FileSystem;

  constructor(runFolder: string, fs: FileSystem = nodeFileSystem) {
    this.runFolder = absolutePath(runFolder);
    this.#fs = fs;
  }

  /** All folders named checkpoint-N, by N. */
  async #named(): Promise<CheckpointRef[]> {
    try {
      if ((await this.#fs.stat(this.runFolder))?.isFolder !== true) return [];
      const names = (await this.#fs.list(this.runFolder)).flatMap((name) => {
        const match = NAME.exec(name);
        return match === null ? [] : [{ step: Number(match[1]), name, path: joinPath(this.runFolder, name) }];
      });
      return names.sort((a, b) => a.step - b.step);
    } catch (error) {
      throw fileError('checkpoints', this.runFolder, error);
    }
  }

  /** The complete checkpoints, oldest first. */
  async list(): Promise<CheckpointRef[]> {
    const complete: CheckpointRef[] = [];
    for (const ref of await this.#named()) if (await isComplete(ref.path, this.#fs)) complete.push(ref);
    return complete;
  }

  /** The complete checkpoint of the highest step. @throws NO_CHECKPOINT saying which folders were passed over */
  async newest(): Promise<CheckpointRef> {
    const incomplete: string[] = [];
    for (const ref of (await this.#named()).reverse()) {
      if (await isComplete(ref.path, this.#fs)) return ref;
      incomplete.push(ref.name);
    }
    const got = incomplete.length === 0 ? 'none' : `only incomplete ones (${incomplete.join(', ')})`;
    throw new FerroError('NO_CHECKPOINT', `checkpoints: ${this.runFolder} must have a complete checkpoint, got ${got}`);
  }

  /** Writes checkpoint-`step`. @throws FILE_ERROR, ABORTED; earlier checkpoints are untouched and nothing is left behind */
  async save(step: number, files: ReadonlyMap<string, FileData>, signal?: AbortSignal): Promise<CheckpointRef> {
    const name = `checkpoint-${step}`;
    if (!NAME.test(name)) throw new FerroError('INVALID_OPTION', `checkpoints: step must be a non-negative integer, got ${step}`);
    const path = joinPath(this.runFolder, name);
    await this.#clearIncomplete(path);
    await writeFolder(path, files, { fs: this.#fs, signal });
    return { step, name, path };
  }

  /** A checkpoint whose complete.json is damaged stands in the way of its own step: readers passed over it, and the run has come to it again. */
  async #clearIncomplete(path: string): Promise<void> {
    if (await isComplete(path, this.#fs)) return;
    try {
      const names = (await this.#fs.stat(path))?.isFolder ? await this.#fs.list(path) : [];
      if (names.includes(MANIFEST)) await removeTree(this.#fs, path, MANIFEST);
    } catch (error) {
      throw fileError('checkpoints', path, error);
    }
  }

  /** Keeps the newest `limit` complete checkpoints and the best one; deletes the others, and incomplete ones older than the newest. */
  async prune(limit: number): Promise<void> {
    if (!Number.isSafeInteger(limit) || limit < 1) {
      throw new FerroError('INVALID_OPTION', `checkpoints: saveTotalLimit must be a positive integer, got ${limit}`);
    }
    const complete = await this.list();
    const newest = complete.at(-1);
    if (newest === undefined) return;
    const best = (await this.best())?.checkpoint;
    const remove = complete.slice(0, -limit).filter((ref) => ref.name !== best);
    const known = new Set(complete.map((ref) => ref.name));
    const broken = (await this.#named()).filter((ref) => !known.has(ref.name) && ref.step < newest.step);
    try {
      // complete.json goes first: a deletion that is interrupted leaves an incomplete checkpoint, which readers pass over.
      for (const ref of [...remove, ...broken]) await removeTree(this.#fs, ref.path, MANIFEST);
    } catch (error) {
      throw fileError('checkpoints', this.runFolder, error);
    }
  }

  /** Points `best` to a checkpoint. */
  async setBest(best: BestPointer): Promise<void> {
    const json = { checkpoint: best.checkpoint, step: best.step, eval_loss: best.evalLoss };
    await writeFileAtomic(joinPath(this.runFolder, BEST), `${JSON.stringify(json)}\n`, this.#fs);
  }

  /** What `best` says; null without the file. @throws INVALID_CHECKPOINT if it is malformed */
  async best(): Promise<BestPointer | null> {
    const path = joinPath(this.runFolder, BEST);
    const text = await readFileText(path, this.#fs);
    if (text === null) return null;
    const values = parseJsonObject(path, text);
    const [checkpoint, step, evalLoss] = ['checkpoint', 'step', 'eval_loss'].map((key) => values.get(key));
    if (typeof checkpoint === 'string' && NAME.test(checkpoint) && typeof step === 'number' && typeof evalLoss === 'number') {
      return { checkpoint, step, evalLoss };
    }
    throw new FerroError('INVALID_CHECKPOINT', `${path}: must name a checkpoint, its step and eval_loss, got ${text.trim().slice(0, 80)}`);
  }
}

/** Waits while another process is between the two renames of a replacement. */
async function exists(path: string, fs: FileSystem): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    if ((await fs.stat(path)) !== null) return true;
    if ((await fs.stat(`${path}.old`)) === null) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

/**
 * The folder that a user's path means: a model's or an adapter's folder itself, or of a run folder `final`, else its newest complete checkpoint.
 * Interrupted replacements are repaired first, as far as this process may.
 * @throws FILE_NOT_FOUND, NO_CHECKPOINT, FILE_ERROR
 */
export async function resolveModelFolder(path: string, fs: FileSystem = nodeFileSystem): Promise<string> {
  const folder = absolutePath(path);
  try {
    // A model can be read from a read-only disk too.
    await repairFolder(folder, { fs }).catch(() => undefined);
    if (!(await exists(folder, fs))) throw new FerroError('FILE_NOT_FOUND', `model: ${path} must exist, got nothing there`);
    if ((await fs.stat(folder))?.isFolder !== true) throw new FerroError('FILE_ERROR', `model: ${path} must be a folder, got a file`);
    for (const name of ['config.json', ADAPTER_CONFIG_FILE]) if ((await fs.stat(joinPath(folder, name))) !== null) return folder;
    await repairRun(folder, { fs }).catch(() => undefined);
    const final = joinPath(folder, FINAL);
    if ((await exists(final, fs)) && (await isComplete(final, fs))) return final;
    return (await new Checkpoints(folder, fs).newest()).path;
  } catch (error) {
    throw fileError('model', folder, error);
  }
}

/** Whether a folder was written as part of a run, so that without complete.json it is an unfinished one. */
async function belongsToRun(folder: string, fs: FileSystem): Promise<boolean> {
  if ((await fs.stat(joinPath(folder, 'trainer_state.json'))) !== null) return true;
  const { folder: parent, name } = splitPath(folder);
  return (name === FINAL || NAME.test(name)) && (await fs.stat(joinPath(parent, 'run.json'))) !== null;
}

/**
 * Opens the model that a path means and checks its files' sizes and hashes. A folder made elsewhere (downloaded, or saved by Python) has no
 * complete.json and is taken as it is.
 * @throws as `resolveModelFolder`; INVALID_CHECKPOINT for an unfinished, truncated or changed one
 */
export async function openModelFolder(path: string, options: { fs?: FileSystem; signal?: AbortSignal } = {}): Promise<ReadableFolder> {
  const { fs = nodeFileSystem, signal } = options;
  const folder = await resolveModelFolder(path, fs);
  try {
    const finished = (await fs.stat(joinPath(folder, MANIFEST))) !== null;
    if (finished || (await belongsToRun(folder, fs))) await verifyFolder(folder, { fs, signal });
  } catch (error) {
    throw fileError('model', folder, error);
  }
  return nodeFolder(folder, fs);
}
