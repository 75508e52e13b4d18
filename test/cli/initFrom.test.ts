// Continued pre-training from a folder that transformers wrote: BF16, in shards, with a head of its own. What comes out is a folder of the same architecture.
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CharTokenizer, GPT } from 'ferroformer';
import { describe, expect, it } from 'vitest';
import { openEngine } from '../support/training';
import { ferroformer, MACHINE, workplace } from './support';

const GOLDEN = fileURLToPath(new URL('../golden/gpt2/bf16-untied-sharded', import.meta.url));
const TEXT = Array.from({ length: 60 }, (_, i) => `the sea has ${'abcde'[i % 5]} waves and ${'vwxyz'[i % 3]} whales\n`).join('');

describe('train --init-from a folder of transformers', () => {
  it('goes on training it, at the learning rate for that, and saves the same architecture', async () => {
    const folder = await workplace();
    await writeFile(join(folder, 'sea.txt'), TEXT);
    await mkdir(join(folder, 'start'));
    for (const file of await readdir(GOLDEN)) await copyFile(join(GOLDEN, file), join(folder, 'start', file));
    const tokenizer = CharTokenizer.fromText(TEXT);
    expect(tokenizer.vocabSize).toBeLessThanOrEqual(29);
    for (const [file, text] of tokenizer.toFiles({ modelMaxLength: 12 })) await writeFile(join(folder, 'start', file), text);

    const args = [
      'train',
      '--data',
      'sea.txt',
      '--init-from',
      'start',
      '--out',
      'run',
      '--max-steps',
      '4',
      '--batch-size',
      '4',
      '--json',
      ...MACHINE,
    ];
    const ended = await ferroformer(args, folder);
    expect(ended.code, ended.stderr).toBe(0);
    const run = JSON.parse(await readFile(join(folder, 'run/run.json'), 'utf8'));
    expect(run.training).toMatchObject({ learning_rate: 5e-5, lr_scheduler_type: 'linear' });
    expect(run.model).toMatchObject({ model_type: 'gpt2', tieWordEmbeddings: false });
    expect(JSON.parse(ended.stdout)).toMatchObject({ step: 4 });

    const config = JSON.parse(await readFile(join(folder, 'run/final/config.json'), 'utf8'));
    expect(config).toMatchObject({ model_type: 'gpt2', tie_word_embeddings: false, dtype: 'float32', n_embd: 16, vocab_size: 29 });
    const engine = await openEngine();
    const [before, after] = [await GPT.fromPretrained(engine, GOLDEN), await GPT.fromPretrained(engine, join(folder, 'run'))];
    expect(after.tokenizer?.hash).toBe(tokenizer.hash);
    for (const name of ['lm_head.weight', 'transformer.wte.weight', 'transformer.h.1.mlp.c_proj.weight']) {
      const [was, is] = [await before.parameters.get(name)!.data(), await after.parameters.get(name)!.data()];
      const moved = Math.max(...Array.from(is, (value, i) => Math.abs(value - was[i])));
      expect(moved, name).toBeGreaterThan(0);
      expect(moved, name).toBeLessThan(1e-3); // four steps of at most 5e-5 each, and decay
    }

    const evaluated = await ferroformer(['eval', '--model', 'run', '--data', 'sea.txt', '--json', ...MACHINE], folder);
    expect(evaluated.code, evaluated.stderr).toBe(0);
    expect(JSON.parse(evaluated.stdout).loss).toBeGreaterThan(0);
    const written = await ferroformer(
      ['generate', '--model', 'run', '--prompt', 'the sea', '--max-new-tokens', '5', '--json', ...MACHINE],
      folder,
    );
    expect(written.code, written.stderr).toBe(0);
    expect(JSON.parse(written.stdout).ids).toHaveLength(5);
  });
});
