import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { thisProcess } from './processes';
import { LOCK_FILE, RunLock } from './runLock';
import { faultyFileSystem } from './testing/faults';
import { scriptOf, temporaryFolder } from './testing/folders';

const root = temporaryFolder();
let count = 0;
const freshRun = () => join(root, `run${count++}`);
const code = (expected: string) => expect.objectContaining({ code: expected });

/** A run whose lock is held by the process described. */
function lockedRun(holder: object): string {
  const run = freshRun();
  mkdirSync(run);
  writeFileSync(join(run, LOCK_FILE), `\n${JSON.stringify({ after: 'free', token: 't', ...holder })}\n`);
  return run;
}

/** The number of a process that has ended. */
const deadPid = () => spawnSync(process.execPath, ['-e', '']).pid;

describe('RunLock', () => {
  test('one holder at a time; after release the next one gets it', async () => {
    const run = freshRun();
    const lock = await RunLock.acquire(run);
    await expect(RunLock.acquire(run)).rejects.toThrowError(
      expect.objectContaining({ code: 'RUN_LOCKED', message: expect.stringContaining(`got process ${process.pid} on ${hostname()}`) }),
    );
    await lock.release();
    await lock.release();
    const next = await RunLock.acquire(run);
    await lock.release(); // of the first one: must not free the second
    await expect(RunLock.acquire(run)).rejects.toThrowError(code('RUN_LOCKED'));
    await next[Symbol.asyncDispose]();
    await (await RunLock.acquire(run)).release();
  });

  test('the lock of a dead process is taken over; so is that of a number that another process has now', async () => {
    const dead = lockedRun({ pid: deadPid(), host: hostname(), start: '' });
    await (await RunLock.acquire(dead)).release();
    const mine = thisProcess();
    if (mine.start !== '') {
      const reused = lockedRun({ ...mine, start: `${mine.start}0` });
      await (await RunLock.acquire(reused)).release();
    }
    const living = lockedRun({ ...mine });
    await expect(RunLock.acquire(living)).rejects.toThrowError(code('RUN_LOCKED'));
  });

  test('a process of another machine counts as alive, and the message says what to do', async () => {
    const run = lockedRun({ pid: deadPid(), host: 'elsewhere', start: '' });
    await expect(RunLock.acquire(run)).rejects.toThrowError(
      /on elsewhere writing to it; if that machine no longer runs it, delete run.lock there/,
    );
  });

  test('torn and foreign lines count for nothing', async () => {
    const run = lockedRun({ pid: deadPid(), host: hostname(), start: '' });
    appendFileSync(
      join(run, LOCK_FILE),
      '\n{"after":"t","token":"x","pid":1\n[]\nnull\n7\n{"after":"t","token":5,"pid":1,"host":"h"}\n{"release":"other"}\n{"after"',
    );
    const lock = await RunLock.acquire(run);
    await expect(RunLock.acquire(run)).rejects.toThrowError(code('RUN_LOCKED'));
    await lock.release();
  });

  test('a claim that follows an owner who has already been followed loses', async () => {
    const run = lockedRun({ pid: deadPid(), host: hostname(), start: '' });
    const lock = await RunLock.acquire(run);
    // What a process that read the file before us would append now.
    appendFileSync(
      join(run, LOCK_FILE),
      `\n${JSON.stringify({ after: 't', token: 'late', pid: deadPid(), host: hostname(), start: '' })}\n`,
    );
    await expect(RunLock.acquire(run)).rejects.toThrowError(
      expect.objectContaining({ message: expect.stringContaining(`process ${process.pid} `) }),
    );
    await lock.release();
    await (await RunLock.acquire(run)).release();
  });

  test('releasing in a folder that is gone does nothing', async () => {
    const run = freshRun();
    const lock = await RunLock.acquire(run);
    rmSync(run, { recursive: true });
    await lock.release();
  });

  test('a folder that cannot be written to is a typed error, and the lock is not left behind', async () => {
    const file = join(root, 'file');
    writeFileSync(file, 'x');
    await expect(RunLock.acquire(file)).rejects.toThrowError(code('FILE_ERROR'));
    let clean = false;
    for (let k = 1; !clean; k++) {
      const run = freshRun();
      const fs = faultyFileSystem({ at: k, code: 'EIO', forever: true });
      const lock = await RunLock.acquire(run, fs).catch((error: unknown) => {
        expect(error, `operation ${k}`).toMatchObject({ code: 'FILE_ERROR' });
        return null;
      });
      clean = !fs.struck();
      if (lock !== null) await lock.release().catch(() => undefined);
      expect(clean || lock === null, `operation ${k}`).toBe(true);
    }
  });
});

describe('many processes at once', () => {
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  const answer = (child: ChildProcess) => new Promise<string>((resolve) => child.once('message', (message) => resolve(String(message))));

  test('exactly one wins, every time: fresh folders, and locks of dead processes', async () => {
    const script = await scriptOf('locker.ts', root);
    for (let i = 0; i < 6; i++) children.push(fork(script, { execArgv: [] }));
    await Promise.all(children.map(answer));
    const stale = deadPid();
    for (let round = 0; round < 30; round++) {
      const run = round % 2 === 0 ? freshRun() : lockedRun({ pid: stale, host: hostname(), start: '' });
      const answers = children.map(answer);
      for (const child of children) child.send(run);
      const results = (await Promise.all(answers)).sort();
      expect(results, `round ${round}: ${readFileSync(join(run, LOCK_FILE), 'utf8')}`).toEqual([
        ...Array<string>(children.length - 1).fill('RUN_LOCKED'),
        'won',
      ]);
    }
  });
});
