// The pages of docs/ whose blocks of code are one program pass the type checker, all of them in one go.
import { readdir } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { pageBlocks, typeProblems } from '../support/page';

/** Pages that a test of this folder runs as one program. */
async function programs(): Promise<Map<string, string>> {
  const names = (await readdir(new URL('.', import.meta.url))).filter((file) => file.endsWith('.test.ts')).map((file) => file.slice(0, -8));
  const pages = names.filter((name) => name !== 'types' && name !== 'task-commands');
  return new Map(await Promise.all(pages.map(async (name) => [name, (await pageBlocks(name)).join('\n')] as const)));
}

it('every page passes the type checker, and a wrong one does not', async () => {
  const pages = await programs();
  expect(pages.size).toBeGreaterThan(4);
  const wrong = "import { GPT } from 'ferroformer';\nGPT.create(1, 2);\nexport {};\n";
  const problems = typeProblems(new Map([...pages, ['wrong', wrong]]));
  expect(problems).toEqual([expect.stringMatching(/^docs\/wrong\.md: .*not assignable/s)]);
});
