#!/usr/bin/env node
// `npm run fuzz`: every fuzz target for a while, two at a time: the parsers in Rust with libFuzzer (fuzz/), those in TypeScript with test/fuzz. What the targets
// promise and what the corpora are stands in fuzz/README.md. The last line is `N passed, N failed`; a target that fails leaves its input in .cache/fuzz.
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, run, runNode } from './lib/run.mjs';
import { result, summarise } from './lib/runners.mjs';
import { setUpFuzzing } from './lib/setup.mjs';

const USAGE = `usage: npm run fuzz [-- --seconds 60] [--target NAME] [--seed N] [--keep] [--sanitizer address|none]

  --seconds    how long each target runs (default 60)
  --target     one target alone
  --seed       of the random numbers (default: the time)
  --keep       adds to the corpora what reached something new
  --sanitizer  default: AddressSanitizer where the toolchain has it`;

const FOLDER = join(ROOT, 'fuzz');
const CACHE = join(ROOT, '.cache', 'fuzz');
const AT_ONCE = 2;

// What cargo-fuzz passes, so that neither it nor a nightly compiler is needed: edges counted, comparisons traced.
const COVERAGE = [
  '-Cpasses=sancov-module',
  ...['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares'].map((flag) => `-Cllvm-args=-sanitizer-coverage-${flag}`),
  '--cfg=fuzzing',
  '-Ccodegen-units=1',
];

const rustTargets = () =>
  readdirSync(join(FOLDER, 'targets'))
    .filter((name) => name.endsWith('.rs'))
    .map((name) => name.slice(0, -3));
const scriptTargets = () => readdirSync(join(ROOT, 'test', 'fuzz', 'corpus'));

