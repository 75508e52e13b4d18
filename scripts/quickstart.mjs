// `npm run quickstart`: builds the package where that is needed and trains a small GPT on Moby-Dick with the built command line, two to three minutes.
// Flags go to `ferroformer demo`: npm run quickstart -- --max-steps 300
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, runNode } from './lib/run.mjs';

/** Newest change below a file or folder, in ms. */
function changed(path) {
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => changed(join(path, name))));
}

function needsBuild() {
  const cli = join(ROOT, 'dist/cli.js');
  if (!existsSync(cli)) return true;
  const sources = ['ts', 'tsup.config.ts', 'package.json'].map((path) => changed(join(ROOT, path)));
  return Math.max(...sources) > statSync(cli).mtimeMs;
}

if (needsBuild()) {
  const { code } = await runNode(['scripts/build.mjs']);
  if (code !== 0) process.exit(code);
}
// An interrupt goes to the whole process group: this process waits for the command line, which saves a checkpoint.
process.on('SIGINT', () => {});
const { code } = await runNode(['dist/cli.js', 'demo', ...process.argv.slice(2)]);
process.exitCode = code;
