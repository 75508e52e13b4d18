// The package as people install it: packed, installed in an empty folder, and used in Node 20 to 26, by npx, in a Vite build and from a plain page.
// Started by scripts/test-package.mjs, which brings the versions of Node (FERRO_NODES) and a Chromium (FERRO_CHROMIUM).
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium';
import { serve } from '../support/server';
import { NODE_SCRIPT, PAGE, PAGE_SCRIPT, TYPES } from './fixtures';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NODES = Object.entries(JSON.parse(process.env.FERRO_NODES ?? JSON.stringify({ here: process.execPath })) as Record<string, string>);
const NPM = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const NPX = process.platform === 'win32' ? 'npx.cmd' : 'npx';

interface Outcome {
  losses: number[];
  text: string;
  threads: number;
  build: string;
}

const run = promisify(execFile);
let folder = '';
let packed: { files: { path: string; size: number }[]; size: number; filename: string };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ferro-package-'));
  const { stdout } = await run(NPM, ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT });
  [packed] = JSON.parse(stdout) as [typeof packed];
  await writeFile(join(folder, 'package.json'), '{"private":true,"type":"module"}\n');
  await run(NPM, ['install', '--no-audit', '--no-fund', '--offline', join(folder, packed.filename)], { cwd: folder });
  await writeFile(join(folder, 'train.js'), NODE_SCRIPT);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function check({ losses, text }: Outcome): void {
  expect(losses).toHaveLength(20);
  expect(losses.every(Number.isFinite)).toBe(true);
  expect(losses[19]).toBeLessThan(losses[0] - 0.5);
  expect(text).toHaveLength(10);
}

describe('the tarball', () => {
  it('holds what is needed and nothing else', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const needed of [
      'package.json',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'THIRD_PARTY_LICENSES',
      'dist/cli.js',
      'dist/index.node.js',
      'dist/index.node.d.ts',
    ]) {
      expect(paths).toContain(needed);
    }
    for (const needed of [
      'index.browser.js',
      'index.browser.d.ts',
      'worker.node.js',
      'thread.node.js',
      'worker.browser.js',
      'thread.browser.js',
    ]) {
      expect(paths).toContain(`dist/${needed}`);
    }
    expect(paths.filter((path) => path.endsWith('.wasm')).sort()).toEqual([
      'dist/kernels.relaxed.wasm',
      'dist/kernels.simd128.wasm',
      'dist/text.wasm',
    ]);
    expect(paths.filter((path) => !path.startsWith('dist/'))).toHaveLength(5);
    expect(packed.size).toBeLessThan(2_000_000);
  });

  it('has byte-level BPE within it, and says which package other tokenizers need', async () => {
    const unigram = JSON.stringify({
      added_tokens: [],
      model: {
        type: 'Unigram',
        unk_id: 0,
        vocab: [
          ['<unk>', 0],
          ['a', -1],
        ],
      },
    });
    await writeFile(
      join(folder, 'tokenizers.js'),
      `import { BpeTokenizer, loadTokenizer } from 'ferroformer';
      const bpe = await BpeTokenizer.train('the whale the whale', { vocabSize: 260 });
      const error = await loadTokenizer(${JSON.stringify(unigram)}).catch((error) => error);
      console.log(JSON.stringify([bpe.decode(bpe.encode('the whale 👋')), error.code]));`,
    );
    const { stdout } = await run(process.execPath, ['tokenizers.js'], { cwd: folder });
    expect(JSON.parse(stdout)).toEqual(['the whale 👋', 'TOKENIZER_PACKAGE_MISSING']);
  });

  it('brings no dependency along', async () => {
    const installed = (await readdir(join(folder, 'node_modules'))).filter((name) => !name.startsWith('.'));
    expect(installed).toEqual(['ferroformer']);
    const licences = await readFile(join(folder, 'node_modules/ferroformer/THIRD_PARTY_LICENSES'), 'utf8');
    for (const name of ['comlink', 'commander', 'uplot', 'yaml', 'wasm-bindgen']) expect(licences).toContain(name);
  });
});

