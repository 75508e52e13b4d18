import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isComplete, MANIFEST, readManifest, repairFolder, verifyFolder, writeFolder } from './atomicFolder';
import { nodeFileSystem } from './fileSystem';
import { faultyFileSystem, quickFileSystem } from './testing/faults';
import { leftovers, scriptOf, temporaryFolder, versionFiles, versionOf } from './testing/folders';

const root = temporaryFolder();
let count = 0;
/** A new empty folder. */
function fresh(): string {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  return folder;
}
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('writeFolder', () => {
  test('writes all files and lists them with size and hash; replacing leaves nothing of the old', async () => {
    const folder = join(fresh(), 'deep', 'model');
    await writeFolder(folder, versionFiles(1));
    expect(versionOf(folder)).toBe(1);
    await verifyFolder(folder);
    const manifest = await readManifest(folder);
    expect(manifest?.map(({ name }) => name)).toEqual(['config.json', 'weights.bin', 'empty', 'blob.txt']);
    expect(manifest?.[2]).toEqual({
      name: 'empty',
      sizeBytes: 0,
      sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    });
    await writeFolder(folder, new Map([['only.txt', 'x']]));
    expect(readdirSync(folder).sort()).toEqual([MANIFEST, 'only.txt']);
    expect(readdirSync(join(folder, '..'))).toEqual(['model']);
  });

  test('the flush and rename order: files, complete.json, folder, renames, parent', async () => {
    const steps: string[] = [];
    const fs = {
      ...nodeFileSystem,
      create: async (path: string) => {
        const name = path.split('/').pop();
        const file = await nodeFileSystem.create(path);
        return {
          write: file.write,
          sync: () => {
            steps.push(`sync ${name}`);
            return file.sync();
          },
          close: file.close,
        };
      },
      rename: (from: string, to: string) => {
        steps.push(`rename to ${to.split('/').pop()}`);
        return nodeFileSystem.rename(from, to);
      },
      syncFolder: (path: string) => {
        steps.push(`sync folder ${path.includes('.tmp-') ? 'tmp' : 'parent'}`);
        return nodeFileSystem.syncFolder(path);
      },
    };
    const folder = join(fresh(), 'x');
    await writeFolder(folder, new Map([['a', '1']]), { fs });
    await writeFolder(folder, new Map([['a', '2']]), { fs });
    const whole = ['sync a', `sync ${MANIFEST}`, 'sync folder tmp'];
    expect(steps).toEqual([
      ...whole,
      'rename to x',
      'sync folder parent',
      ...whole,
      'rename to x.old',
      'rename to x',
      'sync folder parent',
    ]);
  });

  test('a folder with anything foreign in it is not replaced', async () => {
    const folder = fresh();
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    await expect(writeFolder(folder, versionFiles(1))).rejects.toThrowError(
      /must be empty or a folder saved before, got one with "notes.txt" in it/,
    );
    expect(readdirSync(folder)).toEqual(['notes.txt']);
    const saved = join(fresh(), 'saved');
    await writeFolder(saved, versionFiles(1));
    writeFileSync(join(saved, 'README.md'), 'mine');
    await expect(writeFolder(saved, versionFiles(2))).rejects.toThrowError(code('FILE_ERROR'));
    expect(versionOf(saved)).toBe(1);
    const file = join(fresh(), 'file');
    writeFileSync(file, 'x');
    await expect(writeFolder(file, versionFiles(1))).rejects.toThrowError(code('FILE_ERROR'));
    await expect(writeFolder(join(file, 'below'), versionFiles(1))).rejects.toThrowError(code('FILE_ERROR'));
    expect(readFileSync(file, 'utf8')).toBe('x');
  });

  test('an empty folder is filled', async () => {
    const folder = fresh();
    await writeFolder(folder, versionFiles(3));
    expect(versionOf(folder)).toBe(3);
  });

  test('names that are not plain are refused before anything is written', async () => {
    const parent = fresh();
    for (const name of ['../x', 'a/b', '..', '.', '', MANIFEST, 'a\0', 'a\\b']) {
      await expect(writeFolder(join(parent, 'm'), new Map([[name, 'x']])), JSON.stringify(name)).rejects.toThrowError(
        code('INVALID_OPTION'),
      );
    }
    expect(readdirSync(parent)).toEqual([]);
    await writeFolder(
      join(parent, 'm'),
      new Map([
        ['__proto__', 'x'],
        ['constructor', 'y'],
      ]),
    );
    await verifyFolder(join(parent, 'm'));
    expect(readFileSync(join(parent, 'm', '__proto__'), 'utf8')).toBe('x');
  });

  test('a disk without room is refused before anything is written', async () => {
    const parent = fresh();
    const fs = { ...nodeFileSystem, freeBytes: () => Promise.resolve(100) };
    await expect(writeFolder(join(parent, 'm'), versionFiles(1), { fs })).rejects.toThrowError(/bytes free, got 100/);
    expect(readdirSync(parent)).toEqual([]);
  });

  test('an abort leaves nothing behind and the old folder as it was', async () => {
    const parent = fresh();
    const folder = join(parent, 'm');
    await writeFolder(folder, versionFiles(1));
    const controller = new AbortController();
    const fs = {
      ...nodeFileSystem,
      create: (path: string) => {
        controller.abort();
        return nodeFileSystem.create(path);
      },
    };
    await expect(writeFolder(folder, versionFiles(2), { fs, signal: controller.signal })).rejects.toThrowError(code('ABORTED'));
    expect(readdirSync(parent)).toEqual(['m']);
    expect(versionOf(folder)).toBe(1);
  });

  test('a link inside a folder is removed as a link: what it points to stays', async () => {
    const parent = fresh();
    const precious = join(parent, 'precious');
    mkdirSync(precious);
    writeFileSync(join(precious, 'data.txt'), 'x');
    const folder = join(parent, 'm');
    await writeFolder(folder, new Map([['inner', 'x']]));
    rmSync(join(folder, 'inner'));
    symlinkSync(precious, join(folder, 'inner'));
    await writeFolder(folder, versionFiles(2));
    expect([versionOf(folder), readdirSync(precious)]).toEqual([2, ['data.txt']]);
  });

  test('through a link the folder it points to stays, the link is replaced', async () => {
    const parent = fresh();
    const real = join(parent, 'real');
    await writeFolder(real, versionFiles(1));
    symlinkSync(real, join(parent, 'link'));
    await writeFolder(join(parent, 'link'), versionFiles(2));
    expect([versionOf(join(parent, 'link')), versionOf(real)]).toEqual([2, 1]);
  });
});

