// `npm test`: builds the package, then runs every test that does not need Python: Rust, TypeScript on the sources, the built package on both kernel builds
// and with 1, 2 and 3 threads (what neither can change, test/once.ts, once), and a training run in Chromium with and without cross-origin isolation. Sets up
// what is missing where it may and reports the rest as skipped; with CI=true a skip is a failure. `--only rust|ts|kernels|browser` runs a part; kernels is of
// ts what other kernels could change. The last line is `N passed, N failed[, N skipped]`.
import { parseArgs } from 'node:util';
import { runNode } from './lib/run.mjs';
import { cargo, result, summarise, vitest } from './lib/runners.mjs';
import { setUpCargo, setUpChromium } from './lib/setup.mjs';

const PARTS = ['rust', 'ts', 'kernels', 'browser'];
const USAGE = `usage: npm test [-- --only ${PARTS.join('|')}]`;

// Three runs of the built package cover both builds and all thread counts.
const COMBINATIONS = [
  { FERRO_BUILD: 'simd128', FERRO_THREADS: '1' },
  { FERRO_BUILD: 'relaxed', FERRO_THREADS: '2' },
  { FERRO_BUILD: 'simd128', FERRO_THREADS: '3' },
];
const ONCE = COMBINATIONS[1];

async function rust() {
  const { ready, hint } = await setUpCargo();
  return [ready ? await cargo('rust') : result('rust', { skipped: 1, notes: [`needs ${hint}`] })];
}

async function onKernels() {
  const results = [await vitest('unit', 'unit')];
  for (const env of COMBINATIONS) results.push(await vitest(`package, ${env.FERRO_BUILD}, threads ${env.FERRO_THREADS}`, 'node', env));
  return results;
}

const once = () => vitest('package, once', 'once', ONCE);

async function browser() {
  const { ready, hint, path } = await setUpChromium();
  return [
    ready ? await vitest('browser', 'browser', { FERRO_CHROMIUM: path }) : result('browser', { skipped: 1, notes: [`needs ${hint}`] }),
  ];
}

async function main() {
  let only;
  try {
    ({ only } = parseArgs({ options: { only: { type: 'string' } } }).values);
    if (only !== undefined && !PARTS.includes(only)) throw new Error(`--only must be one of ${PARTS.join(', ')}, got ${only}`);
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`);
    return 2;
  }
  const wanted = (...parts) => only === undefined || parts.includes(only);
  const results = [];
  if (only !== 'rust') {
    const { code } = await runNode(['scripts/build.mjs']);
    if (code !== 0) return summarise([result('build', { failed: 1, notes: ['npm run build fails'] })]);
  }
  if (wanted('rust')) results.push(...(await rust()));
  if (wanted('ts', 'kernels')) results.push(...(await onKernels()));
  if (wanted('ts')) results.push(await once());
  if (wanted('browser')) results.push(...(await browser()));
  return summarise(results);
}

process.exitCode = await main();
