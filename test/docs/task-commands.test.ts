// docs/task-commands.md: every command on the page runs as it is written, in order, on small files; new models are made small and runs short.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ferroformer, MACHINE, workplace } from '../cli/support';
import { jsonl, OPINIONS, OTHER_ANSWERS, PREFERENCES, QUESTIONS, REVERSED, tsv } from '../cli/tasks';

const SMALL = ['--n-layer', '1', '--n-head', '2', '--vocab-size', '300'];

/** What keeps a command short. */
function shortened(args: readonly string[]): string[] {
  const has = (flag: string) => args.includes(flag);
  if (args[0] === 'plan' || args[0] === 'export' || has('--resume')) return [];
  if (args[0] === 'generate') return has('sentiment') ? MACHINE : ['--max-new-tokens', '4', ...MACHINE];
  if (args[0] === 'eval') return MACHINE;
  const size = has('seq2seq') ? [...SMALL, '--d-model', '16'] : [...SMALL, '--n-embd', '16', '--block-size', '64'];
  return ['--max-steps', '2', '--batch-size', '4', ...MACHINE, ...(has('--init-from') ? [] : size)];
}

it('the commands of docs/task-commands.md run as they stand', { timeout: 180_000 }, async () => {
  const page = await readFile(new URL('../../docs/task-commands.md', import.meta.url), 'utf8');
  const commands = Array.from(page.matchAll(/^npx ferroformer (.*)$/gm), ([, line]) =>
    Array.from(line.matchAll(/"([^"]*)"|\S+/g), ([word, quoted]) => quoted ?? word),
  );
  expect(commands.length).toBe(
    Array.from(page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)).reduce((n, [, block]) => n + block.trim().split('\n').length, 0),
  );
  const folder = await workplace();
  const stars = OPINIONS.map(({ text, label }) => ({ label, text }));
  const files = {
    'reviews.tsv': tsv(OPINIONS),
    'test.tsv': `stars\treview\n${tsv(stars)}`,
    'questions.jsonl': jsonl(QUESTIONS),
    'others.jsonl': jsonl(OTHER_ANSWERS),
    'preferences.jsonl': jsonl(PREFERENCES),
    'pairs.tsv': tsv(REVERSED),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  for (const args of commands) {
    const { code, stdout, stderr } = await ferroformer([...args, ...shortened(args)], folder);
    expect(code, `${args.join(' ')}\n${stderr}`).toBe(0);
    expect(stdout, args.join(' ')).not.toBe('');
  }
});
