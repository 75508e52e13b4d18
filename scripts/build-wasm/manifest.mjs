// ts/wasm/manifest.json and text-manifest.json: which sources and which toolchain the committed kernels were made from, and what their bytes are.
// Two parts, so that a change of one leaves the other's files alone.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(fileURLToPath(new URL('../..', import.meta.url)));
export const OUT_DIR = join(ROOT, 'ts', 'wasm');

/** What is built by itself: the engine's kernels, and the text kernels. */
export const PARTS = {
  kernels: { manifest: join(OUT_DIR, 'manifest.json'), crates: ['simd', 'kernels', 'engine', 'wasm'] },
  text: { manifest: join(OUT_DIR, 'text-manifest.json'), crates: ['text'] },
};

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Files that are compiled for tests only: crates/x/tests/, a module `tests` in a folder or file of its own. */
const TESTS_ONLY = /\/tests(\/|\.rs$)/;

/** Everything a part is made from: its crates, the workspace files and the flags they are compiled with, as paths with '/', sorted by code unit. */
function sourceFiles(part) {
  const inCrates = PARTS[part].crates
    .flatMap((crate) => readdirSync(join(ROOT, 'crates', crate), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && (entry.name.endsWith('.rs') || entry.name === 'Cargo.toml'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const all = [...inCrates, join(ROOT, 'Cargo.toml'), join(ROOT, 'Cargo.lock'), join(ROOT, 'scripts', 'build-wasm.mjs')];
  const paths = all.map((path) => relative(ROOT, path).split(sep).join('/')).filter((path) => !TESTS_ONLY.test(path));
  return paths.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** One hash of all sources of a part: names and contents, line endings as LF whatever the checkout made of them. */
export function sourcesHash(part) {
  const hash = createHash('sha256');
  for (const path of sourceFiles(part)) {
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

/** Writes the manifest of a part for these files of ts/wasm, which must be there already; `sources` is the hash they were built from. */
export function writeManifest(part, names, sources, toolchain) {
  const entry = (name) => {
    const bytes = committedBytes(name);
    return [name, { sha256: sha256(bytes), bytes: bytes.length }];
  };
  const manifest = { sourcesHash: sources, toolchain, files: Object.fromEntries(names.map(entry)) };
  writeFileSync(PARTS[part].manifest, `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Why the committed files of a part do not belong to its sources, or undefined if they do. */
export function checkManifest(part) {
  const { manifest: path } = PARTS[part];
  if (!existsSync(path)) return `ts/wasm/${basename(path)} is missing`;
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  for (const [name, { sha256: wanted }] of Object.entries(manifest.files)) {
    if (!existsSync(join(OUT_DIR, name))) return `ts/wasm/${name} is missing`;
    if (sha256(committedBytes(name)) !== wanted) return `ts/wasm/${name} is not the file that was built`;
  }
  if (manifest.sourcesHash !== sourcesHash(part)) return `the sources of the ${part} have changed since they were built`;
  return undefined;
}
