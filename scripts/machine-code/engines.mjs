// The engines whose machine code is examined: exact versions of Node from engines.json, fetched from the npm registry once, checked against their hash there and
// kept in .cache/node. Offline afterwards. To move to a new version: change it in engines.json with the `dist.integrity` that `npm view` tells.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../lib/run.mjs';

const { package: PACKAGE, versions: VERSIONS } = JSON.parse(readFileSync(new URL('engines.json', import.meta.url), 'utf8'));
const CACHE = join(ROOT, '.cache', 'node');
const FUSE = '--experimental-wasm-revectorize';

/** One engine: a version with flags. `kernels` is the build it runs; `fuses` tells whether it makes 256-bit operations of pairs of 128-bit ones. */
export const ENGINES = [
  { name: '20 plain', major: 20, flags: [], kernels: 'simd128', fuses: false },
  { name: '20 relaxed', major: 20, flags: ['--experimental-wasm-relaxed-simd'], kernels: 'relaxed', fuses: false },
  { name: '22', major: 22, flags: [], kernels: 'relaxed', fuses: false },
  { name: '24', major: 24, flags: [], kernels: 'relaxed', fuses: false },
  { name: '24 fused', major: 24, flags: [FUSE], kernels: 'relaxed', fuses: true },
  { name: '26', major: 26, flags: [], kernels: 'relaxed', fuses: false },
  { name: '26 fused', major: 26, flags: [FUSE], kernels: 'relaxed', fuses: true },
];

/** The pinned version of a major version. */
export const versionOf = (major) => Object.keys(VERSIONS).find((version) => version.startsWith(`${major}.`));

/** Why this machine cannot examine the code, or undefined. V8 emits what the processor it runs on can do. */
export function whyNotHere() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `examines x64 code under Linux, this is ${process.arch} under ${process.platform}`;
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' ') ?? [];
  const missing = ['avx2', 'fma'].filter((flag) => !flags.includes(flag));
  return missing.length > 0 ? `needs a processor with avx2 and fma, this one lacks ${missing.join(' and ')}` : undefined;
}

/** The path of a pinned Node, which is fetched where the cache lacks it. */
export function nodeOf(major) {
  const version = versionOf(major);
  const folder = join(CACHE, version);
  const program = join(folder, 'bin', 'node');
  if (!existsSync(program)) fetchNode(version, folder);
  const found = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim();
  if (found !== `v${version}`) throw new Error(`${program} must be version ${version}, is ${found}; remove ${folder}`);
  return program;
}

function fetchNode(version, folder) {
  console.log(`fetching ${PACKAGE}@${version} into .cache/node`);
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, 'fetch-'));
  try {
    execFileSync('npm', ['pack', `${PACKAGE}@${version}`, '--pack-destination', scratch, '--silent'], {
      cwd: scratch,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [archive] = readdirSync(scratch);
    const hash = `sha512-${createHash('sha512')
      .update(readFileSync(join(scratch, archive)))
      .digest('base64')}`;
    if (hash !== VERSIONS[version]) throw new Error(`${PACKAGE}@${version}: engines.json wants ${VERSIONS[version]}, got ${hash}`);
    execFileSync('tar', ['-xzf', archive, 'package/bin/node'], { cwd: scratch });
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(scratch, 'package'), folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
