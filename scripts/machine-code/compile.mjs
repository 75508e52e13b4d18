// Compiles a module's every function with an engine's optimising compiler, in a process of its own, since a compiler that does not expect what it meets ends the
// whole process.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readModule, withOnly } from '../lib/wasm-module.mjs';
import { parseListings } from './listing.mjs';

const COMPILE = "new WebAssembly.Module(require('node:fs').readFileSync(process.argv[1]))";
const OPTIMISE = ['--no-liftoff', '--no-wasm-lazy-compilation'];
const PRINT = ['--print-wasm-code', '--wasm-num-compilation-tasks=1']; // one at a time, or listings may mix

/** @returns {Promise<{ code: number | string, output: string, complaint: string }>} */
function compile(node, flags, path) {
  return new Promise((resolve, reject) => {
    const child = spawn(node, [...flags, ...OPTIMISE, '-e', COMPILE, path], { stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, err] = [[], []];
    child.stdout.on('data', (chunk) => out.push(chunk));
    child.stderr.on('data', (chunk) => err.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ code: code ?? signal, output: Buffer.concat(out).toString('utf8'), complaint: Buffer.concat(err).toString('utf8') }),
    );
  });
}

const firstWords = (complaint) =>
  complaint
    .split('\n')
    .map((line) => line.replace(/^#/, '').trim())
    .filter((line) => line !== '')
    .slice(0, 2)
    .join(' ');

/**
 * Compiles `bytes`. Returns the listings of all functions if `print`, and what the compiler cannot take: its own words and the functions concerned.
 * @returns {Promise<{ listings: import('./listing.mjs').Listing[], failure?: string }>}
 */
export async function compileAll(node, flags, bytes, print) {
  const scratch = mkdtempSync(join(tmpdir(), 'ferroformer-code-'));
  const path = join(scratch, 'module.wasm');
  const attempt = (module, extra = []) => {
    writeFileSync(path, module);
    return compile(node, [...flags, ...extra], path);
  };
  try {
    const { code, output, complaint } = await attempt(bytes, print ? PRINT : []);
    if (code === 0) {
      const listings = print ? parseListings(output) : [];
      const functions = readModule(bytes).functions.length;
      const optimised = listings.filter(({ compiler }) => compiler === 'TurboFan').length;
      if (print && optimised !== functions)
        return { listings, failure: `printed optimised code of ${optimised} functions of ${functions}` };
      return { listings };
    }
    const guilty = [];
    const search = async (functions) => {
      const { code: ended } = await attempt(withOnly(bytes, ({ index }) => functions.some((f) => f.index === index)));
      if (ended === 0) return;
      if (functions.length === 1) guilty.push(functions[0].name);
      else {
        const half = functions.length >> 1;
        await search(functions.slice(0, half));
        await search(functions.slice(half));
      }
    };
    await search(readModule(bytes).functions);
    return { listings: [], failure: `ends with ${code} (${firstWords(complaint)}) on ${guilty.join(', ') || 'the module as a whole'}` };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
