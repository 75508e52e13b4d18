// One part of the differential run, in a process of its own since V8's flags are for a process: `node FLAGS child.mjs MODE CASES SEED`. Prints the part of
// the record as one line of JSON. Modes:
//   eager    both modules compiled whole by the optimising compiler before anything runs (a function that V8 cannot compile ends this process)
//   tiered   as in use: baseline code first, then optimised with what it learned (inlining), at once because of --wasm-sync-tier-up
//   single   the 128-bit module alone, for its digests
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { compare } from './compare.mjs';
import { Machine } from './machine.mjs';

const [mode, cases, seed, opcodesFile] = process.argv.slice(2);
const KERNELS = new URL('../../ts/wasm/kernels.relaxed.wasm', import.meta.url);
const SECTION = [0, 16, 15, ...Buffer.from('ferroformer.256')];

const fuse = (on) => setFlagsFromString(`--${on ? '' : 'no-'}experimental-wasm-revectorize`);

const bytes = readFileSync(KERNELS);
const narrow = new Machine(new WebAssembly.Module(bytes));
if (mode !== 'single') fuse(true);
const wide = mode === 'single' ? undefined : new Machine(new WebAssembly.Module(Buffer.concat([bytes, Buffer.from(SECTION)])));

const before = (on) => (mode === 'tiered' ? () => fuse(on) : undefined);
const opcodes = JSON.parse(readFileSync(opcodesFile, 'utf8'));
const machines = { first: narrow, second: wide, beforeFirst: before(false), beforeSecond: before(true) };
const record = { mode, ...compare({ opcodes, ...machines, cases: Number(cases), seed: Number(seed) }) };
if (wide !== undefined) {
  // Shows that the wide module really runs fused code: the widest tile is fast in it alone.
  const last = narrow.kernels.register_tiles() - 1;
  const speed = ({ kernels }) => Math.max(...Array.from({ length: 20 }, () => kernels.tile_self_test(last, 2)));
  record.gflops = { tile: wide.kernels.register_tile_name(last), bits128: speed(narrow), bits256: speed(wide) };
}
console.log(JSON.stringify(record));
