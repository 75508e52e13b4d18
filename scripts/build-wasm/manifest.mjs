// ts/wasm/manifest.json: which sources and which toolchain the committed kernels were made from, and what their bytes are.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(fileURLToPath(new URL('../..', import.meta.url)));
export const OUT_DIR = join(ROOT, 'ts', 'wasm');
const MANIFEST = join(OUT_DIR, 'manifest.json');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Files that are compiled for tests only: crates/x/tests/, a module `tests` in a folder or file of its own. */
const TESTS_ONLY = /\/tests(\/|\.rs$)/;

/** Everything the kernels are made from: the crates, the workspace files and the flags they are compiled with, as paths with '/', sorted by code unit. */
function sourceFiles() {
  const inCrates = readdirSync(join(ROOT, 'crates'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && (entry.name.endsWith('.rs') || entry.name === 'Cargo.toml'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const all = [...inCrates, join(ROOT, 'Cargo.toml'), join(ROOT, 'Cargo.lock'), join(ROOT, 'scripts', 'build-wasm.mjs')];
  const paths = all.map((path) => relative(ROOT, path).split(sep).join('/')).filter((path) => !TESTS_ONLY.test(path));
  return paths.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** One hash of all sources: names and contents, line endings as LF whatever the checkout made of them. */
export function sourcesHash() {
  const hash = createHash('sha256');
  for (const path of sourceFiles()) {
    const text = readFileSync(join(ROOT, path), 'utf8').replaceAll('\r\n', '\n');
    hash.update(`${path}\n${Buffer.byteLength(text)}\n`).update(text);
  }
  return hash.digest('hex');
}

/** A built file's bytes as they are committed: text with LF, binaries as they are. */
function committedBytes(name) {
  const bytes = readFileSync(join(OUT_DIR, name));
  return name.endsWith('.wasm') ? bytes : Buffer.from(bytes.toString('utf8').replaceAll('\r\n', '\n'));
}

/** Writes the manifest for these files of ts/wasm, which must be there already; `sources` is the hash they were built from. */
export function writeManifest(names, sources, toolchain) {
  const entry = (name) => {
    const bytes = committedBytes(name);
    return [name, { sha256: sha256(bytes), bytes: bytes.length }];
  };
  const manifest = { sourcesHash: sources, toolchain, files: Object.fromEntries(names.map(entry)) };
  writeFileSync(MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Why the committed kernels do not belong to the sources, or undefined if they do. */
export function checkManifest() {
  if (!existsSync(MANIFEST)) return 'ts/wasm/manifest.json is missing';
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8'));
  for (const [name, { sha256: wanted }] of Object.entries(manifest.files)) {
    if (!existsSync(join(OUT_DIR, name))) return `ts/wasm/${name} is missing`;
    if (sha256(committedBytes(name)) !== wanted) return `ts/wasm/${name} is not the file that was built`;
  }
  if (manifest.sourcesHash !== sourcesHash()) return 'the sources of the kernels have changed since they were built';
  return undefined;
}
