// `npm run docs`: writes the pages that are made from tables in the sources: docs/errors.md (error codes and remedies) and docs/options.md (every option).
// README.md's table of speed comes from the record it names.
// With --check it writes nothing and fails where a page is out of date; `npm run lint` does that.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { renderReadme } from './bench/table.mjs';
import { ROOT } from './lib/run.mjs';

/** Loads a TypeScript module of ts/ by bundling it into a temporary file. */
async function load(path) {
  const folder = await mkdtemp(join(ROOT, 'node_modules/.cache-docs-'));
  try {
    const outfile = join(folder, 'module.mjs');
    await build({ entryPoints: [join(ROOT, path)], outfile, bundle: true, format: 'esm', platform: 'neutral', logLevel: 'error' });
    return await import(pathToFileURL(outfile).href);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function errorsPage({ REMEDIES }) {
  const rows = Object.entries(REMEDIES).map(([code, remedy]) => `| \`${code}\` | ${remedy} |`);
  return `# Errors

Every error this library throws is a \`FerroError\` (or a class derived from it) with a stable \`code\`. Its text is \`op: rule, got value\`: who refused, the rule that was
broken, the value. Class, code and cause survive the way out of the worker. This page is generated from ts/errors.ts (\`npm run docs\`).

| code | what to do |
|---|---|
${rows.join('\n')}
`;
}

function optionsPage({ OPTIONS, COMMAND_OPTIONS }) {
  const cell = (text) => text.replaceAll('|', '\\|');
  const commands = (name) => Object.keys(COMMAND_OPTIONS).filter((command) => COMMAND_OPTIONS[command].includes(name));
  const rows = Object.values(OPTIONS).map((option) => {
    const flag = option.flag === '' ? '' : `\`--${option.flag}\``;
    return `| \`${option.name}\` | ${flag} | ${cell(option.check.rule)} | ${cell(option.defaultText)} | ${cell(option.help)} | ${commands(option.name).join(' ')} |`;
  });
  return `# Options

One table serves the library and the command line: names are camelCase in TypeScript (snake_case is accepted), kebab-case as flags (underscores are accepted). An unknown name is an
error that names the nearest one. This page is generated from ts/options/table.ts (\`npm run docs\`).

| name | flag | must be | default | meaning | commands |
|---|---|---|---|---|---|
${rows.join('\n')}
`;
}

const PAGES = [
  { file: 'docs/errors.md', source: 'ts/errors.ts', page: errorsPage },
  { file: 'docs/options.md', source: 'ts/options.ts', page: optionsPage },
];

const check = process.argv.includes('--check');
const pages = PAGES.map(({ file, source, page }) => ({ file, make: async () => page(await load(source)) }));
pages.push({ file: 'README.md', make: async () => renderReadme(await readFile(join(ROOT, 'README.md'), 'utf8')) });
for (const { file, make } of pages) {
  const text = await make();
  const current = await readFile(join(ROOT, file), 'utf8').catch(() => '');
  if (current === text) continue;
  if (check) {
    console.error(`${file} is out of date: run \`npm run docs\``);
    process.exitCode = 1;
  } else {
    await writeFile(join(ROOT, file), text);
    console.log(`wrote ${file}`);
  }
}
