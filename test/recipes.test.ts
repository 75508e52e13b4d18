// The recipes run as they are written, for a few steps on a few rows made here: what they reach is measured by hand (docs/recipes.md), not here.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { makeText, scratch } from './support/training';

const root = new URL('..', import.meta.url);
const WORDS = ['sun', 'moon', 'star', 'wind', 'rain', 'snow', 'tree', 'bird'];

/** Row i's words: different rows, few words. */
const sentence = (i: number) => [0, 3, 5].map((shift) => WORDS[(i * (shift + 1) + shift) % WORDS.length]).join(' ');
const lines = (count: number, line: (i: number) => string) => `${Array.from({ length: count }, (_, i) => line(i)).join('\n')}\n`;

async function mails(folder: string): Promise<void> {
  for (const [group, word] of [
    ['easy-ham-1', 'meeting'],
    ['spam-1', 'money'],
  ]) {
    await mkdir(`${folder}/${group}`, { recursive: true });
    for (let i = 0; i < 20; i++)
      await writeFile(`${folder}/${group}/${i}.txt`, `From: a@b\nSubject: ${word} ${i}\n\nAbout ${word} and ${sentence(i)}.\n`);
  }
}

/** The files of each recipe in a folder, and its flags. */
const RECIPES: Record<string, (folder: string) => Promise<string[]>> = {
  novel: async (folder) => {
    await writeFile(`${folder}/text.txt`, makeText(5000));
    return ['--data', `${folder}/text.txt`];
  },
  sentiment: async (folder) => {
    await writeFile(
      `${folder}/a.tsv`,
      lines(40, (i) => `${i % 2 ? 'good' : 'bad'} ${sentence(i)}\t${i % 2}`),
    );
    return ['--data', `${folder}/a.tsv`, '--test', `${folder}/a.tsv`, '--vocab-size', '280', '--models', '2'];
  },
  spam: async (folder) => {
    await mails(folder);
    return ['--data', folder, '--vocab-size', '280', '--block-size', '32'];
  },
  translation: async (folder) => {
    await writeFile(
      `${folder}/a.tsv`,
      // Every other source is longer than the recipe's context.
      lines(40, (i) => `${i} ${sentence(i)}${i % 2 === 0 ? ` ${sentence(i)}`.repeat(40) : ''}\t${sentence(i + 1)} ${i}\tnote`),
    );
    return ['--data', `${folder}/a.tsv`, '--columns', 'source,target,-', '--vocab-size', '280'];
  },
  pronunciation: async (folder) => {
    const words = Array.from({ length: 60 }, (_, i) =>
      ['ABDKOT'[i % 6], 'ABDKOT'[Math.floor(i / 6) % 6], 'ABDKOT'[Math.floor(i / 36)]].join(''),
    );
    await writeFile(
      `${folder}/a.json`,
      JSON.stringify(Object.fromEntries(words.map((word) => [word, [...word].map((c) => `${c}0`).join(' ')]))),
    );
    return ['--data', `${folder}/a.json`];
  },
  'question-answering': async (folder) => {
    const story = (i: number) =>
      `1 ${WORDS[i % 8]} is in the ${WORDS[(i + 3) % 8]}.\n2 Where is ${WORDS[i % 8]}? \t${WORDS[(i + 3) % 8]}\t1`;
    const longStory = (i: number) =>
      [
        ...Array.from({ length: 70 }, (_, n) => `${n + 1} ${WORDS[i % 8]} is in the ${WORDS[(i + n) % 8]}.`),
        `71 Where is ${WORDS[i % 8]}? \t${WORDS[0]}\t1`,
      ].join('\n');
    await writeFile(`${folder}/a.txt`, lines(20, story));
    await writeFile(
      `${folder}/long.txt`,
      lines(20, (i) => (i % 3 === 0 ? longStory(i) : story(i))),
    );
    return ['--data', `${folder}/a.txt`, '--test', `${folder}/long.txt`];
  },
  summarisation: async () => ['--rows', '60', '--vocab-size', '300'],
  instructions: async (folder) => {
    const rows = Array.from({ length: 30 }, (_, i) => ({
      instruction: 'Turn it round.',
      input: sentence(i),
      output: [...sentence(i)].reverse().join(''),
    }));
    await writeFile(`${folder}/a.json`, JSON.stringify(rows));
    return ['--data', `${folder}/a.json`, '--vocab-size', '280'];
  },
};

test.each(Object.entries(RECIPES))(
  'recipe %s trains, scores itself beside its baseline, saves, and dumps its task for PyTorch',
  async (name, make) => {
    const folder = await scratch();
    const flags = [`examples/recipes/${name}.mjs`, ...(await make(folder)), '--max-steps', '3', '--batch-size', '4'];
    const run = (more: string[]) => promisify(execFile)(process.execPath, [...flags, ...more], { cwd: root });
    const { stdout } = await run(['--out', `${folder}/model`]);
    if (name === 'translation') expect(stdout).toMatch(/\d+ of \d+ test rows are left out/);
    if (name === 'question-answering') expect(stdout).toMatch(/^7 of 40 passages are read from their last 64 sentences$/m);
    const { ours, baseline } = JSON.parse(stdout.trim().split('\n').at(-1)!) as { ours: number; baseline: number };
    expect([ours, baseline].every(Number.isFinite)).toBe(true);
    const part = name === 'sentiment' ? '/2' : ''; // of several models
    expect(existsSync(`${folder}/model${part}/model.safetensors`)).toBe(true);

    await run(['--dump', `${folder}/dump`]);
    const spec = JSON.parse(await readFile(`${folder}/dump${part}/spec.json`, 'utf8')) as { batches: number[][]; rates: number[] };
    const rows = (await readFile(`${folder}/dump${part}/train.jsonl`, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(spec.rates.length).toBe(3);
    expect(spec.batches.map((batch) => batch.length)).toEqual([4, 4, 4]);
    expect(Math.max(...spec.batches.flat())).toBeLessThan(rows.length);
    expect(((rows[0].inputIds ?? rows[0].inputFeatures) as unknown[]).length).toBeGreaterThan(0);
  },
);
