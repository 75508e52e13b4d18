#!/usr/bin/env node
// Builds the kernels: crates/ to ts/wasm/, through wasm-pack and wasm-bindgen. The engine's kernels in two builds that share one glue file, the text
// kernels (no threads, no vectors, memory of their own) in one.
// Says what it does, and installs what is missing. Not needed to use the package or to work on its TypeScript: what it makes is
// committed. The parts: build-wasm/{toolchain,glue,binary,manifest}.mjs.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkBinary, checkTextBinary } from './build-wasm/binary.mjs';
import { makeGlue, makeTextTypes, makeTypes } from './build-wasm/glue.mjs';
import { checkManifest, OUT_DIR, PARTS, ROOT, sourcesHash, writeManifest } from './build-wasm/manifest.mjs';
import { findToolchain, run, say, wasmTools } from './build-wasm/toolchain.mjs';

const HELP = `usage: node scripts/build-wasm.mjs [--check | --stale] [--part kernels|text] [--toolchain rustup|debian]

Builds crates/ into ts/wasm/: kernels.simd128.wasm, kernels.relaxed.wasm, kernels.js, kernels.d.ts, manifest.json; text.wasm, text.js, text.d.ts,
text-manifest.json.

  --check       build nothing; exit 1 with the reason if the committed files do not belong to the sources
  --stale       build only what does not belong to its sources
  --part        only this one
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

/** RUSTFLAGS of every build, one per element. Paths of this machine are replaced: they would show in panic messages. */
function commonFlags(toolchain) {
  return [
    ...(toolchain.linker ? [`-Clinker=${toolchain.linker}`] : []),
    ...toolchain.remap.map(([from, to]) => `--remap-path-prefix=${from}=${to}`),
  ];
}

/** Those of a build of the engine's kernels. */
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
    ...commonFlags(toolchain),
  ];
}

/** Runs wasm-pack for a crate; returns the .wasm bytes, the glue and its types. */
function pack(name, crate, flags, toolchain) {
  const outDir = join(ROOT, 'target', 'wasm', name, 'pkg');
  rmSync(outDir, { recursive: true, force: true });
  say(`building ${name} with ${toolchain.description}`);
  const args = ['build', join(ROOT, 'crates', crate), '--target', 'web', '--mode', toolchain.wasmPackMode, '--release'];
  args.push('--no-opt', '--no-pack', '--out-dir', outDir, '--', '-Z', 'build-std=std,panic_abort', '--locked');
  run('wasm-pack', args, {
    ...toolchain.env,
    RUSTC_BOOTSTRAP: '1', // building std is not stable yet
    CARGO_TARGET_DIR: join(ROOT, 'target', 'wasm', name),
    CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f'),
  });
  const file = (suffix, encoding) => readFileSync(join(outDir, `ferroformer_${crate}${suffix}`), encoding);
  return { wasm: file('_bg.wasm'), glue: file('.js', 'utf8'), types: file('.d.ts', 'utf8') };
}

/** The engine's kernels as files by name. */
function buildKernels(toolchain) {
  const built = Object.entries(BUILDS).map(([name, features]) => ({
    name,
    ...pack(name, 'wasm', rustFlags(features, toolchain), toolchain),
  }));
  if (built.some(({ glue, types }) => glue !== built[0].glue || types !== built[0].types)) {
    throw new Error('the builds need different glue: their exports or imports differ (compare target/wasm/*/pkg)');
  }
  const files = new Map();
  for (const { name, wasm } of built) {
    const { gzipBytes } = checkBinary(name, wasm, forbiddenPaths(toolchain));
    say(`${name}: ${wasm.length} bytes, ${gzipBytes} compressed`);
    files.set(`kernels.${name}.wasm`, wasm);
  }
  files.set('kernels.js', makeGlue(built[0].glue, 'createKernels'));
  files.set('kernels.d.ts', makeTypes(built[0].types));
  return files;
}

/** The text kernels as files by name. */
function buildText(toolchain) {
  const { wasm, glue, types } = pack(
    'text',
    'text',
    ['-Ctarget-feature=+bulk-memory,+mutable-globals', ...commonFlags(toolchain)],
    toolchain,
  );
  const { gzipBytes } = checkTextBinary('text', wasm, forbiddenPaths(toolchain));
  say(`text: ${wasm.length} bytes, ${gzipBytes} compressed`);
  return new Map([
    ['text.wasm', wasm],
    ['text.js', makeGlue(glue, 'createText')],
    ['text.d.ts', makeTextTypes(types)],
  ]);
}

const forbiddenPaths = (toolchain) => toolchain.remap.map(([path]) => path);

function readArguments(argv) {
  const options = {
    check: { type: 'boolean' },
    stale: { type: 'boolean' },
    help: { type: 'boolean' },
    part: { type: 'string' },
    toolchain: { type: 'string' },
  };
  const { values } = parseArgs({ args: argv, options });
  if (values.part !== undefined && !(values.part in PARTS)) throw new Error(`--part must be kernels or text, got ${values.part}`);
  if (![undefined, 'rustup', 'debian'].includes(values.toolchain))
    throw new Error(`--toolchain must be rustup or debian, got ${values.toolchain}`);
  return values;
}

function check(parts) {
  const reasons = parts.map(checkManifest).filter((reason) => reason !== undefined);
  for (const reason of reasons) console.log(`build-wasm: ${reason}; run npm run build:wasm`);
  if (reasons.length === 0) console.log('build-wasm: ts/wasm belongs to the sources');
  return reasons.length === 0 ? 0 : 1;
}

function main(argv) {
  let values;
  try {
    values = readArguments(argv);
  } catch (error) {
    console.error(`build-wasm: ${error.message}\n\n${HELP}`);
    return 2;
  }
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const wanted = values.part === undefined ? Object.keys(PARTS) : [values.part];
  if (values.check) return check(wanted);
  const parts = values.stale ? wanted.filter((part) => checkManifest(part) !== undefined) : wanted;
  if (parts.length === 0) {
    say('nothing to build');
    return 0;
  }
  const toolchain = wasmTools(findToolchain(values.toolchain));
  for (const part of parts) {
    const sources = sourcesHash(part); // before building: what changes meanwhile makes the result stale, as it is
    const files = part === 'text' ? buildText(toolchain) : buildKernels(toolchain);
    mkdirSync(OUT_DIR, { recursive: true });
    for (const [name, content] of files) writeFileSync(join(OUT_DIR, name), content);
    writeManifest(part, [...files.keys()], sources, toolchain.versions);
    say(`wrote ${[...files.keys()].join(', ')} and their manifest to ts/wasm`);
  }
  return 0;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  console.error(`build-wasm: ${error.message}`);
  process.exitCode = 1;
}
