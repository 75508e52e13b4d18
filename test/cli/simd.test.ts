// What the command line does with `--simd` and `--threads`, and where `--simd` is not given: the fastest on versions of V8 with a recorded differential run, a
// hint on others that could. The other tests of the command line run on one build with one number of threads.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { VERIFIED_256, VERIFIED_RELAXED } from '../../ts/engine/verified';
import { ferroformer, workplace } from './support';

const ARGS = [
  'train',
  '--data',
  'text.txt',
  '--out',
  'run',
  '--max-steps',
  '2',
  '--n-layer',
  '1',
  '--n-head',
  '2',
  '--n-embd',
  '16',
  '--block-size',
  '16',
];

const { v8 } = process.versions;
const [major, minor] = v8.split('.').map(Number);
const canFuse = process.arch === 'x64' && (major > 13 || (major === 13 && minor >= 6));
// The tests run Node 20 with its flag, which leaves nothing to turn on; the command line inherits it.
const hidesRelaxed = v8.startsWith('11.3.') && !process.execArgv.includes('--experimental-wasm-relaxed-simd');

test('the default is the fastest that has been checked; what has not is a hint', async () => {
  const cwd = await workplace();
  const { code, stderr } = await ferroformer(ARGS, cwd);
  expect(code, stderr).toBe(0);
  const wide = canFuse && v8 in VERIFIED_256;
  expect(stderr).toContain(`${wide ? 256 : 128}-bit vectors`);
  const hint = (canFuse && !wide) || (hidesRelaxed && !(v8 in VERIFIED_RELAXED && process.arch === 'x64'));
  expect(stderr.includes('hint: --simd')).toBe(hint);
  expect(stderr).not.toContain('warning');
});

test('a given --simd is taken as it is, without a hint', async () => {
  const cwd = await workplace();
  const { code, stderr } = await ferroformer([...ARGS, '--simd', 'portable'], cwd);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('simd128 kernels, 128-bit vectors');
  expect(stderr).not.toContain('hint:');
});

test('every build and number of threads is what the run has, and the threads change no bit of the model', async () => {
  const cwd = await workplace();
  const runs: Record<string, { model: Buffer; text: string }> = {};
  for (const [simd, threads] of [
    ['portable', 1],
    ['portable', 3],
    ['relaxed', 2],
  ] as const) {
    const name = `${simd}-${threads}`;
    const machine = ['--simd', simd, '--threads', String(threads)];
    const { code, stderr } = await ferroformer([...ARGS, ...machine, '--out', name], cwd);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`${threads} ${threads === 1 ? 'thread' : 'threads'}, ${simd === 'portable' ? 'simd128' : 'relaxed'} kernels`);
    const written = await ferroformer(
      ['generate', '--model', name, '--prompt', 'the ', '--max-new-tokens', '8', '--seed', '1', ...machine],
      cwd,
    );
    expect(written.code, written.stderr).toBe(0);
    runs[name] = { model: await readFile(join(cwd, name, 'final/model.safetensors')), text: written.stdout };
  }
  expect(runs['portable-3'].model.equals(runs['portable-1'].model)).toBe(true);
  expect(runs['portable-3'].text).toBe(runs['portable-1'].text);
});