/** Builds the Rust targets; the folder of the binaries, or why there is none. */
async function buildRust(sanitizer, host) {
  const flags = [...COVERAGE, ...(sanitizer === 'address' ? ['-Zsanitizer=address'] : [])];
  const folder = join(ROOT, 'target', `fuzz-${sanitizer}`);
  const env = { RUSTC_BOOTSTRAP: '1', CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f'), CARGO_TARGET_DIR: folder };
  // With --target the flags do not reach build scripts.
  const args = ['build', '--release', '--locked', '--bins', '--target', host, '--manifest-path', join(FOLDER, 'Cargo.toml')];
  const { code } = await run('cargo', args, { env });
  return code === 0 ? { folder: join(folder, host, 'release') } : { failure: `cargo build of fuzz/ fails with code ${code}` };
}

/** Makes a corpus the few inputs, of its own and of what was found, that together reach all that any of them reaches. */
async function keepCover(binary, kept, found) {
  const cover = `${found}-cover`;
  rmSync(cover, { recursive: true, force: true });
  mkdirSync(cover);
  const { code } = await run(binary, ['-set_cover_merge=1', cover, kept, found], { capture: true, quiet: true });
  if (code !== 0 || readdirSync(cover).length === 0) throw new Error(`the merge of ${kept} fails with code ${code}`);
  rmSync(kept, { recursive: true });
  cpSync(cover, kept, { recursive: true });
}

async function fuzzRust(name, binaries, { seconds, seed, keep }) {
  const kept = join(FOLDER, 'corpus', name);
  const found = join(CACHE, `rust-${name}`);
  rmSync(found, { recursive: true, force: true });
  mkdirSync(found, { recursive: true });
  const limits = [`-max_total_time=${seconds}`, `-seed=${seed}`, '-timeout=10', '-rss_limit_mb=2048', `-artifact_prefix=${CACHE}/${name}-`];
  const dictionary = join(FOLDER, 'dictionaries', name);
  if (existsSync(dictionary)) limits.push(`-dict=${dictionary}`);
  const binary = join(binaries, name);
  const folders = [found, kept, join(FOLDER, 'seeds', name)].filter((folder) => existsSync(folder));
  const { code, output } = await run(binary, [...folders, ...limits, '-print_final_stats=1', '-verbosity=0'], {
    capture: true,
    quiet: true,
    timeoutMs: (seconds + 120) * 1000,
  });
  const executed = /number_of_executed_units:\s*(\d+)/.exec(output)?.[1];
  console.log(`fuzz ${name}: ${executed ?? 'no'} inputs, code ${code}`);
  if (code !== 0 || executed === undefined) {
    console.log(output.split('\n').slice(-60).join('\n'));
    return result(`fuzz ${name}`, { failed: 1, notes: [ending(code)] });
  }
  if (keep) await keepCover(binary, kept, found);
  return result(`fuzz ${name}`, { passed: 1, notes: [`${executed} inputs in ${seconds} s`] });
}

async function fuzzScript(name, { seconds, seed, keep }) {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const env = { FERRO_FUZZ_SECONDS: String(seconds), FERRO_FUZZ_SEED: String(seed), ...(keep ? { FERRO_FUZZ_KEEP: '1' } : {}) };
  const { code, output } = await runNode([vitest, 'run', '--project', 'once', 'test/fuzz', '-t', `fuzz target ${name}:`], {
    env,
    capture: true,
    quiet: true,
    timeoutMs: (seconds + 120) * 1000,
  });
  const said = /fuzz \S+: (\d+) inputs, \d+ kinds of answers/.exec(output);
  console.log(said?.[0] ?? `fuzz ${name}: code ${code}`);
  if (code === 0 && said !== null) return result(`fuzz ${name}`, { passed: 1, notes: [`${said[1]} inputs in ${seconds} s`] });
  console.log(output.split('\n').slice(-60).join('\n'));
  return result(`fuzz ${name}`, { failed: 1, notes: [ending(code)] });
}

const ending = (code) =>
  code === 124 ? 'it hangs: the same seed leads there again' : `ended with code ${code}; the input is in .cache/fuzz`;

/** Does jobs, so many at once, in order. */
async function doAll(jobs) {
  const results = [];
  const queue = [...jobs.entries()];
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await next[1]();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

function readArguments() {
  const options = { seconds: '60', target: undefined, seed: String(Date.now() % 2 ** 31), keep: false, sanitizer: undefined };
  const types = Object.fromEntries(Object.entries(options).map(([key, value]) => [key, { type: value === false ? 'boolean' : 'string' }]));
  const { values } = parseArgs({ options: types });
  const read = { ...options, ...values };
  const [seconds, seed] = [Number(read.seconds), Number(read.seed)];
  if (!(seconds >= 1)) throw new Error(`--seconds must be at least 1, got ${read.seconds}`);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31)) throw new Error(`--seed must be an integer below 2^31, got ${read.seed}`);
  if (read.sanitizer !== undefined && !['address', 'none'].includes(read.sanitizer))
    throw new Error(`--sanitizer must be address or none, got ${read.sanitizer}`);
  const names = [...rustTargets(), ...scriptTargets()];
  if (read.target !== undefined && !names.includes(read.target))
    throw new Error(`--target must be one of ${names.join(', ')}, got ${read.target}`);
  return { ...read, seconds, seed };
}

async function main() {
  let settings;
  try {
    settings = readArguments();
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  const wanted = (name) => settings.target === undefined || settings.target === name;
  mkdirSync(CACHE, { recursive: true });
  console.log(`fuzz: ${settings.seconds} s each, seed ${settings.seed}`);
  const jobs = [];
  const rust = rustTargets().filter(wanted);
  if (rust.length > 0) {
    const { ready, hint, sanitizer, host } = await setUpFuzzing();
    const built = ready ? await buildRust(settings.sanitizer ?? sanitizer, host) : undefined;
    if (built === undefined) jobs.push(async () => result('fuzz, Rust', { skipped: rust.length, notes: [`needs ${hint}`] }));
    else if (built.failure) jobs.push(async () => result('fuzz, Rust', { failed: 1, notes: [built.failure] }));
    else jobs.push(...rust.map((name) => () => fuzzRust(name, built.folder, settings)));
  }
  const scripts = scriptTargets().filter(wanted);
  if (scripts.length > 0 && !existsSync(join(ROOT, 'dist/index.node.js')) && (await runNode(['scripts/build.mjs'])).code !== 0)
    jobs.push(async () => result('build', { failed: 1, notes: ['npm run build fails'] }));
  else jobs.push(...scripts.map((name) => () => fuzzScript(name, settings)));
  return summarise(await doAll(jobs));
}

process.exitCode = await main();
