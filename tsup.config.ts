// Bundles the sources into a flat dist/: one build for Node (library, workers, command line) and one for browsers (library, workers). Files of one folder
// keep `new URL('./x', import.meta.url)` working after code splitting, with every bundler and without one. scripts/build.mjs runs this and adds the rest.
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { relative } from 'node:path';
import type { Options } from 'tsup';
import { defineConfig } from 'tsup';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

/** `import text from 'package/file?raw'` becomes the file's text, as in Vite (and so in the tests). */
const rawText: Plugin = {
  name: 'raw-text',
  setup(build) {
    const require = createRequire(import.meta.url);
    const strip = (path: string) => path.slice(0, -'?raw'.length); // kept until loading, or tsup would take the style sheet for one of its own
    const file = (path: string) => relative(process.cwd(), require.resolve(strip(path))); // absolute paths would show in the bundle
    build.onResolve({ filter: /\?raw$/ }, ({ path }) => ({ path: `${file(path)}?raw`, namespace: 'raw-text' }));
    build.onLoad({ filter: /\?raw$/, namespace: 'raw-text' }, async ({ path }) => ({
      contents: await readFile(strip(path), 'utf8'),
      loader: 'text',
    }));
  },
};

/** Writes what a bundle was made from to a file of its own: tsup's `metafile` option gives both bundles the same name, and they are built side by side. */
const metafile = (name: string): Plugin => ({
  name: 'metafile',
  setup(build) {
    build.onEnd(({ metafile }) => writeFile(`${outDir}/metafile-${name}.json`, JSON.stringify(metafile)));
  },
});

const outDir = process.env.FERRO_DIST ?? 'dist';

const common: Options = {
  format: 'esm',
  outDir,
  target: 'es2022',
  splitting: true,
  sourcemap: false,
  removeNodeProtocol: false, // keep node: in imports
  clean: false, // two builds share the folder; scripts/build.mjs empties it first
  noExternal: [/^(?!@huggingface\/tokenizers$)/], // no dependencies: comlink, commander and yaml are bundled; the optional peer stays outside
};

// tsup takes imports that end in `.node` for native add-ons: sources import `#platform`, `#realm`, `#storage` or `./index` instead.
const WORKERS = { worker: 'ts/engine/inside/worker.ts', thread: 'ts/engine/inside/thread.ts' };

export default defineConfig([
  {
    ...common,
    platform: 'node',
    esbuildPlugins: [rawText, metafile('node')],
    entry: { 'index.node': 'ts/index.node.ts', 'worker.node': WORKERS.worker, 'thread.node': WORKERS.thread, cli: 'ts/cli/index.ts' },
    dts: { entry: { 'index.node': 'ts/index.node.ts' } },
    esbuildOptions(options) {
      options.conditions = ['node', 'import'];
    },
  },
  {
    ...common,
    platform: 'browser',
    esbuildPlugins: [rawText, metafile('browser')],
    entry: { 'index.browser': 'ts/index.browser.ts', 'worker.browser': WORKERS.worker, 'thread.browser': WORKERS.thread },
    dts: { entry: { 'index.browser': 'ts/index.browser.ts' } },
    esbuildOptions(options) {
      options.conditions = ['browser', 'import'];
    },
  },
]);
