import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FileData } from '../files';
import { MANIFEST, verifyFolder, writeFolder } from './atomicFolder';
import { Checkpoints, openModelFolder, repairRun, resolveModelFolder } from './checkpoints';
import { nodeFileSystem } from './fileSystem';
import { MetricsLog, readMetrics, writeFileAtomic } from './runFiles';
import { faultyFileSystem, quickFileSystem } from './testing/faults';
import { leftovers, temporaryFolder, versionFiles, versionOf } from './testing/folders';

const root = temporaryFolder();
let count = 0;
const freshRun = () => {
  const folder = join(root, `run${count++}`);
  mkdirSync(folder);
  return folder;
};
const code = (expected: string) => expect.objectContaining({ code: expected });
const names = async (checkpoints: Checkpoints) => (await checkpoints.list()).map(({ name }) => name);

/** A run with complete checkpoints of these steps. */
async function runWith(...steps: number[]): Promise<{ run: string; checkpoints: Checkpoints }> {
  const run = freshRun();
  const checkpoints = new Checkpoints(run, quickFileSystem);
  for (const step of steps) await checkpoints.save(step, versionFiles(step));
  return { run, checkpoints };
}

describe('Checkpoints', () => {
  test('the newest is the complete one of the highest step, not the last by name or time', async () => {
    const { run, checkpoints } = await runWith(900, 1000, 99);
    expect(await names(checkpoints)).toEqual(['checkpoint-99', 'checkpoint-900', 'checkpoint-1000']);
    expect((await checkpoints.newest()).step).toBe(1000);
    rmSync(join(run, 'checkpoint-1000', MANIFEST));
    expect((await checkpoints.newest()).step).toBe(900);
    writeFileSync(join(run, 'checkpoint-900', 'weights.bin'), 'cut');
    expect((await checkpoints.newest()).step).toBe(99);
    for (const name of ['checkpoint-', 'checkpoint-x', 'checkpoint-05', 'checkpoint-7.tmp-1', 'checkpoint-8.old', 'other'])
      mkdirSync(join(run, name));
    writeFileSync(join(run, 'checkpoint-5000'), 'a file');
    expect(await names(checkpoints)).toEqual(['checkpoint-99']);
  });

  test('without a complete one, the error names those passed over', async () => {
    const { run, checkpoints } = await runWith(10, 20);
    for (const step of [10, 20]) rmSync(join(run, `checkpoint-${step}`, MANIFEST));
    await expect(checkpoints.newest()).rejects.toThrowError(
      /must have a complete checkpoint, got only incomplete ones \(checkpoint-20, checkpoint-10\)$/,
    );
    await expect(new Checkpoints(freshRun()).newest()).rejects.toThrowError(code('NO_CHECKPOINT'));
    await expect(new Checkpoints(join(root, 'none')).newest()).rejects.toThrowError(code('NO_CHECKPOINT'));
  });

  test('an incomplete one of the same step makes room for a new one; a folder that never was one does not', async () => {
    const { run, checkpoints } = await runWith(10);
    writeFileSync(join(run, 'checkpoint-10', MANIFEST), '{');
    await checkpoints.save(10, versionFiles(11));
    expect(versionOf(join(run, 'checkpoint-10'))).toBe(11);
    mkdirSync(join(run, 'checkpoint-20'));
    writeFileSync(join(run, 'checkpoint-20', 'mine.txt'), 'mine');
    await expect(checkpoints.save(20, versionFiles(20))).rejects.toEqual(code('FILE_ERROR'));
    expect(readFileSync(join(run, 'checkpoint-20', 'mine.txt'), 'utf8')).toBe('mine');
  });

  test('pruning keeps the newest ones and the best, and removes incomplete ones that are older', async () => {
    const { run, checkpoints } = await runWith(10, 20, 30, 40, 50);
    await checkpoints.setBest({ checkpoint: 'checkpoint-20', step: 20, evalLoss: 1.5 });
    mkdirSync(join(run, 'checkpoint-45'));
    mkdirSync(join(run, 'checkpoint-60'));
    await checkpoints.prune(2);
    expect(readdirSync(run).sort()).toEqual(['best', 'checkpoint-20', 'checkpoint-40', 'checkpoint-50', 'checkpoint-60']);
    await checkpoints.prune(1);
    expect(await names(checkpoints)).toEqual(['checkpoint-20', 'checkpoint-50']);
    await checkpoints.prune(9);
    expect(await names(checkpoints)).toEqual(['checkpoint-20', 'checkpoint-50']);
    for (const limit of [0, -1, 1.5, Number.NaN]) await expect(checkpoints.prune(limit)).rejects.toThrowError(code('INVALID_OPTION'));
    await new Checkpoints(freshRun()).prune(1);
  });

  test('the best pointer', async () => {
    const { run, checkpoints } = await runWith();
    expect(await checkpoints.best()).toBeNull();
    const best = { checkpoint: 'checkpoint-7', step: 7, evalLoss: 1.25 };
    await checkpoints.setBest(best);
    expect(await checkpoints.best()).toEqual(best);
    for (const text of ['{}', '{"checkpoint":"../x","step":1,"eval_loss":1}', '{"checkpoint":"checkpoint-1","step":"1","eval_loss":1}']) {
      writeFileSync(join(run, 'best'), text);
      await expect(checkpoints.best(), text).rejects.toThrowError(code('INVALID_CHECKPOINT'));
    }
  });

  test('a step that is no count is refused', async () => {
    const { checkpoints } = await runWith();
    for (const step of [-1, 1.5, Number.NaN, 1e21])
      await expect(checkpoints.save(step, versionFiles(1))).rejects.toThrowError(code('INVALID_OPTION'));
  });
});

