// What all recipes share: their flags, and the lines that say how a result compares. The recipes themselves are the files beside this one.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * Flags by name, numbers where the default is one: `--max-steps 100` overrides { maxSteps: 1200 }. Every recipe also has
 *   --out DIR     where the trained model goes
 *   --dump DIR    writes the same task for PyTorch (scripts/recipes/torch_peer.py) instead of training
 *   --torch DIR   such a folder after PyTorch has trained: its predictions are scored beside ours
 * A flag whose default is undefined must be given.
 */
export function readFlags(defaults) {
  const all = { out: '', dump: '', torch: '', threads: 2, ...defaults };
  const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const { values } = parseArgs({ options: Object.fromEntries(Object.keys(all).map((name) => [kebab(name), { type: 'string' }])) });
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => {
      const given = values[kebab(name)] ?? value;
      if (given === undefined) {
        console.error(`--${kebab(name)} must be given`);
        process.exit(2);
      }
      if (typeof value === 'number' && !Number.isFinite(Number(given))) {
        console.error(`--${kebab(name)} must be a number, got ${given}`);
        process.exit(2);
      }
      return [name, typeof value === 'number' ? Number(given) : given];
    }),
  );
}

/**
 * The rows that a data set keeps (the others are empty, or longer than the context): what is scored, here and on PyTorch's side, and by the baseline.
 * @param make the data set of a list of rows
 */
export function keptRows(rows, make) {
  const kept = rows.filter((row) => {
    try {
      return make([row]).length === 1;
    } catch (error) {
      if (error.code === 'EMPTY_DATA') return false;
      throw error;
    }
  });
  if (kept.length < rows.length) console.log(`${rows.length - kept.length} of ${rows.length} test rows are left out: empty, or too long`);
  return kept;
}

/** What PyTorch's side wrote, or undefined. */
export function torchResult(folder) {
  const path = join(folder, 'torch.json');
  return folder !== '' && existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/**
 * Shows the progress of a trainer on one line per evaluation.
 * @param options unit: what its speed counts; sample: a text to show below the line of a step
 * @returns seconds
 */
export async function train(trainer, { unit = 'examples', sample } = {}) {
  const started = performance.now();
  for await (const { step, loss, evalLoss, tokensPerSecond } of trainer.train()) {
    if (evalLoss === undefined) continue;
    console.log(`step ${step}: loss ${loss.toFixed(3)}, validation ${evalLoss.toFixed(3)}, ${Math.round(tokensPerSecond)} ${unit}/s`);
    if (sample !== undefined) console.log(await sample(step));
  }
  return (performance.now() - started) / 1000;
}

/** The value that a list has most often, the first of several. */
export function mostFrequent(list) {
  const counts = new Map();
  for (const value of list) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}

/** Says a score beside its baseline and PyTorch's, higher being better. */
export function compare(name, { ours, baseline, torch }) {
  const shown = (value) => (value === undefined ? 'not run' : value.toFixed(4));
  console.log(`${name}: ours ${shown(ours)}, baseline ${shown(baseline)}, PyTorch ${shown(torch)}`);
  console.log(JSON.stringify({ metric: name, ours, baseline, ...(torch === undefined ? {} : { torch, ratio: ours / torch }) }));
}
