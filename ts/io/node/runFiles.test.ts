import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { clearRunFolder, isFreshRunFolder, MetricsLog, readFileText, readMetrics, writeFileAtomic } from './runFiles';
import { faultyFileSystem } from './testing/faults';
import { leftovers, temporaryFolder } from './testing/folders';

const root = temporaryFolder();
let count = 0;
const fresh = () => {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  return folder;
};
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('writeFileAtomic', () => {
  test('makes and replaces a file', async () => {
    const path = join(fresh(), 'deep', 'run.json');
    await writeFileAtomic(path, 'one');
    await writeFileAtomic(path, new TextEncoder().encode('two'));
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(leftovers(join(path, '..'))).toEqual([]);
  });

  test('whatever fails, the file is the old one or the new one', async () => {
    let clean = false;
    for (let k = 1; !clean; k++) {
      const folder = fresh();
      const path = join(folder, 'run.json');
      writeFileSync(path, 'old');
      const fs = faultyFileSystem({ at: k, code: 'ENOSPC', forever: false });
      const error = await writeFileAtomic(path, 'new text', fs).then(
        () => null,
        (e: unknown) => e,
      );
      clean = !fs.struck();
      if (error !== null) expect(error, `operation ${k}`).toMatchObject({ code: 'FILE_ERROR', cause: { code: 'ENOSPC' } });
      expect(['old', 'new text'], `operation ${k}`).toContain(readFileSync(path, 'utf8'));
      expect(leftovers(folder), `operation ${k}`).toEqual([]);
    }
  });
});

describe('readFileText', () => {
  test('null without a file; typed errors otherwise', async () => {
    const folder = fresh();
    expect(await readFileText(join(folder, 'none'))).toBeNull();
    writeFileSync(join(folder, 'latin'), Uint8Array.of(0xe9));
    await expect(readFileText(join(folder, 'latin'))).rejects.toThrowError(code('INVALID_FILE'));
    await expect(readFileText(folder)).rejects.toThrowError(code('FILE_ERROR'));
  });
});

describe('MetricsLog', () => {
  test('rows are appended, one JSON object per line', async () => {
    const path = join(fresh(), 'metrics.jsonl');
    const log = await MetricsLog.open(path, 0);
    await log.append({ step: 1, loss: 4.25 });
    await log.append({ step: 2, loss: Number.NaN, __proto__x: 'a\nb' });
    await log.close();
    expect(readFileSync(path, 'utf8')).toBe('{"step":1,"loss":4.25}\n{"step":2,"loss":null,"__proto__x":"a\\nb"}\n');
    expect(await readMetrics(path)).toEqual([
      { step: 1, loss: 4.25 },
      { step: 2, loss: null, __proto__x: 'a\nb' },
    ]);
    expect(await readMetrics(join(root, 'none'))).toEqual([]);
  });

  test('a resumed run drops the rows after its checkpoint and a torn last line; a new one starts empty', async () => {
    const path = join(fresh(), 'metrics.jsonl');
    writeFileSync(path, '{"step":1}\n{"step":2}\n{"step":3}\n{"step":4,"lo');
    const log = await MetricsLog.open(path, 2);
    await log.append({ step: 3, loss: 1 });
    await log.close();
    expect(readFileSync(path, 'utf8')).toBe('{"step":1}\n{"step":2}\n{"step":3,"loss":1}\n');
    await (await MetricsLog.open(path, 0)).close();
    expect(readFileSync(path, 'utf8')).toBe('');
  });

  test('a row that was written half does not spoil the next', async () => {
    const path = join(fresh(), 'metrics.jsonl');
    for (let k = 1; ; k++) {
      const fs = faultyFileSystem({ at: k, code: 'ENOSPC', forever: false });
      const log = await MetricsLog.open(path, 0, fs).catch(() => null);
      if (log === null) continue;
      const before = fs.operations();
      if (before + 1 !== k) {
        await log.close().catch(() => undefined);
        continue; // look for the k that hits the first append
      }
      await expect(log.append({ step: 1, loss: 1 })).rejects.toThrowError(code('FILE_ERROR'));
      await log.append({ step: 2, loss: 2 });
      await log.close();
      expect(await readMetrics(path)).toEqual([{ step: 2, loss: 2 }]);
      return;
    }
  });
});

describe('run folders', () => {
  test('fresh: missing, empty, or with nothing but a lock', async () => {
    const folder = fresh();
    expect(await isFreshRunFolder(join(folder, 'none'))).toBe(true);
    expect(await isFreshRunFolder(folder)).toBe(true);
    writeFileSync(join(folder, 'run.lock'), '');
    expect(await isFreshRunFolder(folder)).toBe(true);
    appendFileSync(join(folder, 'x'), '');
    expect(await isFreshRunFolder(folder)).toBe(false);
    await expect(isFreshRunFolder(join(folder, 'x'))).rejects.toThrowError(code('FILE_ERROR'));
  });

  test('clearing removes what a run writes and nothing else', async () => {
    const folder = fresh();
    for (const name of ['final', 'checkpoint-10', 'checkpoint-20.old', 'final.tmp-1-00000000-0123abcd-0', 'notes', 'checkpoint-old']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'file'), 'x');
    }
    for (const name of ['run.json', 'metrics.jsonl', 'samples.jsonl', 'report.html', 'best', 'run.lock', 'corpus.txt', 'backup.old'])
      writeFileSync(join(folder, name), 'x');
    await clearRunFolder(folder);
    expect(readdirSync(folder).sort()).toEqual(['backup.old', 'checkpoint-old', 'corpus.txt', 'notes', 'run.lock']);
  });
});
