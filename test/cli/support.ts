// Runs the built command line as a user's shell would. The kernel build and the number of threads are those of this test run.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { SIMD, THREADS } from '../support/engine';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
export const MACHINE = ['--threads', String(THREADS), '--simd', SIMD];
/** Flags of a model and a run that take a second. */
export const SMALL = ['--n-layer', '1', '--n-head', '2', '--n-embd', '16', '--block-size', '16', '--batch-size', '4', ...MACHINE];

/** How a command ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A command that is running. */
export interface Running {
  child: ChildProcess;
  ended: Promise<Ended>;
  /** Resolves once standard error has shown the text. */
  shown(text: string): Promise<void>;
}

/** Starts `ferroformer ARGS` in a folder. */
export function start(args: readonly string[], cwd: string): Running {
  const child = spawn(process.execPath, [...process.execArgv, CLI, ...args], {
    cwd,
    env: { ...process.env, FERRO_CACHE: join(cwd, 'cache') },
  });
  let stdout = '';
  let stderr = '';
  const waiting = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    for (const check of waiting) check();
  });
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
  const shown = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const check = () => stderr.includes(text) && resolve();
      waiting.add(check);
      check();
      ended.then(() => reject(new Error(`ended without showing ${JSON.stringify(text)}:\n${stderr}`)), reject);
    });
  return { child, ended, shown };
}

/** Runs `ferroformer ARGS` to its end. */
export const ferroformer = (args: readonly string[], cwd: string): Promise<Ended> => start(args, cwd).ended;

/** A folder with text.txt that is removed when the test ends. */
export async function workplace(text = TEXT): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ferro-cli-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'text.txt'), text);
  return folder;
}

/** About 6,000 characters. */
export const TEXT = Array.from({ length: 150 }, (_, i) => `${i}: the whale swims and the ship sails on.\n`).join('');