describe.each([
  ['Node', ['node']],
  ['a browser', ['browser']],
])('a strict TypeScript project for %s', (_name, customConditions) => {
  it('type-checks, declarations included', async () => {
    const project = await mkdtemp(join(folder, 'types-'));
    await writeFile(join(project, 'main.ts'), TYPES);
    const compilerOptions = {
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      target: 'ES2022',
      module: 'ESNext',
      moduleResolution: 'Bundler',
      lib: ['ES2022', 'DOM'],
      types: [],
      customConditions,
    };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }));
    const { stdout } = await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', project]).catch((error) => error);
    expect(stdout).toBe('');
  });
});

describe.each(NODES)('Node %s', (_version, binary) => {
  const env = { ...process.env, PATH: `${dirname(binary)}${delimiter}${process.env.PATH}` };

  it('trains with the library', async () => {
    const { stdout, stderr } = await run(binary, ['train.js'], { cwd: folder, env });
    const outcome = JSON.parse(stdout) as Outcome;
    check(outcome);
    expect(outcome.threads).toBe(2);
    expect(stderr).toBe('');
  });

  it('trains with npx ferroformer', async () => {
    await writeFile(join(folder, 'song.txt'), 'the sea and the whale and the ship and the sea again.\n'.repeat(80));
    const out = `run-${_version}`;
    const flags = [
      'train',
      '--data',
      'song.txt',
      '--out',
      out,
      '--preset',
      'gpt-nano',
      '--block-size',
      '32',
      '--max-steps',
      '20',
      '--json',
    ];
    const { stdout } = await run(NPX, ['--no-install', 'ferroformer', ...flags], { cwd: folder, env });
    expect(JSON.parse(stdout)).toMatchObject({ step: 20, output_dir: out });
    expect(await readdir(join(folder, out, 'final'))).toContain('model.safetensors');
    expect(await readFile(join(folder, out, 'report.html'), 'utf8')).toContain('uPlot');
  });
});

describe.each([{ isolated: true }, { isolated: false }])('Chromium, isolated: $isolated', ({ isolated }) => {
  async function trainInPage(root: string, path: string): Promise<Outcome> {
    const [browser, server] = await Promise.all([launchChromium(), serve(root, { isolated })]);
    try {
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
      await page.goto(`${server.url}/${path}`);
      await page.waitForSelector('body[data-done]', { timeout: 120_000 }).catch((error) => {
        throw new Error(`${problems.join('\n')}\n${error}`);
      });
      expect(problems).toEqual([]);
      return JSON.parse((await page.textContent('body')) ?? '') as Outcome;
    } finally {
      await browser.close();
      await server.close();
    }
  }

  it('trains from a plain <script type="module">', async () => {
    await writeFile(join(folder, 'plain.html'), PAGE('./plain.js'));
    await writeFile(join(folder, 'plain.js'), PAGE_SCRIPT('./node_modules/ferroformer/dist/index.browser.js'));
    const outcome = await trainInPage(folder, 'plain.html');
    check(outcome);
    expect(outcome.threads).toBe(isolated ? 2 : 1);
  });

  it('trains in a Vite build', async () => {
    const app = join(folder, `vite-${isolated}`);
    await mkdir(app, { recursive: true });
    await writeFile(join(app, 'index.html'), PAGE('/main.js'));
    await writeFile(join(app, 'main.js'), PAGE_SCRIPT('ferroformer'));
    await build({ root: app, configFile: false, logLevel: 'error', build: { target: 'es2022', outDir: join(app, 'out') } });
    const outcome = await trainInPage(join(app, 'out'), 'index.html');
    check(outcome);
    expect(outcome.threads).toBe(isolated ? 2 : 1);
  });
});
