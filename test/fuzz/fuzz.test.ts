// Every fuzz target in TypeScript: its corpus again, then new inputs: a few of a fixed seed in `npm test`; in `npm run fuzz` as many as fit into
// FERRO_FUZZ_SECONDS, from FERRO_FUZZ_SEED.
import type { Engine } from 'ferroformer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startEngine } from '../support/engine';
import { fuzz, type Target } from './fuzz';
import { adapterTargets, configFileTarget, folderTargets, rowsTarget, runTargets, tokenizerTarget, vocabularyTarget } from './targets';

const seconds = Number(process.env.FERRO_FUZZ_SECONDS ?? 0);
const seed = Number(process.env.FERRO_FUZZ_SEED ?? 1);
/** What an input may make the process hold beyond what it had, all inputs together: nothing may be allocated because a file says so. */
const MOST_BYTES = 400 << 20;

let engine: Engine;
let closeRuns: () => Promise<void>;
const targets = new Map<string, Target>();

beforeAll(async () => {
  engine = await startEngine({ threads: 1 });
  const runs = await runTargets(engine);
  closeRuns = runs.close;
  for (const target of [
    ...(await folderTargets(engine)),
    ...(await adapterTargets(engine)),
    await tokenizerTarget(),
    await vocabularyTarget(),
    configFileTarget(),
    rowsTarget(),
    ...runs.targets,
  ])
    targets.set(target.name, target);
});
afterAll(async () => {
  await closeRuns();
  await engine.close();
});

test.each([
  'config',
  'transformer',
  'index',
  'header',
  'adapter',
  'adapterHeader',
  'tokenizer',
  'vocabulary',
  'options',
  'rows',
  'run',
  'state',
  'complete',
])(
  'fuzz target %s: whatever the input, a typed error or a working result',
  async (name) => {
    const held = await engine.info.bytes();
    const memory = process.resourceUsage().maxRSS * 1024;
    const { tried, kinds } = await fuzz(
      targets.get(name)!,
      seconds > 0 ? { runs: Number.POSITIVE_INFINITY, seconds, seed } : { runs: 60, seconds: 600, seed },
    );
    if (seconds > 0) console.log(`fuzz ${name}: ${tried} inputs, ${kinds.length} kinds of answers`);
    expect(kinds).toContain('accepted');
    expect(kinds.length, kinds.join('\n')).toBeGreaterThan(name === 'complete' ? 0 : 3);
    expect(await engine.info.bytes()).toEqual(held);
    expect(process.resourceUsage().maxRSS * 1024 - memory).toBeLessThan(MOST_BYTES);
  },
  600_000 + seconds * 1000,
);
