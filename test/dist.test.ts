// The built package as Node loads it: one training run on the build and the number of threads under test, and what every build must have in common.

import { readdir, readFile } from 'node:fs/promises';
import * as ferroformer from 'ferroformer';
import { describe, expect, it } from 'vitest';
import { SIMD, THREADS } from './support/engine';
import { train } from './support/trainingJob';

const DIST = new URL('../dist/', import.meta.url);

describe('the built package', () => {
  it('trains, evaluates and writes; the same with any number of threads', async () => {
    const one = await train(ferroformer, { steps: 20, threads: 1, simd: SIMD });
    const many = await train(ferroformer, { steps: 20, threads: THREADS, simd: SIMD });
    expect(many.threads).toBe(THREADS);
    expect(many.build).toBe(SIMD === 'portable' ? 'simd128' : 'relaxed');
    expect(many.hash).toBe(one.hash);
    expect(many.losses).toEqual(one.losses);
    expect(many.text).toBe(one.text);
    expect(one.losses[19]).toBeLessThan(one.losses[0] - 0.5);
    expect(one.evalLoss).toBeLessThan(one.losses[0]);
  });

  it('gives the same names to Node and to browsers', async () => {
    const names = (text: string) =>
      /export \{([^}]*)\};?\s*$/
        .exec(text)?.[1]
        .split(',')
        .map((name) =>
          name
            .trim()
            .split(/\s+as\s+/)
            .at(-1),
        )
        .sort();
    const [node, browser] = await Promise.all(['index.node.js', 'index.browser.js'].map((file) => readFile(new URL(file, DIST), 'utf8')));
    expect(names(node)).toEqual(names(browser));
    expect(names(node)).toEqual(Object.keys(ferroformer).sort());
  });

  it('has the version that package.json says', async () => {
    const { version } = JSON.parse(await readFile(new URL('../package.json', DIST), 'utf8')) as { version: string };
    expect(ferroformer.VERSION).toBe(version);
  });

  it('carries no path of the machine that built it and no eval', async () => {
    const root = new URL('../', import.meta.url).pathname.replace(/\/$/, '');
    for (const file of (await readdir(DIST)).filter((name) => /\.(js|wasm|d\.ts)$/.test(name))) {
      const text = await readFile(new URL(file, DIST), 'latin1');
      expect(text.includes(root), file).toBe(false);
      expect(/\/(root|home)\/[.\w]+\/(\.cargo|\.rustup)|\/rustc\/[0-9a-f]{40}\/home/.test(text), file).toBe(false);
      // A method named eval, and calls of it, are not what is meant.
      if (file.endsWith('.js')) expect(/(?<![.\w])eval\((?!\) \{)|new Function\(/.test(text), file).toBe(false);
    }
  });

  it('needs nothing of Node in what browsers load', async () => {
    const seen = new Set<string>();
    const visit = async (file: string): Promise<void> => {
      if (seen.has(file)) return;
      seen.add(file);
      const text = await readFile(new URL(file, DIST), 'utf8');
      expect(/(?:from|import) ?['"]node:|createRequire|\brequire\(/.test(text), file).toBe(false);
      for (const [, next] of text.matchAll(/(?:from|import) ?['"]\.\/([^'"]+\.js)['"]/g)) await visit(next);
    };
    for (const entry of ['index.browser.js', 'worker.browser.js', 'thread.browser.js']) await visit(entry);
    expect(seen.size).toBeGreaterThan(3);
  });
});
