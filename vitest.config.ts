// The test projects. unit: internals, beside their source, on the sources. node: public behaviour, on dist/ as it is published, for one kernel build and
// number of threads; once: the files among these that need one such run (test/once.ts). browser, package: slow, started by scripts/test.mjs and
// scripts/test-package.mjs once what they need is there.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { ONCE } from './test/once';

// Node 20 has relaxed SIMD only behind a flag, which later versions refuse.
const execArgv = process.versions.node.startsWith('20.') ? ['--experimental-wasm-relaxed-simd'] : [];

const dist = (file: string) => fileURLToPath(new URL(`./dist/${file}`, import.meta.url));
const ferroformer = { ferroformer: dist('index.node.js') };

const once = Object.keys(ONCE).map((path) => (path.endsWith('.ts') ? path : `${path}/**/*.test.ts`));

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: 'unit', css: true, include: ['ts/**/*.test.ts', 'scripts/**/*.test.mjs'], pool: 'forks', execArgv, maxWorkers: 2 },
      },
      {
        extends: true,
        resolve: { alias: ferroformer },
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/browser/**', 'test/package/**', ...once],
          pool: 'forks',
          execArgv,
          fileParallelism: false, // engines with several threads, timed
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      {
        extends: true,
        resolve: { alias: ferroformer },
        test: {
          name: 'once',
          include: once,
          pool: 'forks',
          execArgv,
          maxWorkers: 2, // much of it is waiting for programs
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      {
        extends: true,
        resolve: { alias: ferroformer },
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          pool: 'forks',
          execArgv,
          server: { deps: { external: [/\/dist\//] } },
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 900_000,
          hookTimeout: 900_000,
        },
      },
    ],
  },
});
