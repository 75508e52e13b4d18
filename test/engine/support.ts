// What the tests of the built engine share. The engine comes from dist/ (workers and threads are scripts there), its types from the sources.
import { spawn } from 'node:child_process';
import type { Worker } from 'node:worker_threads';
import type * as EngineRoom from '../../ts/engine';
import type { Program } from '../../ts/graph';

export { counter, increment, longRun, rejection, sleep, trapOn } from '../../ts/engine/testing/programs';

/** Where the built package begins. */
export const DIST = new URL('../../dist/index.node.js', import.meta.url).href;

export const { EngineHost } = (await import(DIST)) as typeof EngineRoom;
export type EngineHost = EngineRoom.EngineHost;

/** The build this test run is about (scripts/test.mjs sets it). */
export const SIMD = process.env.FERRO_BUILD === 'relaxed' ? 'relaxed' : 'portable';
/** The number of threads this test run is about. */
export const THREADS = Number(process.env.FERRO_THREADS ?? '2');

const started: Worker[] = [];
process.on('worker', (worker) => {
  started.push(worker);
  worker.on('exit', () => started.splice(started.indexOf(worker), 1));
});

/** The workers of this process that are alive, in the order of their start: an engine's worker comes before its threads. */
export function livingWorkers(): readonly Worker[] {
  return started;
}

const hosts: EngineHost[] = [];

/** Starts an engine that `closeAll` closes. */
export async function start(options: EngineRoom.EngineOptions = {}): Promise<EngineHost> {
  const host = await EngineHost.start({ simd: SIMD, threads: THREADS, ...options });
  hosts.push(host);
  return host;
}

/** Closes every engine of the test. */
export async function closeAll(): Promise<void> {
  await Promise.all(hosts.splice(0).map((host) => host.close()));
}

/** What a child process did. */
export interface ChildResult {
  code: number | null;
  out: string;
  err: string;
  /** Milliseconds from the line 'idle' on its output (or its start) to its end. */
  exitMs: number;
}

/** Runs a module's text in a Node of its own. `EngineHost` is in scope, and `P`, the given programs. */
export function runChild(source: string, programs: Record<string, Program> = {}, timeoutMs = 30_000): Promise<ChildResult> {
  const plain = Object.fromEntries(Object.entries(programs).map(([name, program]) => [name, { ...program, words: [...program.words] }]));
  const prelude = `import { EngineHost } from ${JSON.stringify(DIST)};
    const P = ${JSON.stringify(plain)};
    for (const program of Object.values(P)) program.words = Uint32Array.from(program.words);\n`;
  const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-'], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(prelude + source);
  return new Promise((resolve, reject) => {
    let [out, err] = ['', ''];
    let idleAt = performance.now();
    const timeout = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the child process must end within ${timeoutMs} ms, got output ${out}${err}`));
    }, timeoutMs);
    child.stdout.on('data', (data) => {
      out += data;
      if (/^idle$/m.test(String(data))) idleAt = performance.now();
    });
    child.stderr.on('data', (data) => {
      err += data;
    });
    child.on('close', (code) => {
      clearTimeout(timeout);
      resolve({ code, out, err, exitMs: performance.now() - idleAt });
    });
  });
}
