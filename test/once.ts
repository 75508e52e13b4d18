// What `npm test` runs once, and not on every kernel build and number of threads: tests whose outcome neither can change. Everything else under test/ runs
// on all of them, and so does a new file that nothing here names: only what starts programs, or reads and writes without comparing what kernels computed,
// belongs here. Read by vitest.config.ts; once.test.ts sees that every entry is there.

/** Files, or folders with all that is in them, from the repository's root; each with the reason. */
export const ONCE: Readonly<Record<string, string>> = {
  'test/cli': 'flags, files and messages of the command line; that it takes every build and number of threads is test/cli/simd.test.ts',
  'test/docs': 'pages whose programs start engines of their own choice',
  'test/examples.test.ts': 'programs that start engines of their own choice',
  'test/fuzz': 'parsers, which have neither threads nor vectors',
  'test/recipes.test.ts': 'programs that start engines of their own choice',
  'test/training/longRotary.test.ts': 'a program that starts an engine of its own choice',
};
