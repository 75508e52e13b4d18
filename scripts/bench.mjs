// `npm run bench`: how fast this package is on this machine.
//   npm run bench -- [flags of `ferroformer bench`] [--record NAME]                     kernels and steps, as the command line measures them
//   npm run bench -- --torch PYTHON [--sizes S,M,L] [--threads 1,2] [--variants default,auto256,relaxed,portable] [--nodes NODE,NODE=variant+variant]
//                    [--modes compile,bf16] [--rounds N] [--steps N] [--fresh] [--record NAME] [--resume]       next to PyTorch, in rounds
//   npm run bench -- --peers [--nodes NODE,NODE] [--record NAME]                         next to other WebAssembly libraries (bench/peers)
// A record is bench/record/DATE-NAME.json; scripts/bench/table.mjs makes README's table from one. With --resume what the record of this commit has is kept.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compareSize, LOSS_TOLERANCE } from './bench/compare.mjs';
import { busyShare, commit, machine } from './bench/machine.mjs';
import { comparePeers } from './bench/peers.mjs';
import { readRecord, recordPath, recordText, writeRecord } from './bench/record.mjs';
import { MODES, parseNodes, VARIANTS } from './bench/sides.mjs';
import { SIZES } from './bench/sizes.mjs';
import { stepsTable } from './bench/table.mjs';
import { positiveInteger } from './lib/flags.mjs';
import { ROOT, runNode } from './lib/run.mjs';

const tell = (text) => process.stderr.write(`${text}\n`);

/** The list that a flag names; every item must be known. */
function listOf(flag, text, known) {
  const items = text.split(',').filter((item) => item !== '');
  for (const item of items) {
    if (!known.includes(item)) throw new Error(`--${flag} must be among ${known.join(', ')}, got ${JSON.stringify(item)}`);
  }
  return items;
}

const count = (flag, text) => (text === undefined ? undefined : positiveInteger(flag, text));

/** What every record begins with. */
const header = (kind, name) => ({
  kind,
  name,
  date: new Date().toISOString(),
  ...commit(),
  command: `npm run bench -- ${process.argv
    .slice(2)
    .map((argument) => argument.replaceAll(/(?:[^\s,=]*[\\/])(node|python)(?=$|[,=\d])/g, '$1'))
    .join(' ')}`,
  machine: machine(),
});

/** A record that is written after each part and can be continued. Without a name nothing is written. */
async function openRecord(kind, name, resume) {
  const path = name === undefined ? undefined : recordPath(name);
  const fresh = { ...header(kind, name), runs: [] };
  const old = resume && path !== undefined ? await readRecord(path) : undefined;
  if (old !== undefined && (old.kind !== kind || old.commit !== fresh.commit || old.machine.cpu !== fresh.machine.cpu)) {
    throw new Error(`--resume: the record must be of this commit and machine, got ${old.commit} on ${old.machine.cpu}`);
  }
  const record = old ?? fresh;
  const save = async () => {
    if (path !== undefined) await writeRecord(path, record);
  };
  return { record, save, path };
}

/** By size, then threads: what a resumed record gets later need not stand last. */
const inOrder = (a, b) => Object.keys(SIZES).indexOf(a.size) - Object.keys(SIZES).indexOf(b.size) || a.threads - b.threads;

async function torchCommand(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      torch: { type: 'string' },
      sizes: { type: 'string', default: 'S' },
      threads: { type: 'string', default: '2' },
      variants: { type: 'string', default: 'default' },
      nodes: { type: 'string', default: process.execPath },
      modes: { type: 'string', default: '' },
      rounds: { type: 'string' },
      steps: { type: 'string' },
      fresh: { type: 'boolean', default: false },
      record: { type: 'string' },
      resume: { type: 'boolean', default: false },
    },
  });
  const sizes = listOf('sizes', values.sizes, Object.keys(SIZES));
  const threads = values.threads.split(',').map((text) => count('threads', text));
  const nodes = parseNodes(values.nodes, listOf('variants', values.variants, Object.keys(VARIANTS)));
  const modes = listOf('modes', values.modes, MODES);
  const options = {
    torch: values.torch,
    nodes,
    modes,
    rounds: count('rounds', values.rounds),
    steps: count('steps', values.steps),
    fresh: values.fresh,
    tell,
  };
  const { record, save, path } = await openRecord('training-step', values.record, values.resume);
  record.lossTolerance = LOSS_TOLERANCE;
  for (const size of sizes) {
    for (const n of threads) {
      if (record.runs.some((run) => run.size === size && run.threads === n && run.agree)) continue;
      record.runs.push(await compareSize({ ...options, size, threads: n }));
      record.runs.sort(inOrder);
      await save();
    }
  }
  console.log(path === undefined ? recordText(record) : `wrote ${path}`);
  console.log(`\n${stepsTable(record)}`);
  const wrong = record.runs.filter(({ agree }) => !agree);
  for (const { size, threads: n, sides } of wrong) {
    const far = sides.filter((side) => side.available && side.mode !== 'bf16' && side.worstLossDifference > LOSS_TOLERANCE);
    tell(
      `size ${size}, ${n} threads: losses must agree to ${LOSS_TOLERANCE}: ${far.map((s) => `${s.name} ${s.worstLossDifference}`).join(', ')}`,
    );
  }
  return wrong.length === 0 ? 0 : 1;
}

async function peersCommand(argv) {
  const { values } = parseArgs({
    args: argv,
    options: { peers: { type: 'boolean' }, nodes: { type: 'string', default: process.execPath }, record: { type: 'string' } },
  });
  const { record, save, path } = await openRecord('peers', values.record, false);
  record.busy = await busyShare();
  record.runs = await comparePeers(parseNodes(values.nodes, []), tell);
  await save();
  console.log(path === undefined ? recordText(record) : `wrote ${path}`);
  return 0;
}

/** `ferroformer bench`, kept as a record where one is named. */
async function machineCommand(argv) {
  const at = argv.indexOf('--record');
  if (at < 0) return (await runNode(['dist/cli.js', 'bench', ...argv])).code;
  const path = recordPath(argv[at + 1] ?? '');
  const args = ['dist/cli.js', 'bench', ...argv.slice(0, at), ...argv.slice(at + 2).filter((argument) => argument !== '--json'), '--json'];
  const { code, output } = await runNode(args, { capture: true });
  const line = output.split('\n').findLast((text) => text.startsWith('{'));
  if (code !== 0 || line === undefined) return code || 1;
  await writeRecord(path, { ...header('machine', argv[at + 1]), result: JSON.parse(line) });
  console.log(`wrote ${path}`);
  return 0;
}

async function main(argv) {
  if (!existsSync(join(ROOT, 'dist/cli.js'))) {
    const { code } = await runNode(['scripts/build.mjs']);
    if (code !== 0) return code;
  }
  const has = (flag) => argv.some((argument) => argument === flag || argument.startsWith(`${flag}=`));
  if (has('--torch')) return torchCommand(argv);
  return has('--peers') ? peersCommand(argv) : machineCommand(argv);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  tell(error.message);
  process.exitCode = 2;
}
