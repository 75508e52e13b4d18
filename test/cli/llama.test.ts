// A Llama on the command line: planned, trained, generated from, evaluated, exported and continued, as a shell runs it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ferroformer, MACHINE, SMALL, workplace } from './support';

it('plan, train, generate, eval, export and train --init-from know the architecture', async () => {
  const folder = await workplace();
  const run = async (...args: string[]) => {
    const ended = await ferroformer([...args, '--json'], folder);
    expect(ended.code, `${args.join(' ')}\n${ended.stderr}`).toBe(0);
    return JSON.parse(ended.stdout.trim().split('\n').at(-1)!);
  };
  const llama = ['--model-type', 'llama', '--n-kv-head', '1', ...SMALL];
  const { parameters, memory, options } = await run('plan', ...llama, '--vocab-size', '26');
  // 26·16 tokens; a block of q, o 16·16, k, v 8·16, three of 16·64, two norms; the last norm.
  expect(parameters).toMatchObject({ total: 416 + 768 + 3072 + 48, token_embedding: 416, attention: 768, mlp: 3072, norms: 48 });
  expect(memory.parameters).toBe(4 * parameters.total);
  expect(options).toMatchObject({ model_type: 'llama', n_kv_head: 1, n_inner: 64 });

  await run('train', '--data', 'text.txt', '--out', 'run', '--max-steps', '10', ...llama);
  const config = JSON.parse(await readFile(join(folder, 'run/final/config.json'), 'utf8'));
  expect(config).toMatchObject({ model_type: 'llama', architectures: ['LlamaForCausalLM'], num_key_value_heads: 1, intermediate_size: 64 });
  await run('train', '--data', 'text.txt', '--init-from', 'run', '--out', 'more', '--max-steps', '3', '--batch-size', '4', ...MACHINE);
  expect((await run('eval', '--model', 'more', '--data', 'text.txt', ...MACHINE)).loss).toBeGreaterThan(0);
  expect((await run('generate', '--model', 'more', '--prompt', 'the ', '--max-new-tokens', '20', ...MACHINE)).ids).toHaveLength(20);
  await run('export', '--model', 'more', '--out', 'clean', '--dtype', 'bfloat16');
  expect(JSON.parse(await readFile(join(folder, 'clean/config.json'), 'utf8'))).toMatchObject({ model_type: 'llama', dtype: 'bfloat16' });
  await run('export', '--model', 'more', '--format', 'gguf', '--out', 'more.gguf');
  expect((await readFile(join(folder, 'more.gguf'))).includes('llama.attention.head_count_kv')).toBe(true);
});
