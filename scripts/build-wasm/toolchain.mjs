// Finds, or installs, what builds the kernels: a Rust with the sources of its std (no precompiled std has atomics), a linker for
// WebAssembly, wasm-pack and wasm-bindgen. Two kinds of Rust are known: rustup's, and Debian's packages for the web.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { ROOT } from './manifest.mjs';

const WASM_PACK_VERSION = '0.15.1';
const TARGET = 'wasm32-unknown-unknown';
const DEBIAN_PACKAGES = ['rustc-web', 'cargo-web', 'rust-web-src', 'lld-19'];
const DEBIAN_RUSTC = '/usr/bin/rustc';
const TOOLS = join(ROOT, 'target', 'tools');
const CARGO_HOME = process.env.CARGO_HOME ?? join(homedir(), '.cargo');

export const say = (text) => console.error(`build-wasm: ${text}`);

/** Standard output of a command, or undefined if it cannot be run or fails. */
function output(command, args, env = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env } });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** Runs a command for all to see; throws if it fails. */
export function run(command, args, env = {}) {
  const result = spawnSync(command, args, { stdio: ['ignore', 2, 2], env: { ...process.env, ...env } });
  if (result.status !== 0)
    throw new Error(`${command} ${args.slice(0, 2).join(' ')} failed (${result.error?.message ?? `exit ${result.status}`})`);
}

const prependPath = (folder) => ({ PATH: `${folder}${delimiter}${process.env.PATH ?? ''}` });

/** Paths of this machine that must not reach the .wasm files, and what stands for them. The last match wins in rustc. */
function remaps(sysroot) {
  const registry = join(CARGO_HOME, 'registry', 'src');
  const registries = existsSync(registry) ? readdirSync(registry).map((name) => [join(registry, name), 'deps']) : [];
  const std = join(sysroot, 'lib', 'rustlib', 'src', 'rust');
  return [[ROOT, '.'], [registry, 'deps'], ...registries, [std, 'rust'], [realpathSync(std), 'rust']];
}

function describe(kind, rustc, env) {
  const version = output(rustc, ['--version'], env);
  const sysroot = output(rustc, ['--print', 'sysroot'], env);
  if (version === undefined || sysroot === undefined) return undefined;
  if (!existsSync(join(sysroot, 'lib', 'rustlib', 'src', 'rust', 'library', 'std'))) return undefined;
  return { description: `${kind}: ${version}`, env, remap: remaps(sysroot), versions: { rustc: version } };
}

/** rustup's Rust, if it has the target (for its linker) and the sources of std. */
function rustup() {
  if (!(output('rustup', ['target', 'list', '--installed']) ?? '').split(/\s+/).includes(TARGET)) return undefined;
  const rustc = output('rustup', ['which', 'rustc']);
  const found = rustc && describe('rustup', rustc, {});
  return found && { ...found, wasmPackMode: 'no-install' };
}

/** Debian's rustc-web and company. Its folder comes first on the path: a rustup in front would answer for cargo. */
function debian() {
  const linker = ['wasm-ld-19', 'wasm-ld-20', 'wasm-ld-21'].find((name) => output(name, ['--version']) !== undefined);
  if (linker === undefined || !existsSync(DEBIAN_RUSTC) || !existsSync('/usr/bin/cargo')) return undefined;
  const found = describe('Debian', DEBIAN_RUSTC, { ...prependPath('/usr/bin'), RUSTC: DEBIAN_RUSTC });
  // wasm-pack looks for a precompiled std that this toolchain does not have (and that we do not use).
  return found && { ...found, linker, wasmPackMode: 'force' };
}

/** A complete toolchain, installed if need be. `wanted`: 'rustup', 'debian' or undefined for the first that is complete. */
export function findToolchain(wanted) {
  const kinds = { rustup, debian };
  const tries = wanted === undefined ? Object.values(kinds) : [kinds[wanted]];
  const find = () => tries.map((kind) => kind()).find((found) => found !== undefined);
  let found = find();
  if (found === undefined && tries.includes(rustup) && output('rustup', ['--version']) !== undefined) {
    say(`asking rustup for ${TARGET} and rust-src`);
    spawnSync('rustup', ['target', 'add', TARGET], { stdio: ['ignore', 2, 2] });
    spawnSync('rustup', ['component', 'add', 'rust-src'], { stdio: ['ignore', 2, 2] });
    found = find();
  }
  if (found === undefined && tries.includes(debian) && process.getuid?.() === 0 && output('apt-get', ['--version']) !== undefined) {
    say(`installing Debian's ${DEBIAN_PACKAGES.join(', ')}`);
    spawnSync('apt-get', ['update', '-q'], { stdio: ['ignore', 2, 2] });
    run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...DEBIAN_PACKAGES], { DEBIAN_FRONTEND: 'noninteractive' });
    found = find();
  }
  if (found !== undefined) return found;
  throw new Error(
    `no Rust that can build for WebAssembly threads. Either: rustup target add ${TARGET} && rustup component add rust-src; ` +
      `or, on Debian 12 as root: apt-get install ${DEBIAN_PACKAGES.join(' ')}`,
  );
}

/** The version of wasm-bindgen in Cargo.lock: its command line must be exactly that. */
function wasmBindgenVersion() {
  const lock = readFileSync(join(ROOT, 'Cargo.lock'), 'utf8').replaceAll('\r\n', '\n');
  const version = lock.match(/name = "wasm-bindgen"\nversion = "([^"]+)"/)?.[1];
  if (version === undefined) throw new Error('Cargo.lock must name wasm-bindgen');
  return version;
}

/**
 * Makes sure that a tool of a version is on the path, building it if it is not: into cargo's own folder if there was none, so that other
 * clones find it too; into target/tools, which comes first on the path, if there is another version that somebody may want.
 */
function ensureTool(binary, crate, version, env) {
  const installed = output(binary, ['--version'], env)?.split(/\s+/)[1];
  if (installed === version) return;
  say(`installing ${crate} ${version} with cargo, a few minutes${installed ? ` (into target/tools; found ${installed})` : ''}`);
  const args = ['install', crate, '--version', version, '--force', ...(installed ? ['--root', TOOLS] : [])];
  try {
    run('cargo', [...args, '--locked'], env);
  } catch {
    say(`${crate}: its locked dependencies cannot be had, trying the newest that fit`);
    run('cargo', args, env);
  }
}

/** The toolchain with wasm-pack and wasm-bindgen at hand and their versions noted. */
export function wasmTools(toolchain) {
  const path = toolchain.env.PATH ?? process.env.PATH ?? '';
  const env = { ...toolchain.env, PATH: [join(TOOLS, 'bin'), path, join(CARGO_HOME, 'bin')].join(delimiter) };
  const wasmBindgen = wasmBindgenVersion();
  ensureTool('wasm-pack', 'wasm-pack', WASM_PACK_VERSION, env);
  ensureTool('wasm-bindgen', 'wasm-bindgen-cli', wasmBindgen, env);
  const versions = { ...toolchain.versions, 'wasm-pack': WASM_PACK_VERSION, 'wasm-bindgen': wasmBindgen };
  return { ...toolchain, env, versions };
}
