// Who a process is and whether it still lives: lock files and temporary names carry this, so that what a dead process left can be taken over.

/** A process, recognisable after its number has been given to another one. */
export interface ProcessIdentity {
  pid: number;
  host: string;
  /** When it started, in a form that only this machine understands; '' where the system does not tell. */
  start: string;
}

/** When a process started: Linux only (boot id and start time in clock ticks since boot). */
function startOf(pid: number): string {
  try {
    const fs = process.getBuiltinModule('node:fs');
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Fields are counted after the command in parentheses, which may itself hold spaces and parentheses; the start time is field 22.
    return `${boot}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return '';
  }
}

/** This process. */
export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, host: process.getBuiltinModule('node:os').hostname(), start: startOf(process.pid) };
}

/**
 * Whether the process of that number on this machine lives and, where its start time is known, is the one meant.
 * @param isTheOne compares the start time of the process that has the number now
 */
export function isAlive(pid: number, isTheOne: (start: string) => boolean): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false; // EPERM: it exists and belongs to someone else
  }
  const start = startOf(pid);
  return start === '' || isTheOne(start);
}

/** The same for an identity. A process of another machine counts as alive: nobody can tell from here. */
export function identityIsAlive({ pid, host, start }: ProcessIdentity): boolean {
  return host !== process.getBuiltinModule('node:os').hostname() || isAlive(pid, (now) => start === '' || start === now);
}
