// One writer per run folder. run.lock is a file that lines are only ever appended to: each claim names the owner it follows, and the first claim that
// follows an owner wins. Reading the lines in order tells everyone who owns the run, without a moment in which a file is removed or replaced; that is
// what lets a dead process's lock be taken over by exactly one of many that try.
import { FerroError } from '../../errors';
import { absolutePath, errnoOf, type FileSystem, fileError, joinPath, nodeFileSystem, readWhole } from './fileSystem';
import { identityIsAlive, type ProcessIdentity, thisProcess } from './processes';

/** The lock's file in a run folder. */
export const LOCK_FILE = 'run.lock';
const FREE = 'free';

interface Owner {
  token: string;
  holder: ProcessIdentity | null;
}

/** The owner after all lines: the last claim that followed the owner of its time. Lines that cannot be read (a torn write) count for nothing. */
function replay(text: string): Owner {
  let owner: Owner = { token: FREE, holder: null };
  for (const line of text.split('\n')) {
    if (line === '') continue;
    let entry: Record<string, unknown>;
    try {
      entry = Object(JSON.parse(line)) as Record<string, unknown>;
    } catch {
      continue;
    }
    const { after, token, pid, host, start, release } = entry;
    if (typeof release === 'string' && release === owner.token) owner = { token: owner.token, holder: null };
    const claims = after === owner.token && typeof token === 'string' && typeof pid === 'number' && typeof host === 'string';
    if (claims) owner = { token, holder: { pid, host, start: typeof start === 'string' ? start : '' } };
  }
  return owner;
}

async function readOwner(fs: FileSystem, file: string): Promise<Owner> {
  try {
    return replay(new TextDecoder().decode(await readWhole(fs, file)));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return replay('');
    throw error;
  }
}

/** Appends one line in a single write; the line break in front keeps it apart from a torn line before it. */
async function appendLine(fs: FileSystem, file: string, entry: object): Promise<void> {
  const handle = await fs.append(file);
  try {
    await handle.write(new TextEncoder().encode(`\n${JSON.stringify(entry)}\n`));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The right to write to a run folder, held until `release` or until the process dies. */
export class RunLock implements AsyncDisposable {
  readonly #fs: FileSystem;
  readonly #file: string;
  readonly #token: string;
  #released = false;

  private constructor(fs: FileSystem, file: string, token: string) {
    this.#fs = fs;
    this.#file = file;
    this.#token = token;
  }

  /**
   * Takes the lock of a run folder (made if it is not there). A lock whose process has died is taken over.
   * @throws RUN_LOCKED naming the process that holds it; FILE_ERROR
   */
  static async acquire(runFolder: string, fs: FileSystem = nodeFileSystem): Promise<RunLock> {
    const folder = absolutePath(runFolder);
    const file = joinPath(folder, LOCK_FILE);
    const token = globalThis.crypto.randomUUID();
    try {
      await fs.makeFolder(folder);
      for (;;) {
        const owner = await readOwner(fs, file);
        if (owner.token === token) return new RunLock(fs, file, token);
        if (owner.holder !== null && identityIsAlive(owner.holder)) throw lockedBy(runFolder, owner.holder);
        await appendLine(fs, file, { after: owner.token, token, ...thisProcess() });
      }
    } catch (error) {
      throw fileError('run', folder, error);
    }
  }

  /** Gives the lock back; a second call does nothing. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    try {
      // Nothing is left to be released when someone has removed the run folder.
      if ((await this.#fs.stat(this.#file)) !== null) await appendLine(this.#fs, this.#file, { release: this.#token });
    } catch (error) {
      throw fileError('run', this.#file, error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

function lockedBy(runFolder: string, { pid, host }: ProcessIdentity): FerroError {
  const elsewhere = host !== thisProcess().host;
  const hint = elsewhere ? `; if that machine no longer runs it, delete ${LOCK_FILE} there` : '';
  return new FerroError('RUN_LOCKED', `run: ${runFolder} can have one writer, got process ${pid} on ${host} writing to it${hint}`);
}
