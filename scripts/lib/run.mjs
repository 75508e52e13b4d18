// Starting other programs, for the scripts of this folder: output shown as it comes, exit codes never ignored.
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The folder of package.json. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Runs a program from the repository's root.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, capture?: boolean, quiet?: boolean, timeoutMs?: number }} [options] capture keeps
 *   what it prints (and shows it, unless quiet)
 * @returns {Promise<{ code: number, output: string }>} code 127 where the program is missing, 124 where it ran too long
 */
export function run(program, args, { cwd = ROOT, env = {}, capture = false, quiet = false, timeoutMs = 0 } = {}) {
  return new Promise((resolve) => {
    const shell = process.platform === 'win32' && !program.endsWith('.exe');
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: capture ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
      shell,
      detached: timeoutMs > 0 && process.platform !== 'win32',
    });
    let output = '';
    let late = false;
    const stop = () => {
      late = true;
      killTree(child);
    };
    if (timeoutMs > 0) own(child);
    const timer = timeoutMs > 0 ? setTimeout(stop, timeoutMs) : undefined;
    const done = () => {
      clearTimeout(timer);
      groups.delete(child);
    };
    for (const [stream, sink] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        output += text;
        if (!quiet) sink.write(text);
      });
    }
    child.on('error', (error) => {
      done();
      resolve({ code: 127, output: `${output}${error.message}\n` });
    });
    child.on('close', (code) => {
      done();
      resolve({ code: late ? 124 : (code ?? 1), output });
    });
  });
}

/** Programs with a limit: each is a process group of its own, so that the limit also ends what it started; the terminal's interrupts no longer reach it. */
const groups = new Set();
let watching = false;

function own(child) {
  if (!watching) for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, endAll);
  watching = true;
  groups.add(child);
}

function endAll() {
  for (const child of groups) killTree(child);
  process.exit(130);
}

/** Ends a program and all that it started: a test runner's workers outlive it otherwise, and one that loops keeps a core for ever. */
function killTree(child) {
  if (process.platform === 'win32') spawnSync('taskkill', ['/pid', String(child.pid), '/t', '/f']);
  else {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      child.kill('SIGKILL'); // it has ended already, or was never a group
    }
  }
}

/** Runs Node itself with a script of the repository. */
export const runNode = (args, options) => run(process.execPath, args, options);

/** The first line a program prints for `args`, or undefined where it is missing or fails. */
export function firstLine(program, args = ['--version']) {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', shell: process.platform === 'win32' });
  return status === 0 ? stdout.split('\n')[0].trim() : undefined;
}

/** True where apt-get may be used without asking: root on a Debian-like system. */
export function mayUseApt() {
  return process.platform === 'linux' && process.getuid?.() === 0 && firstLine('apt-get') !== undefined;
}

let updated = false;

/** Installs Debian packages, saying so. Returns whether that worked. */
export async function aptInstall(packages) {
  console.log(`setup: apt-get install ${packages.join(' ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  if (!updated) updated = (await run('apt-get', ['update', '-q'], { env, capture: true, quiet: true })).code === 0;
  const result = await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], { env, capture: true, quiet: true });
  if (result.code !== 0) console.log(result.output.split('\n').slice(-15).join('\n'));
  return result.code === 0;
}
