// `npm run test:python`: the tests that need PyTorch and transformers. Makes a virtual environment in .cache with the pinned requirements, builds the
// package where dist/ is missing, and runs test/python with unittest. `--python PATH` uses an environment that has the requirements already.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { aptInstall, firstLine, mayUseApt, ROOT, run, runNode } from './lib/run.mjs';
import { countUnittest, result, summarise } from './lib/runners.mjs';

const VENV = join(ROOT, '.cache/python');
const REQUIREMENTS = join(ROOT, 'test/python/requirements.txt');
const inVenv = (name) => join(VENV, process.platform === 'win32' ? `Scripts/${name}.exe` : `bin/${name}`);

/** The Python of the environment, made or brought up to date; throws what failed. */
async function setUpPython() {
  const system = process.platform === 'win32' ? 'python' : 'python3';
  if (!existsSync(inVenv('python'))) {
    let made = await run(system, ['-m', 'venv', VENV], { capture: true, quiet: true });
    if (made.code !== 0 && mayUseApt()) {
      await aptInstall(['python3', 'python3-venv', 'python3-pip']);
      made = await run(system, ['-m', 'venv', '--clear', VENV], { capture: true, quiet: true });
    }
    if (made.code !== 0) throw new Error(`${system} -m venv fails: ${made.output.trim()}`);
  }
  const stamp = join(VENV, 'requirements.sha256');
  const wanted = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex');
  if ((await readFile(stamp, 'utf8').catch(() => '')) !== wanted) {
    console.log('setup: pip install -r test/python/requirements.txt (needs 10 GB of disk with PyTorch)');
    // PyTorch with its libraries is 3 GB of downloads and 6 GB unpacked: neither a second copy in pip's cache, nor a small /tmp in between.
    const scratch = join(ROOT, '.cache/pip');
    await mkdir(scratch, { recursive: true });
    const { code, output } = await run(inVenv('python'), ['-m', 'pip', 'install', '-q', '--no-cache-dir', '-r', REQUIREMENTS], {
      capture: true,
      quiet: true,
      env: { TMPDIR: scratch, TMP: scratch, TEMP: scratch },
    });
    await rm(scratch, { recursive: true, force: true });
    if (code !== 0) throw new Error(`pip fails: ${output.split('\n').slice(-15).join('\n')}`);
    await writeFile(stamp, wanted);
  }
  return inVenv('python');
}

async function main() {
  const { python: given } = parseArgs({ options: { python: { type: 'string' } } }).values;
  let python = given;
  try {
    python ??= await setUpPython();
  } catch (error) {
    return summarise([
      result('python', {
        skipped: 1,
        notes: [error.message, 'needs Python 3.11 or newer with venv, on Debian: apt-get install python3-venv'],
      }),
    ]);
  }
  console.log(`python: ${firstLine(python)}`);
  if (!existsSync(join(ROOT, 'dist/index.node.js')) && (await runNode(['scripts/build.mjs'])).code !== 0) {
    return summarise([result('build', { failed: 1, notes: ['npm run build fails'] })]);
  }
  const env = { FERRO_NODE: process.execPath, HF_HUB_OFFLINE: '1', PYTHONDONTWRITEBYTECODE: '1' };
  const { code, output } = await run(python, ['-m', 'unittest', 'discover', '-v', '-s', 'test/python'], { env, capture: true });
  return summarise([countUnittest('python', output, code)]);
}

process.exitCode = await main();