describe('which folder --model means', () => {
  const model = new Map<string, FileData>([
    ['config.json', '{}'],
    ['model.safetensors', 'x'],
  ]);
  const opened = async (path: string) => (await openModelFolder(path)).label;

  test('a model folder itself; of a run final, else the newest complete checkpoint', async () => {
    const run = freshRun();
    const checkpoints = new Checkpoints(run, quickFileSystem);
    await expect(opened(run)).rejects.toThrowError(code('NO_CHECKPOINT'));
    await checkpoints.save(10, model);
    await checkpoints.save(20, model);
    expect(await opened(run)).toBe(join(run, 'checkpoint-20'));
    expect(await opened(join(run, 'checkpoint-10'))).toBe(join(run, 'checkpoint-10'));
    await writeFolder(join(run, 'final'), model, { fs: quickFileSystem });
    expect(await opened(run)).toBe(join(run, 'final'));
    rmSync(join(run, 'final', MANIFEST));
    expect(await opened(run)).toBe(join(run, 'checkpoint-20'));
  });

  test('an interrupted replacement is repaired on the way', async () => {
    const run = freshRun();
    const final = join(run, 'final');
    await writeFolder(final, model, { fs: quickFileSystem });
    renameSync(final, `${final}.old`);
    mkdirSync(`${final}.tmp-999999999-00000000-0123abcd-0`);
    expect(await opened(run)).toBe(final);
    expect(readdirSync(run)).toEqual(['final']);
    renameSync(final, `${final}.old`);
    expect(await resolveModelFolder(final)).toBe(final);
  });

  test('nothing there, a file, and unfinished or changed checkpoints are typed errors', async () => {
    const run = freshRun();
    writeFileSync(join(run, 'run.json'), '{}');
    await new Checkpoints(run, quickFileSystem).save(10, model);
    await expect(opened(join(run, 'nothing'))).rejects.toThrowError(code('FILE_NOT_FOUND'));
    await expect(opened(join(run, 'run.json'))).rejects.toThrowError(code('FILE_ERROR'));
    const checkpoint = join(run, 'checkpoint-10');
    writeFileSync(join(checkpoint, 'model.safetensors'), 'y');
    await expect(opened(checkpoint)).rejects.toThrowError(/must have the SHA-256/);
    rmSync(join(checkpoint, MANIFEST));
    await expect(opened(checkpoint)).rejects.toThrowError(/complete.json, got none \(it was not finished\)/);
    const elsewhere = join(root, 'copied');
    renameSync(checkpoint, elsewhere);
    expect(await opened(elsewhere)).toBe(elsewhere); // a folder made by something else has no complete.json
    writeFileSync(join(elsewhere, 'trainer_state.json'), '{}');
    await expect(opened(elsewhere)).rejects.toThrowError(code('INVALID_CHECKPOINT'));
  });

  test('files are opened by plain names only', async () => {
    const run = freshRun();
    writeFileSync(join(run, 'secret'), 's');
    await writeFolder(join(run, 'm'), model, { fs: quickFileSystem });
    const folder = await openModelFolder(join(run, 'm'));
    for (const name of ['../secret', '..', '', 'a/b', 'a\0b']) await expect(folder.open(name)).rejects.toThrowError(code('INVALID_OPTION'));
    expect(await folder.open('none')).toBeNull();
    expect([await folder.has('config.json'), await folder.has('none')]).toEqual([true, false]);
    const source = await folder.open('config.json');
    expect(new TextDecoder().decode(await source?.read(0, 2))).toBe('{}');
    await expect(source?.read(0, 3)).rejects.toThrowError(code('INVALID_FILE'));
    await source?.close();
  });
});

