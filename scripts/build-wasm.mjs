#!/usr/bin/env node
// Builds the kernels: crates/ to ts/wasm/, through wasm-pack and wasm-bindgen, in two builds that share one glue file.
// Says what it does, and installs what is missing. Not needed to use the package or to work on its TypeScript: what it makes is
// committed. The parts: build-wasm/{toolchain,glue,binary,manifest}.mjs.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkBinary } from './build-wasm/binary.mjs';
import { makeGlue, makeTypes } from './build-wasm/glue.mjs';
import { checkManifest, OUT_DIR, ROOT, sourcesHash, writeManifest } from './build-wasm/manifest.mjs';
import { findToolchain, run, say, wasmTools } from './build-wasm/toolchain.mjs';

const HELP = `usage: node scripts/build-wasm.mjs [--check] [--toolchain rustup|debian]

Builds crates/ into ts/wasm/: kernels.simd128.wasm, kernels.relaxed.wasm, kernels.js, kernels.d.ts, manifest.json.

  --check       build nothing; exit 1 with the reason if the committed files do not belong to the sources
  --toolchain   use this one instead of the first that is complete`;

const BUILDS = { simd128: [], relaxed: ['+relaxed-simd'] };
const FEATURES = ['+simd128', '+atomics', '+bulk-memory', '+mutable-globals'];
// Threads: one imported shared memory, and the symbols that wasm-bindgen needs to give each thread a stack and its locals.
const LINK_ARGS = [
  '--shared-memory',
  '--import-memory',
  '--initial-memory=4194304',
  '--max-memory=4294967296',
  ...['__wasm_init_tls', '__tls_size', '__tls_align', '__tls_base', '__heap_base'].map((name) => `--export=${name}`),
];

/** RUSTFLAGS of a build, one per element. Paths of this machine are replaced: they would show in panic messages. */
function rustFlags(features, toolchain) {
  return [
    `-Ctarget-feature=${[...FEATURES, ...features].join(',')}`,
    // Loop strength reduction turns neighbouring addresses into separate pointers; V8 then neither fuses pairs of vectors to
    // 256 bit nor keeps the larger register tiles in registers (docs/log.md has the numbers).
    '-Cllvm-args=-disable-lsr',
    // The kernels write their vectors themselves. Those that LLVM makes of integer code elsewhere V8 13.6 fuses wrongly to 256 bit:
    // strides of an instruction came out as other numbers (docs/log.md).
    '-Cno-vectorize-loops',
    '-Cno-vectorize-slp',
    ...LINK_ARGS.map((arg) => `-Clink-arg=${arg}`),
    ...(toolchain.linker ? [`-Clinker=${toolchain.linker}`] : []),
    ...toolchain.remap.map(([from, to]) => `--remap-path-prefix=${from}=${to}`),
  ];
}

/** Runs wasm-pack for one build; returns the .wasm bytes, the glue and its types. */
function build(name, toolchain) {
  const outDir = join(ROOT, 'target', 'wasm', name, 'pkg');
  rmSync(outDir, { recursive: true, force: true });
  say(`building ${name} with ${toolchain.description}`);
  const args = ['build', join(ROOT, 'crates', 'wasm'), '--target', 'web', '--mode', toolchain.wasmPackMode, '--release'];
  args.push('--no-opt', '--no-pack', '--out-dir', outDir, '--', '-Z', 'build-std=std,panic_abort', '--locked');
  run('wasm-pack', args, {
    ...toolchain.env,
    RUSTC_BOOTSTRAP: '1', // building std is not stable yet
    CARGO_TARGET_DIR: join(ROOT, 'target', 'wasm', name),
    CARGO_ENCODED_RUSTFLAGS: rustFlags(BUILDS[name], toolchain).join('\x1f'),
  });
  const file = (suffix, encoding) => readFileSync(join(outDir, `ferroformer_wasm${suffix}`), encoding);
  return { wasm: file('_bg.wasm'), glue: file('.js', 'utf8'), types: file('.d.ts', 'utf8') };
}

function main(argv) {
  const toolchainAt = argv.indexOf('--toolchain');
  const wanted = toolchainAt < 0 ? undefined : argv[toolchainAt + 1];
  const flags = toolchainAt < 0 ? argv : argv.filter((_, i) => i !== toolchainAt && i !== toolchainAt + 1);
  const unknown = flags.find((flag) => !['--check', '--help'].includes(flag));
  if (unknown !== undefined || (toolchainAt >= 0 && !['rustup', 'debian'].includes(wanted))) {
    console.error(`build-wasm: unknown option ${unknown ?? `--toolchain ${wanted}`}\n\n${HELP}`);
    return 2;
  }
  if (flags.includes('--help')) {
    console.log(HELP);
    return 0;
  }
  if (flags.includes('--check')) {
    const reason = checkManifest();
    console.log(reason === undefined ? 'build-wasm: ts/wasm belongs to the sources' : `build-wasm: ${reason}; run npm run build:wasm`);
    return reason === undefined ? 0 : 1;
  }

  const sources = sourcesHash(); // before building: what changes meanwhile makes the result stale, as it is
  const toolchain = wasmTools(findToolchain(wanted));
  const built = Object.keys(BUILDS).map((name) => ({ name, ...build(name, toolchain) }));
  if (built.some(({ glue, types }) => glue !== built[0].glue || types !== built[0].types)) {
    throw new Error('the builds need different glue: their exports or imports differ (compare target/wasm/*/pkg)');
  }

  const files = new Map();
  for (const { name, wasm } of built) {
    const from = toolchain.remap.map(([path]) => path);
    const { gzipBytes } = checkBinary(name, wasm, from);
    say(`${name}: ${wasm.length} bytes, ${gzipBytes} compressed`);
    files.set(`kernels.${name}.wasm`, wasm);
  }
  files.set('kernels.js', makeGlue(built[0].glue));
  files.set('kernels.d.ts', makeTypes(built[0].types));
  mkdirSync(OUT_DIR, { recursive: true });
  for (const [name, content] of files) writeFileSync(join(OUT_DIR, name), content);
  writeManifest([...files.keys()], sources, toolchain.versions);
  say(`wrote ${[...files.keys()].join(', ')} and manifest.json to ts/wasm`);
  return 0;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  console.error(`build-wasm: ${error.message}`);
  process.exitCode = 1;
}
