// The 64 safetensors vectors (test/golden/safetensors) through the public names: a file that must be refused is refused as a file, before any use, and says why;
// one that must be accepted gets as far as the question which tensors it has.
import { readFile } from 'node:fs/promises';
import { GPT } from 'ferroformer';
import { expect, test } from 'vitest';
import { openEngine } from '../support/training';

interface Vector {
  name: string;
  b64: string;
  ours: 'accept' | 'reject';
}

const CONFIG = { model_type: 'gpt2', n_layer: 1, n_head: 1, n_embd: 4, n_positions: 4, vocab_size: 4 };

test('each of the 64 vectors gets our verdict, each refusal says its rule, and nothing stays allocated', async () => {
  const vectors = JSON.parse(await readFile(new URL('../golden/safetensors/vectors.json', import.meta.url), 'utf8')) as Vector[];
  const engine = await openEngine();
  const before = await engine.info.bytes();
  const prototype = Object.getOwnPropertyNames(Object.prototype);
  const config = new File([JSON.stringify(CONFIG)], 'config.json');
  const wrong: string[] = [];
  const rules = new Set<string>();
  for (const { name, b64, ours } of vectors) {
    const weights = new File([Buffer.from(b64, 'base64')], 'model.safetensors');
    const error = await GPT.fromPretrained(engine, [config, weights]).then(
      () => undefined,
      (reason: unknown) => reason as { code: string; message: string },
    );
    const accepted = /must be those of the configuration, got missing/.test(error?.message ?? '');
    const refused = !accepted && /^model\.safetensors: .*, got /s.test(error?.message ?? '');
    if (error?.code !== 'INVALID_CHECKPOINT' || accepted === refused || accepted !== (ours === 'accept'))
      wrong.push(`${name}: ${error?.message}`);
    if (refused) rules.add(error!.message.replace(/, got .*/s, ''));
  }
  expect(vectors).toHaveLength(64);
  expect(vectors.filter(({ ours }) => ours === 'reject')).toHaveLength(50);
  expect(wrong).toEqual([]);
  expect(rules.size).toBeGreaterThan(15);
  expect(await engine.info.bytes()).toEqual(before);
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(prototype);
});