describe('a save in a run when the k-th operation fails', () => {
  for (const [errno, forever] of [
    ['ENOSPC', false],
    ['EIO', true],
  ] as const) {
    test(`${errno} ${forever ? 'from there on' : 'once'}: the run still has a whole checkpoint, and a later save works`, async () => {
      let clean = false;
      for (let k = 1; !clean; k++) {
        const { run } = await runWith(10, 20);
        await writeFileAtomic(join(run, 'run.json'), '{"version":1}', quickFileSystem);
        const log = await MetricsLog.open(join(run, 'metrics.jsonl'), 0, quickFileSystem);
        await log.append({ step: 20, loss: 2 });
        await log.close();
        const fs = faultyFileSystem({ at: k, code: errno, forever });
        const failed = new Checkpoints(run, fs);
        const save = async () => {
          const again = await MetricsLog.open(join(run, 'metrics.jsonl'), 20, fs);
          await again.append({ step: 30, loss: 1 }).finally(() => again.close().catch(() => undefined));
          await failed.save(30, versionFiles(30));
          await failed.setBest({ checkpoint: 'checkpoint-30', step: 30, evalLoss: 1 });
          await failed.prune(1);
          await writeFileAtomic(join(run, 'run.json'), '{"version":2}', fs);
        };
        const error = await save().then(
          () => null,
          (e: unknown) => e,
        );
        clean = !fs.struck();
        const where = `operation ${k}`;
        if (error !== null) expect(error, where).toMatchObject({ code: 'FILE_ERROR' });

        await repairRun(run, { exclusive: true });
        expect(leftovers(run), where).toEqual([]);
        const checkpoints = new Checkpoints(run, quickFileSystem);
        const newest = await checkpoints.newest();
        await verifyFolder(newest.path);
        expect(versionOf(newest.path), where).toBe(newest.step);
        expect([20, 30], where).toContain(newest.step);
        expect(['{"version":1}', '{"version":2}'], where).toContain(readFileSync(join(run, 'run.json'), 'utf8'));
        const rows = (await readMetrics(join(run, 'metrics.jsonl'))).map(({ step }) => step);
        expect([[20], [20, 30]], where).toContainEqual(rows);
        const best = await checkpoints.best();
        if (best !== null) expect(best, where).toEqual({ checkpoint: 'checkpoint-30', step: 30, evalLoss: 1 });
        await checkpoints.save(40, versionFiles(40));
        await checkpoints.prune(1);
        expect((await checkpoints.newest()).step, where).toBe(40);
        rmSync(run, { recursive: true });
      }
    });
  }

  test('a failing deletion of old checkpoints leaves the new one', async () => {
    const { run } = await runWith(10, 20);
    const fs = { ...nodeFileSystem, removeFile: () => Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' })) };
    await expect(new Checkpoints(run, fs).prune(1)).rejects.toThrowError(code('FILE_ERROR'));
    expect((await new Checkpoints(run).newest()).step).toBe(20);
  });
});
