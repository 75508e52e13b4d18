// Names of temporary files and folders, `X.tmp-ID` beside X: ID tells whose it is, so that what a dead writer left can be told from what a living one
// is just writing.
import { sha256Hex } from '../../math/sha256';
import { isAlive, thisProcess } from './processes';

const MARK = '.tmp-';
/** pid, when the process started, which copy of this module (two threads of one process are different writers), a count. */
const ID = /^(\d+)-([0-9a-f]{8})-([0-9a-f]{8})-\d+$/;
/** This copy of the module. */
const writer = globalThis.crypto.randomUUID().slice(0, 8);
const active = new Set<string>();
let count = 0;

/** A start time as eight digits; zeros where it is not known. */
const startDigits = (start: string): string => (start === '' ? '00000000' : sha256Hex(start).slice(0, 8));

/** A temporary path beside `path`, owned by this writer until `forget`. */
export function temporaryPath(path: string): string {
  const { pid, start } = thisProcess();
  const id = `${pid}-${startDigits(start)}-${writer}-${count++}`;
  active.add(id);
  return `${path}${MARK}${id}`;
}

/** The writer has finished with a path of `temporaryPath`, whatever became of it. */
export function forget(path: string): void {
  active.delete(path.slice(path.lastIndexOf(MARK) + MARK.length));
}

/** Takes a name apart: `X.tmp-ID` and `X.old` give X; null for any other name. */
export function baseOfTemporary(name: string): string | null {
  if (name.length > 4 && name.endsWith('.old')) return name.slice(0, -4);
  const at = name.lastIndexOf(MARK);
  return at > 0 && ID.test(name.slice(at + MARK.length)) ? name.slice(0, at) : null;
}

/** What an entry beside X is: no temporary of X, one that someone may still be writing, or one that is left over. */
export function temporaryState(entry: string, base: string): 'other' | 'active' | 'stale' {
  const match = entry.startsWith(base + MARK) ? ID.exec(entry.slice(base.length + MARK.length)) : null;
  if (match === null) return 'other';
  const [id, pid, start, by] = match;
  if (by === writer) return active.has(id) ? 'active' : 'stale';
  return isAlive(Number(pid), (now) => start === '00000000' || start === startDigits(now)) ? 'active' : 'stale';
}
