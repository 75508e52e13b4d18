// Greedy text under rules and beam search, token for token as transformers writes them (test/golden/generation.py).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { GPT } from 'ferroformer';
import { expect, test } from 'vitest';
import { openEngine } from '../support/training';

interface Case {
  prompt: number[];
  options: Record<string, unknown>;
  sequences: number[][];
  scores: number[] | null;
}

const FOLDER = new URL('../golden/', import.meta.url);
const golden = JSON.parse(readFileSync(new URL('generation.json', FOLDER), 'utf8')) as { scriptSha256: string; cases: Case[] };

test('the goldens are those of the script', () => {
  const script = readFileSync(new URL('generation.py', FOLDER), 'utf8').replaceAll('\r\n', '\n');
  expect(createHash('sha256').update(script).digest('hex')).toBe(golden.scriptSha256);
});

test.each(['greedy', 'beams'])('%s: ids as transformers writes them (G7: penalties multiply negative logits)', async (kind) => {
  const model = await GPT.fromPretrained(await openEngine(), new URL('generation', FOLDER).pathname);
  const cases = golden.cases.filter(({ options }) => 'numBeams' in options === (kind === 'beams'));
  expect(cases.length).toBeGreaterThan(20);
  for (const { prompt, options, sequences, scores } of cases) {
    const result = await model.generate(prompt, options);
    const label = `${JSON.stringify(options)} after ${prompt.length} tokens`;
    expect(
      result.sequences.map(({ ids }) => ids),
      label,
    ).toEqual(sequences);
    scores?.forEach((score, i) => {
      expect(Math.abs(result.sequences[i].score! - score), label).toBeLessThan(1e-5 * (1 + Math.abs(score)));
    });
    for (const { ids, logProbs } of result.sequences) expect(logProbs).toHaveLength(ids.length);
  }
});
