#!/usr/bin/env node
// Examines the machine code that pinned versions of Node make of the committed kernels, and fails on a spill in a hot loop, on a loop that no longer fuses to 256
// bits, and on a function that an engine's optimising compiler dies of. Part of .ci/run, not of `npm test`. The parts: machine-code/{engines,compile,listing,
// loops,judge,expectations}.mjs; expectations.mjs says what is wanted.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from './lib/run.mjs';
import { compileAll } from './machine-code/compile.mjs';
import { ENGINES, nodeOf, versionOf, whyNotHere } from './machine-code/engines.mjs';
import { EXPECTATIONS, MIN_ARITHMETIC, REQUIRED } from './machine-code/expectations.mjs';
import { hotLoops, judge, kernelName } from './machine-code/judge.mjs';
import { innermostLoops } from './machine-code/loops.mjs';

const HELP = `usage: npm run check:code -- [--engine NAME]... [--function TEXT] [--dump]

Compiles both builds of the kernels with Node ${ENGINES.map(({ major }) => versionOf(major))
  .filter((version, i, all) => all.indexOf(version) === i)
  .join(', ')} and examines every hot loop.

  --engine NAME     only this engine, of: ${ENGINES.map(({ name }) => name).join(', ')}
  --function TEXT   only functions whose short name contains TEXT
  --dump            prints the instructions of their innermost loops too
  --kernels FOLDER  instead of ts/wasm`;

function options(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      engine: { type: 'string', multiple: true, default: [] },
      function: { type: 'string', default: '' },
      dump: { type: 'boolean', default: false },
      kernels: { type: 'string', default: join(ROOT, 'ts', 'wasm') },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = values.engine.find((name) => !ENGINES.some((engine) => engine.name === name));
  if (unknown !== undefined) throw new Error(`--engine must be one of ${ENGINES.map(({ name }) => name).join(', ')}, got ${unknown}`);
  return values;
}

/** Lines of the table for one engine, and faults that belong to no line. */
async function examine(engine, { function: text, dump, kernels }) {
  const node = nodeOf(engine.major);
  const lines = [];
  const faults = [];
  for (const build of ['simd128', 'relaxed']) {
    if (build === 'relaxed' && engine.name === '20 plain') continue; // Node 20 knows its instructions only with the flag
    const bytes = readFileSync(join(kernels, `kernels.${build}.wasm`));
    const { listings, failure } = await compileAll(node, engine.flags, bytes, build === engine.kernels);
    if (failure !== undefined) faults.push(`the optimising compiler, ${build} kernels: ${failure}`);
    for (const listing of listings) {
      const kernel = kernelName(listing.name);
      if (!kernel?.includes(text)) continue;
      const loops = hotLoops(listing, { minArithmetic: MIN_ARITHMETIC });
      if (loops.length > 0) lines.push(judge(kernel, loops, engine, EXPECTATIONS));
      if (dump)
        for (const loop of innermostLoops(listing.instructions))
          console.log(`${engine.name}: ${kernel}\n${loop.map((i) => `    ${i.text}`).join('\n')}`);
    }
  }
  if (text === '' && faults.length === 0) {
    for (const wanted of REQUIRED)
      if (!lines.some(({ kernel }) => wanted.test(kernel))) faults.push(`no function ${wanted.source} with a hot loop`);
  }
  return { lines, faults };
}

const COLUMNS = ['loops', 'instructions', 'fma', 'xmm', 'ymm', 'packs', 'fused', 'spills', 'reloads'];

function table(lines) {
  const width = Math.max(...lines.map(({ kernel }) => kernel.length), 8);
  const head = `${'function'.padEnd(width)}  engine      ${COLUMNS.map((c) => c.padStart(7)).join(' ')}`;
  const byName = [...lines].sort((a, b) => (a.kernel < b.kernel ? -1 : a.kernel > b.kernel ? 1 : 0));
  const rows = byName.map(
    (line) =>
      `${line.kernel.padEnd(width)}  ${line.engine.padEnd(10)}  ${COLUMNS.map((c) => String(line[c]).padStart(Math.max(c.length, 7))).join(' ')}  ${line.note}`,
  );
  return [head, ...rows.map((row) => row.trimEnd())].join('\n');
}

async function main(argv) {
  const chosen = options(argv);
  if (chosen.help) {
    console.log(HELP);
    return 0;
  }
  const why = whyNotHere();
  if (why !== undefined) throw new Error(why);
  const engines = ENGINES.filter(({ name }) => chosen.engine.length === 0 || chosen.engine.includes(name));
  const lines = [];
  const faults = [];
  for (const engine of engines) {
    const found = await examine(engine, chosen);
    lines.push(...found.lines);
    faults.push(...found.faults.map((fault) => `Node ${engine.name}: ${fault}`));
  }
  console.log(table(lines));
  console.log(
    '\nloops: innermost loops with vector arithmetic. instructions, fma, xmm, ymm, packs: of the largest. fused: how many are 256-bit arithmetic. spills, reloads: of the worst.',
  );
  faults.push(
    ...lines.filter(({ fault }) => fault !== undefined).map(({ kernel, engine, fault }) => `Node ${engine}: ${kernel}: ${fault}`),
  );
  for (const fault of faults) console.log(`check-machine-code: ${fault}`);
  console.log(`check-machine-code: ${engines.length} engines, ${lines.length} functions, ${faults.length} faults`);
  return faults.length > 0 ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`check-machine-code: ${error.message}`);
  process.exitCode = 2;
}
