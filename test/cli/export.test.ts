// `ferroformer export` as a shell runs it: what it writes can be used, and what it must not replace stays.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportModel } from 'ferroformer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ferroformer, MACHINE, SMALL, TEXT, workplace } from './support';

describe('export', () => {
  let [trained, folder] = ['', ''];
  const run = (...args: string[]) => ferroformer(args, folder);
  beforeAll(async () => {
    trained = await mkdtemp(join(tmpdir(), 'ferro-cli-'));
    await writeFile(join(trained, 'text.txt'), TEXT);
    const { code, stderr } = await ferroformer(['train', '--data', 'text.txt', '--out', 'run', '--max-steps', '10', ...SMALL], trained);
    if (code !== 0) throw new Error(stderr);
  });
  afterAll(() => rm(trained, { recursive: true, force: true }));
  /** A folder of the test's own with the run in it. */
  const open = async () => {
    folder = await workplace();
    await cp(join(trained, 'run'), join(folder, 'run'), { recursive: true });
  };

  it('makes a clean folder of a run, which generates the same text', async () => {
    await open();
    const done = await run('export', '--model', 'run', '--out', 'clean', '--json');
    expect(done.code, done.stderr).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject({ path: 'clean', format: 'hf' });
    expect(await readdir(join(folder, 'clean'))).toEqual([
      'complete.json',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const generate = (model: string) =>
      run('generate', '--model', model, '--prompt', 'the ', '--max-new-tokens', '20', '--seed', '1', '--json', ...MACHINE);
    const [before, after] = [await generate('run'), await generate('clean')];
    expect(JSON.parse(after.stdout).ids).toEqual(JSON.parse(before.stdout).ids);
  });

  it('writes GGUF in each type, and again over a GGUF file', async () => {
    await open();
    const sizes: number[] = [];
    for (const dtype of ['float32', 'float16', 'q8_0', 'float16']) {
      const done = await run('export', '--model', 'run', '--format', 'gguf', '--dtype', dtype, '--out', 'deep/model.gguf', '--json');
      expect(done.code, done.stderr).toBe(0);
      const { bytes } = JSON.parse(done.stdout);
      expect((await stat(join(folder, 'deep/model.gguf'))).size).toBe(bytes);
      sizes.push(bytes);
    }
    expect(sizes[1]).toBeLessThan(sizes[0]);
    expect(sizes[3]).toBe(sizes[1]);
    expect(await readdir(join(folder, 'deep'))).toEqual(['model.gguf']);
    expect((await readFile(join(folder, 'deep/model.gguf'))).subarray(0, 4).toString()).toBe('GGUF');
  });

  it('refuses what it cannot write and leaves what is there', async () => {
    await open();
    await writeFile(join(folder, 'notes.txt'), 'mine');
    await mkdir(join(folder, 'box'));
    const refused = async (...args: string[]) => {
      const { code, stderr } = await run('export', ...args);
      expect(code).not.toBe(0);
      return stderr;
    };
    expect(await refused('--model', 'run', '--format', 'gguf', '--out', 'notes.txt')).toContain('FILE_ERROR');
    expect(await readFile(join(folder, 'notes.txt'), 'utf8')).toBe('mine');
    expect(await refused('--model', 'run', '--format', 'gguf', '--out', 'box')).toContain('must be a file, got a folder');
    expect(await refused('--model', 'run', '--out', 'x', '--dtype', 'q8_0')).toContain('INVALID_OPTION');
    expect(await refused('--model', 'run')).toContain('"--out" must be given');
    expect(await refused('--out', 'x')).toContain('"--model" must be given');
    expect(await refused('--model', 'absent', '--out', 'x')).toContain('FILE_NOT_FOUND');
    expect((await readdir(folder)).sort()).toEqual(['box', 'notes.txt', 'run', 'text.txt']);
  });

  it('is refused in a program for what the options do not have', async () => {
    for (const [options, code] of [
      [{ format: 'onnx' }, 'INVALID_OPTION'],
      [{ dtype: 'int3' }, 'INVALID_OPTION'],
      [{ shardSize: 1 }, 'UNKNOWN_OPTION'],
    ] as const)
      await expect(exportModel('run', 'x', options as object), JSON.stringify(options)).rejects.toMatchObject({ code });
  });
});
