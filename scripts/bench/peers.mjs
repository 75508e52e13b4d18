// Other WebAssembly libraries on the same work (bench/peers): matrix products and the training step S, each in a process of its own, on one thread (what they
// have in Node). They are installed on demand into bench/peers/node_modules from a lock file of their own; what cannot be installed or run is left out with
// the reason.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { ROOT, run } from '../lib/run.mjs';

const FOLDER = join(ROOT, 'bench/peers');
const BUNDLE = join(FOLDER, 'node_modules/.cache/tfjs.mjs');
const WASM = join(FOLDER, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/');
const LIMIT_MS = 180_000;

/** Names and files; ours first. */
const PEERS = [
  { name: 'ferroformer', file: join(FOLDER, 'ours.mjs') },
  { name: 'tfjs-backend-wasm', file: BUNDLE, installed: true, prepare: bundleTfjs, env: { PEERS_WASM: WASM } },
  { name: 'jax-js', file: join(FOLDER, 'jax.mjs'), installed: true },
];

/** Why the peers are not there, or undefined. Installing runs none of their scripts. */
async function install() {
  if (existsSync(WASM) && existsSync(join(FOLDER, 'node_modules/@jax-js/jax'))) return undefined;
  const { code, output } = await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: FOLDER,
    capture: true,
    quiet: true,
  });
  return code === 0 ? undefined : `npm ci in bench/peers fails: ${output.trim().split('\n').slice(-3).join(' | ')}`;
}

/**
 * tfjs-core's gradients come only as modules without file endings, which bundlers read and Node does not, and must be in one bundle with its core.
 */
async function bundleTfjs() {
  const globals =
    'const require = createRequire(import.meta.url); const __filename = fileURLToPath(import.meta.url); const __dirname = dirname(__filename);';
  await build({
    entryPoints: [join(FOLDER, 'tfjs.mjs')],
    outfile: BUNDLE,
    bundle: true,
    format: 'esm',
    platform: 'node',
    mainFields: ['module', 'main'],
    logLevel: 'error',
    banner: {
      js: `import { createRequire } from 'node:module'; import { dirname } from 'node:path'; import { fileURLToPath } from 'node:url'; ${globals}`,
    },
  });
}

async function measurePeer(node, { name, file, prepare, env = {} }) {
  try {
    await prepare?.();
  } catch (error) {
    return { name, available: false, reason: error.message };
  }
  const { code, output } = await run(node, [file], { env, capture: true, quiet: true, timeoutMs: LIMIT_MS });
  const line = output.split('\n').findLast((text) => text.startsWith('{'));
  if (code === 0 && line !== undefined) return { available: true, ...JSON.parse(line) };
  return {
    name,
    available: false,
    reason: code === 124 ? `longer than ${LIMIT_MS / 1000} s` : output.trim().split('\n').slice(-3).join(' | '),
  };
}

/** Every library on every Node. */
export async function comparePeers(nodes, tell) {
  const missing = await install();
  const runs = [];
  for (const node of nodes) {
    for (const peer of PEERS) {
      const result =
        peer.installed && missing !== undefined
          ? { name: peer.name, available: false, reason: missing }
          : await measurePeer(node.program, peer);
      const { products = [], training } = result;
      const best = products.map(({ m, n, k, gflops }) => `${m}×${n}×${k} ${gflops.toFixed(1)}`).join(', ');
      const step = training === undefined ? '' : `; step S ${training.reason ?? `${training.medianMs.toFixed(1)} ms`}`;
      tell(`node ${node.version.slice(1)}, ${peer.name}: ${result.available ? `GFLOP/s ${best}${step}` : `left out: ${result.reason}`}`);
      runs.push({ ...result, node: node.version });
    }
  }
  return runs;
}
