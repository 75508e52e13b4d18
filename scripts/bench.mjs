// `npm run bench`: the built command line's `bench`. With `--torch PYTHON` it compares one training step with PyTorch's on this machine: rounds of both,
// one after the other, so that a busy machine slows both; medians over the rounds; the ratio is PyTorch's time divided by ours (above 1: we are faster).
//   npm run bench -- --torch PYTHON [--size S] [--threads 2] [--rounds 5] [--steps 30] [--simd auto]
import { existsSync } from 'node:fs';
import { cpus, release, type } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, run, runNode } from './lib/run.mjs';

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

async function jsonOf(name, promise) {
  const { code, output } = await promise;
  const line = output
    .trimEnd()
    .split('\n')
    .findLast((text) => text.startsWith('{'));
  if (code !== 0 || line === undefined) throw new Error(`${name} ended with code ${code}:\n${output}`);
  return JSON.parse(line);
}

async function compare({ torch, size, threads, rounds, steps, simd }) {
  const quiet = { capture: true, quiet: true };
  const cli = [
    'dist/cli.js',
    'bench',
    '--json',
    '--kernels',
    'false',
    '--sizes',
    size,
    '--steps',
    steps,
    '--threads',
    threads,
    '--simd',
    simd,
  ];
  const script = [join('scripts', 'torch_step.py'), size, '--steps', steps, '--threads', threads];
  const ours = [];
  const theirs = [];
  let about = {};
  for (let round = 1; round <= Number(rounds); round++) {
    const result = await jsonOf('ferroformer bench', runNode(cli, quiet));
    const other = await jsonOf('torch_step.py', run(torch, script, { ...quiet, env: { OMP_NUM_THREADS: threads } }));
    ours.push(result.steps[0].median_ms);
    theirs.push(other.median_ms);
    about = { build: result.build, fused: result.fused, runtime: result.runtime, torch: other.torch };
    console.error(`round ${round}/${rounds}: ferroformer ${ours.at(-1).toFixed(2)} ms, PyTorch ${theirs.at(-1).toFixed(2)} ms`);
  }
  const machine = { cpu: cpus()[0]?.model, os: `${type()} ${release()}`, node: process.version };
  console.log(
    JSON.stringify({
      size,
      threads: Number(threads),
      ferroformer_ms: median(ours),
      torch_ms: median(theirs),
      ratio: median(theirs) / median(ours),
      ...about,
      ...machine,
    }),
  );
  console.log(
    `size ${size}, ${threads} threads: ferroformer ${median(ours).toFixed(2)} ms, PyTorch ${median(theirs).toFixed(2)} ms, ratio ${(median(theirs) / median(ours)).toFixed(3)}`,
  );
}

if (!existsSync(join(ROOT, 'dist/cli.js'))) {
  const { code } = await runNode(['scripts/build.mjs']);
  if (code !== 0) process.exit(code);
}
if (process.argv.includes('--torch')) {
  const { values } = parseArgs({
    options: {
      torch: { type: 'string' },
      size: { type: 'string', default: 'S' },
      threads: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '5' },
      steps: { type: 'string', default: '30' },
      simd: { type: 'string', default: 'auto' },
    },
  });
  await compare(values);
} else {
  const { code } = await runNode(['dist/cli.js', 'bench', ...process.argv.slice(2)]);
  process.exitCode = code;
}
