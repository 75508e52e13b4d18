// docs/cases.md: faults that other projects have had (C files, K tokenizers, G generation), and the tests here that would find them. A test says which by
// having the case's name, "C9", in its title (in Python in its docstring, in Rust in a comment); where an older test already had another title, it is named here.
// `npm run docs` writes the page, `npm run lint` fails where a case has no test.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from './lib/run.mjs';

const PAGE = join(ROOT, 'docs', 'cases.md');

/** Name → what must hold, and tests whose titles lack the name as [file, words of the title]. */
// biome-ignore format: a table
export const CASES = {
  C1: ['a save that is killed leaves the old files or the new ones, whole', ['ts/io/node/atomicFolder.test.ts', 'at random moments']],
  C2: ['the latest checkpoint is the newest complete one, whatever folders are called', ['ts/io/node/checkpoints.test.ts', 'the newest is the complete one of the highest step']],
  C4: ['saving onto the folder that is being read harms nothing'],
  C5: ['a full disk is a typed error: the old checkpoint stays, nothing temporary is left, training can go on', ['ts/io/node/checkpoints.test.ts', 'the run still has a whole checkpoint, and a later save works']],
  C6: ['a safetensors file of metadata alone is valid', ['ts/io/safetensors.test.ts', 'metadata without tensors, and nothing at all, are valid files']],
  C7: ['the writer refuses a header that readers refuse', ['ts/io/safetensors.test.ts', 'x\'.repeat(100_000_000)']],
  C8: ['a shard shorter than its header says is refused before any use'],
  C9: ['an index that names an absent shard is a typed error with the name'],
  C12: ['shapes and offsets that overflow are refused', ['ts/io/safetensors.test.ts', 'sizes that overflow before the zero']],
  C13: ['NUL in a tensor\'s name is refused', ['ts/io/safetensors.test.ts', 'NUL in a name']],
  C14: ['all 65,536 patterns of F16 and BF16 convert exactly', ['ts/io/safetensors.test.ts', 'all 65,536 binary16 patterns'], ['ts/io/safetensors.test.ts', 'all 65,536 bfloat16 patterns']],
  C16: ['F16 and BF16 tensors load with their values; other dtypes are typed errors'],
  C17: ['a GPT-2 without lm_head is tied; missing and unexpected tensors are always listed'],
  C19: ['tied weights stay one tensor after load, resume and step'],
  C20: ['Conv1D weights are [in, out]: logits as in PyTorch, and back'],
  K1: ['"toString", "constructor", "hasOwnProperty", "__proto__" are text'],
  K2: ['emoji between words survive'],
  K3: ['characters outside the vocabulary fall back to bytes'],
  K4: ['decoding id by id never shows half a character, and gives the whole text'],
  K5: ['contractions split as in the reference'],
  K6: ['100,000 equal characters: about linear, the reference\'s ids'],
  K7: ['a million equal characters work'],
  K8: ['a lone surrogate is U+FFFD on every path'],
  K9: ['ids of a padded vocabulary are never drawn; a bad id is a typed error'],
  K10: ['special tokens in user text are text unless asked for'],
  K14: ['spaces around an added token stay; lstrip, rstrip and single_word only where set'],
  K15: ['an added token of byte-map letters decodes exactly'],
  K16: ['a whole corpus gives the reference\'s ids'],
  G1: ['with and without a cache: the same logits and greedy ids'],
  G2: ['a row of a batch equals its single run'],
  G3: ['prompts of block size − 1, block size and + 1: a window or a typed error'],
  G4: ['a second call with a kept cache equals one long run'],
  G6: ['temperature 1e-4 is the most likely token, 0 is greedy'],
  G7: ['the repetition penalty multiplies negative logits'],
  G8: ['top-k at and above the vocabulary\'s size changes nothing'],
  G9: ['an excluded token is never drawn'],
  G11: ['a stop string across tokens is found and never shown; held text comes at the end'],
  G12: ['an empty prompt is the start token or a typed error; the next call works'],
  G13: ['a signal is obeyed within a token; the model stays usable'],
  G15: ['logits that are NaN are a typed error'],
};

const TEST_FILE = /\.test\.(ts|mjs)$|^test_.*\.py$|(^|\/)tests?(\/.*)?\.rs$|^fuzz_corpus\.rs$/;

function testFiles() {
  const files = ['ts', 'test', 'scripts', 'crates'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && TEST_FILE.test(entry.name))
      .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/')),
  );
  return files.sort().map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }));
}

/** The files whose tests have the case's name: in a title, a docstring or a comment, which is in quotes or behind # or //. */
function filesWith(name, files) {
  const named = new RegExp(`['"\`#/].*\\b${name}\\b`);
  return files.filter(({ text }) => named.test(text)).map(({ file }) => file);
}

/** The page's rows, and what is wrong. */
export function readCases(files = testFiles()) {
  const problems = [];
  const rows = Object.entries(CASES).map(([name, [rule, ...named]]) => {
    for (const [file, title] of named) {
      const found = files.find((entry) => entry.file === file)?.text.includes(title);
      if (!found) problems.push(`${name}: ${file} has no test "${title}"`);
    }
    const tests = [...new Set([...named.map(([file]) => file), ...filesWith(name, files)])].sort();
    if (tests.length === 0) problems.push(`${name} (${rule}) has no test: put "${name}" into the title of the one that covers it`);
    return `| ${name} | ${rule} | ${tests.map((file) => `\`${file}\``).join(', ') || 'none'} |`;
  });
  return { rows, problems };
}

export function renderPage(rows) {
  return `# Cases

Faults that other projects have had with files (C), tokenizers (K) and generation (G), and where the tests here would find them. Generated from scripts/cases.mjs and the
titles of the tests (\`npm run docs\`); \`npm run lint\` fails where a case has no test.

| case | what holds | tests |
|---|---|---|
${rows.join('\n')}
`;
}

if (process.argv[1] === import.meta.filename) {
  const { check } = parseArgs({ options: { check: { type: 'boolean', default: false } } }).values;
  const { rows, problems } = readCases();
  if (!check) writeFileSync(PAGE, renderPage(rows));
  for (const problem of problems) console.error(`cases: ${problem}`);
  if (check && problems.length === 0) console.log(`cases: ${rows.length}, each with a test`);
  if (check) process.exitCode = problems.length > 0 ? 1 : 0;
}
