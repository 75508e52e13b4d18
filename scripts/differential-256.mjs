// `node scripts/differential-256.mjs [--cases N] [--seed N] [--against RECORD] [--check]`: whether V8's optional code changes a bit of any kernel.
// On V8 13.6 and newer (Node 24, x64) the relaxed build as it is and the same build fused to 256 bits compute the same random cases, a million by default, and
// every result is compared bit for bit (NaN equals NaN: WebAssembly leaves open which). On older ones the relaxed build alone computes them, and the digests
// are compared with those in RECORD, made by another version. Writes its own record to bench/record/ and exits with 1 on any difference.
// --check computes nothing: it says which records named in ts/engine/verified.ts are of other kernels than those in ts/wasm.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { ROOT } from './lib/run.mjs';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    against: { type: 'string' },
    check: { type: 'boolean', default: false },
  },
});
const CHILD = fileURLToPath(new URL('./differential/child.mjs', import.meta.url));
// TIERED has a tiny budget: every function that runs more than a few times is optimised, with what was learned by then.
const OPTIMISED = ['--no-liftoff', '--no-wasm-lazy-compilation'];
const EAGER = [...OPTIMISED, '--no-wasm-inlining', '--no-wasm-inlining-call-indirect']; // with inlining V8 14.6 wants counts that baseline code gathers
const TIERED = ['--wasm-sync-tier-up', '--wasm-tiering-budget=2000'];
const manifest = JSON.parse(readFileSync(join(ROOT, 'ts/wasm/manifest.json'), 'utf8'));
const kernelHash = manifest.files['kernels.relaxed.wasm'].sha256;

/** A module of ts/, bundled into a temporary file. */
async function load(path, folder) {
  const outfile = join(folder, 'module.mjs');
  await build({ entryPoints: [join(ROOT, path)], outfile, bundle: true, format: 'esm', platform: 'neutral', logLevel: 'error' });
  return import(pathToFileURL(outfile).href);
}

function runChild(mode, flags, cases, opcodesFile, seed = Number(values.seed)) {
  const started = performance.now();
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, CHILD, mode, String(cases), String(seed), opcodesFile],
    {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    },
  );
  if (status !== 0) throw new Error(`${mode}: the process ended with ${signal ?? status}\n${stderr.slice(0, 2000)}`);
  const record = JSON.parse(stdout.trim().split('\n').at(-1));
  const speeds =
    record.gflops === undefined
      ? ''
      : `, ${record.gflops.tile} ${record.gflops.bits128.toFixed(0)} → ${record.gflops.bits256.toFixed(0)} GFLOP/s`;
  console.error(
    `${mode}: ${record.cases} cases, ${record.mismatches} mismatches, ${record.strayWrites} stray writes, ${record.nanPayloadsDiffer} NaNs of other payload${speeds} (${Math.round((performance.now() - started) / 1000)} s)`,
  );
  return record;
}

/** What is wrong with the parts of a run; empty when nothing is. */
function complaints(parts, opcodes, against) {
  const found = [];
  for (const { mode, mismatches, strayWrites, examples, kernels, gflops } of parts) {
    if (mismatches > 0 || strayWrites > 0 || examples.length > 0) found.push(`${mode}: results differ: ${JSON.stringify(examples)}`);
    if (gflops && gflops.bits256 < 1.3 * gflops.bits128) found.push(`${mode}: V8 has fused nothing (${JSON.stringify(gflops)})`);
    for (const name of Object.keys(opcodes)) if (name !== 'trap' && kernels[name] === undefined) found.push(`${mode}: no case for ${name}`);
  }
  if (against === undefined) return found;
  if (against.kernel_hash !== kernelHash) found.push(`--against is of other kernels (${against.kernel_hash})`);
  const [mine, theirs] = [parts[0], against.parts.find(({ mode }) => mode === 'tiered')];
  for (const [name, { digest }] of Object.entries(mine.kernels)) {
    if (digest !== theirs.kernels[name]?.digest) found.push(`${name}: other bits than in V8 ${against.v8}`);
  }
  return found;
}

async function check(folder) {
  const { VERIFIED_256, VERIFIED_RELAXED } = await load('ts/engine/verified.ts', folder);
  let stale = 0;
  for (const { record } of [...Object.values(VERIFIED_256), ...Object.values(VERIFIED_RELAXED)]) {
    const { kernel_hash } = JSON.parse(readFileSync(join(ROOT, record), 'utf8'));
    if (kernel_hash === kernelHash) continue;
    stale++;
    console.log(`${record} is of other kernels than ts/wasm: run scripts/differential-256.mjs on that version of Node again`);
  }
  return stale === 0 ? 0 : 1;
}

async function main(folder) {
  if (values.check) return check(folder);
  const { OPCODES } = await load('ts/graph/opcodes.ts', folder);
  const opcodesFile = join(folder, 'opcodes.json');
  writeFileSync(opcodesFile, JSON.stringify(OPCODES));
  const { v8, node } = process.versions;
  const [major, minor] = v8.split('.').map(Number);
  const wide = major > 13 || (major === 13 && minor >= 6);
  if (wide && process.arch !== 'x64') throw new Error(`256-bit vectors need an x64 processor, this is ${process.arch}`);
  if (!wide && values.against === undefined) throw new Error(`V8 ${v8} cannot fuse: --against must name a record of one that can`);
  // Other seeds in each mode: together they are that many different cases.
  const half = Math.ceil(Number(values.cases) / 2);
  const single = () => [
    runChild('single', [...OPTIMISED, ...(major === 11 ? ['--experimental-wasm-relaxed-simd'] : [])], half, opcodesFile),
  ];
  const parts = wide
    ? [runChild('eager', EAGER, half, opcodesFile, Number(values.seed) + 1_000_000), runChild('tiered', TIERED, half, opcodesFile)]
    : single();
  const against = values.against && JSON.parse(readFileSync(values.against, 'utf8'));
  const problems = complaints(parts, OPCODES, wide ? undefined : against);
  const sum = (name) => parts.reduce((total, part) => total + part[name], 0);
  const record = {
    v8,
    node,
    arch: process.arch,
    platform: process.platform,
    cpu: cpus()[0]?.model ?? 'unknown',
    date: new Date().toISOString().slice(0, 10),
    kernel_hash: kernelHash,
    seed: Number(values.seed),
    compared: wide ? '128 bits with 256 bits' : `relaxed build with that in V8 ${against.v8}`,
    cases: sum('cases'),
    mismatches: sum('mismatches'),
    passed: problems.length === 0,
    problems,
    parts,
  };
  mkdirSync(join(ROOT, 'bench/record'), { recursive: true });
  const file = `bench/record/${wide ? 'differential-256' : 'differential-relaxed'}-v8-${v8}.json`;
  writeFileSync(join(ROOT, file), `${JSON.stringify(record, null, 1)}\n`);
  for (const problem of problems) console.error(problem);
  console.log(
    `${record.passed ? 'passed' : 'FAILED'}: V8 ${v8} (Node ${node}), ${record.cases} cases, ${record.mismatches} mismatches; record in ${file}`,
  );
  return record.passed ? 0 : 1;
}

const folder = mkdtempSync(join(tmpdir(), 'ferroformer-differential-'));
try {
  process.exitCode = await main(folder);
} finally {
  rmSync(folder, { recursive: true });
}
