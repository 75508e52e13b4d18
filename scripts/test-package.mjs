// `npm run test:package`: the package as people install it. Packs it, brings Node 22, 24 and 26 from npm's `node` package and a Chromium, then runs
// test/package. Slow and hungry for the network, so part of .ci/run and not of `npm test`.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, run } from './lib/run.mjs';
import { result, summarise, vitest } from './lib/runners.mjs';
import { setUpChromium } from './lib/setup.mjs';

const VERSIONS = [22, 24, 26];
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Path of a Node of this major version in .cache/nodes, installed there on first use. */
async function nodeOf(major) {
  const folder = join(ROOT, '.cache/nodes', `v${major}`);
  const binary = join(folder, 'node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(binary)) return binary;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"private":true}\n');
  console.log(`setup: npm install node@${major}`);
  await run(npm, ['install', '--no-audit', '--no-fund', `node@${major}`], { cwd: folder, capture: true, quiet: true });
  const installer = join(folder, 'node_modules/node/installArchSpecificPackage.js');
  // npm may refuse to run install scripts; the package's own one is what fetches the binary.
  if (!existsSync(binary) && existsSync(installer))
    await run(process.execPath, [installer], { cwd: join(folder, 'node_modules/node'), capture: true, quiet: true });
  if (!existsSync(binary)) throw new Error(`npm's node@${major} brought no binary`);
  return binary;
}

async function main() {
  const nodes = { [process.versions.node.split('.')[0]]: process.execPath };
  for (const major of VERSIONS) nodes[major] ??= await nodeOf(major);
  const { ready, hint, path } = await setUpChromium();
  if (!ready) return summarise([result('package', { skipped: 1, notes: [`needs ${hint}`] })]);
  return summarise([await vitest('package', 'package', { FERRO_CHROMIUM: path, FERRO_NODES: JSON.stringify(nodes) })]);
}

process.exitCode = await main();