describe('when the k-th operation fails', () => {
  const faults: [errno: string, forever: boolean][] = [
    ['ENOSPC', false],
    ['EIO', true],
    ['EACCES', false],
  ];
  for (const [errno, forever] of faults) {
    for (const replaces of [false, true]) {
      test(`${errno} ${forever ? 'from there on' : 'once'}, ${replaces ? 'replacing' : 'new'}: old or new, whole, nothing left`, async () => {
        let clean = false;
        for (let k = 1; !clean; k++) {
          const parent = fresh();
          const folder = join(parent, 'm');
          if (replaces) await writeFolder(folder, versionFiles(1), { fs: quickFileSystem });
          const fs = faultyFileSystem({ at: k, code: errno, forever });
          const error = await writeFolder(folder, versionFiles(2), { fs }).then(
            () => null,
            (e: unknown) => e,
          );
          clean = !fs.struck();
          const where = `operation ${k}`;
          if (error !== null) expect(error, where).toMatchObject({ code: 'FILE_ERROR', cause: { code: errno } });
          if (!forever && error !== null)
            expect(leftovers(parent).filter((name) => name.includes('.tmp-')).length, where).toBeLessThanOrEqual(1);

          if (!forever && replaces) expect(existsSync(folder), `${where}: the writer puts the old folder back itself`).toBe(true);
          await repairFolder(folder); // what the next opening does
          expect(leftovers(parent), where).toEqual([]);
          if (existsSync(folder)) {
            await verifyFolder(folder);
            const version = versionOf(folder);
            if (error === null) expect(version, where).toBe(2);
            else expect([1, 2], where).toContain(version);
          } else {
            expect(replaces, `${where}: the old folder must not vanish`).toBe(false);
            expect(error, where).not.toBeNull();
          }
          await writeFolder(folder, versionFiles(3), { fs: quickFileSystem }); // training goes on
          expect(versionOf(folder), where).toBe(3);
          rmSync(parent, { recursive: true });
        }
      });
    }
  }

  test('a fault while a fault is being repaired', async () => {
    // A crash between the two renames, then every operation of the repair fails in turn.
    let clean = false;
    for (let k = 1; !clean; k++) {
      const parent = fresh();
      const folder = join(parent, 'm');
      await writeFolder(folder, versionFiles(1), { fs: quickFileSystem });
      renameSync(folder, `${folder}.old`);
      const fs = faultyFileSystem({ at: k, code: 'EIO', forever: true });
      await repairFolder(folder, { fs }).catch(() => undefined);
      clean = !fs.struck();
      await repairFolder(folder);
      expect(versionOf(folder), `operation ${k}`).toBe(1);
      expect(leftovers(parent)).toEqual([]);
    }
  });
});

describe('repairFolder', () => {
  test('an old folder beside an incomplete new one comes back; beside a complete one it goes', async () => {
    const parent = fresh();
    const folder = join(parent, 'm');
    await writeFolder(folder, versionFiles(1));
    cpSync(folder, `${folder}.old`, { recursive: true });
    rmSync(join(folder, MANIFEST));
    await repairFolder(folder);
    expect([versionOf(folder), leftovers(parent)]).toEqual([1, []]);
    cpSync(folder, `${folder}.old`, { recursive: true });
    rmSync(join(`${folder}.old`, 'config.json')); // half deleted
    await repairFolder(folder);
    expect([versionOf(folder), leftovers(parent)]).toEqual([1, []]);
    const incomplete = join(parent, 'n');
    mkdirSync(`${incomplete}.old`); // an empty folder was being replaced
    await repairFolder(incomplete);
    expect(readdirSync(parent).sort()).toEqual(['m', 'n']);
  });

  test('what a living writer has there is left alone, unless the caller holds the lock', async () => {
    const parent = fresh();
    const folder = join(parent, 'm');
    const other = `${folder}.tmp-${process.ppid}-00000000-0123abcd-0`;
    const dead = `${folder}.tmp-999999999-00000000-0123abcd-0`;
    const foreign = `${folder}.tmp-notes`;
    for (const path of [other, dead, foreign]) mkdirSync(path);
    await repairFolder(folder);
    expect([other, dead, foreign].map((path) => existsSync(path))).toEqual([true, false, true]);
    await repairFolder(folder, { exclusive: true });
    expect([other, foreign].map((path) => existsSync(path))).toEqual([false, true]);
    await repairFolder(join(root, 'nowhere', 'm'));
  });
});

describe('verifyFolder', () => {
  test('a missing, cut, longer or changed file is named', async () => {
    const damage: [change: (path: string) => void, expected: RegExp][] = [
      [(path) => rmSync(path), /got no weights.bin/],
      [(path) => writeFileSync(path, readFileSync(path).subarray(1)), /weights.bin with \d+ of \d+ bytes/],
      [(path) => writeFileSync(path, 'x', { flag: 'a' }), /weights.bin with \d+ of \d+ bytes/],
      [(path) => writeFileSync(path, readFileSync(path).fill(65, 100, 101)), /weights.bin: must have the SHA-256/],
    ];
    for (const [change, expected] of damage) {
      const folder = join(fresh(), 'm');
      await writeFolder(folder, versionFiles(1));
      change(join(folder, 'weights.bin'));
      const error = await verifyFolder(folder).catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 'INVALID_CHECKPOINT', message: expect.stringMatching(expected) });
    }
  });

  test('without complete.json, or with a malformed one, a folder is not complete', async () => {
    const folder = join(fresh(), 'm');
    await writeFolder(folder, versionFiles(1));
    const manifests = [
      '',
      '{',
      '[]',
      '{"version":2,"files":[]}',
      '{"version":1}',
      '{"version":1,"files":[{"name":"../x","size":1,"sha256":""}]}',
    ];
    for (const text of manifests) {
      writeFileSync(join(folder, MANIFEST), text);
      expect(await isComplete(folder), text).toBe(false);
      await expect(verifyFolder(folder), text).rejects.toThrowError(code('INVALID_CHECKPOINT'));
    }
    rmSync(join(folder, MANIFEST));
    expect(await isComplete(folder)).toBe(false);
    await expect(verifyFolder(folder)).rejects.toThrowError(/got none \(it was not finished\)/);
    expect(await isComplete(join(folder, 'none'))).toBe(false);
  });
});

describe('a writer that is killed', () => {
  test('at random moments: the folder is old or new, whole, and nothing is left after the next opening', async () => {
    const parent = fresh();
    const folder = join(parent, 'm');
    const script = await scriptOf('saver.ts', fresh());
    let version = 0;
    let random = 12345;
    for (let round = 0; round < 12; round++) {
      const child = spawn(process.execPath, [script, folder, String(version + 1)], { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = version;
      const ended = new Promise((resolve) => child.on('close', resolve));
      await new Promise<void>((resolve) => {
        child.stdout.on('data', (data: Buffer) => {
          said = Number(data.toString().trimEnd().split('\n').pop());
          resolve();
        });
      });
      random = (random * 1103515245 + 12345) % 2147483648;
      await new Promise((resolve) => setTimeout(resolve, (random / 2147483648) * 25));
      child.kill('SIGKILL');
      await ended;
      await repairFolder(folder);
      await verifyFolder(folder);
      version = versionOf(folder);
      expect(version, `round ${round}`).toBeGreaterThanOrEqual(said); // what was reported as saved is there
      expect(leftovers(parent), `round ${round}`).toEqual([]);
    }
  });
});
