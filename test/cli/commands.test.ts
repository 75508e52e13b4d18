// generate, eval, plan, bench, and the names around them, as a shell runs them.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { THREADS } from '../support/engine';
import { ferroformer, MACHINE, SMALL, start, TEXT } from './support';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ferro-cli-'));
  await writeFile(join(folder, 'text.txt'), TEXT);
  const { code, stderr } = await ferroformer(
    ['train', '--data', 'text.txt', '--out', 'run', '--max-steps', '40', '--learning-rate', '1e-2', ...SMALL],
    folder,
  );
  if (code !== 0) throw new Error(stderr);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...args: string[]) => ferroformer(args, folder);

describe('generate', () => {
  it('writes the prompt and what follows, the same for the same seed', async () => {
    const args = ['generate', '--model', 'run', '--prompt', 'the ', '--max-new-tokens', '40', '--seed', '3', ...MACHINE];
    const [first, second] = [await run(...args), await run(...args)];
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^the [\s\S]{40}\n$/);
    expect(second.stdout).toBe(first.stdout);
    expect(first.stderr).toContain('seed 3');
  });

  it('gives text, new ids and seed as JSON; streamed and awaited text agree', async () => {
    const args = ['generate', '--model', 'run', '--prompt', 'the ', '--max-new-tokens', '40', '--seed', '3', ...MACHINE];
    const [plain, json] = [await run(...args), await run(...args, '--json')];
    const { text, ids, seed, finish_reason: reason } = JSON.parse(json.stdout);
    expect(`the ${text}\n`).toBe(plain.stdout);
    expect(ids).toHaveLength(40);
    expect([seed, reason]).toEqual([3, 'length']);
  });

  it('takes ids, an empty prompt, greedy; reports a seed it drew', async () => {
    const ids = JSON.parse(
      (
        await run(
          'generate',
          '--model',
          'run',
          '--prompt-ids',
          '5,6,7',
          '--max-new-tokens',
          '3',
          '--temperature',
          '0',
          '--json',
          ...MACHINE,
        )
      ).stdout,
    );
    expect(ids.ids).toHaveLength(3);
    const empty = JSON.parse(
      (await run('generate', '--model', join('run', 'final'), '--prompt', '', '--max-new-tokens', '3', '--json', ...MACHINE)).stdout,
    );
    expect(empty.ids).toHaveLength(3);
    expect(Number.isSafeInteger(empty.seed)).toBe(true);
  });

  it('refuses what cannot be', async () => {
    const cases: [string[], number, string][] = [
      [['--prompt', 'a'], 2, '--model'],
      [['--model', 'run'], 2, '--prompt-ids'],
      [['--model', 'run', '--prompt', 'a', '--prompt-ids', '1'], 2, 'both'],
      [['--model', 'none', '--prompt', 'a'], 1, 'none'],
      [['--model', 'run', '--prompt', 'ж'], 1, 'UNKNOWN_CHARACTER'],
      [['--model', 'run', '--prompt-ids', '1,999'], 1, 'TOKEN_OUT_OF_RANGE'],
      [['--model', 'run', '--prompt', 'a', '--temperature', '-1'], 2, '--temperature'],
      [['--model', 'run', '--prompt', 'a', '--top-p', '1.5'], 2, '--top-p'],
      [['--model', 'run', '--prompt', 'a', '--top-k', '1.5'], 2, '--top-k'],
    ];
    for (const [args, code, text] of cases) {
      const ended = await run('generate', ...args, ...MACHINE);
      expect(ended.code, `${args.join(' ')}: ${ended.stderr}`).toBe(code);
      expect(ended.stderr).toContain(text);
    }
  });
});

describe('eval', () => {
  it('gives loss, perplexity, bits per byte and tokens', async () => {
    const { code, stdout, stderr } = await run('eval', '--model', 'run', '--data', 'text.txt', '--json', ...MACHINE);
    expect(code, stderr).toBe(0);
    const { loss, perplexity, bits_per_byte: bits, tokens } = JSON.parse(stdout);
    expect(tokens).toBe(TEXT.length - 1);
    expect(perplexity).toBeCloseTo(Math.exp(loss), 6);
    expect(bits).toBeCloseTo(loss / Math.LN2, 6); // one byte per character in this text
    const people = await run('eval', '--model', 'run', '--data', 'text.txt', ...MACHINE);
    expect(people.stdout).toContain(`loss ${loss.toFixed(4)}`);
  });

  it('counts the bytes of longer characters, and texts shorter than a window', async () => {
    await writeFile(join(folder, 'tiny.txt'), 'the');
    const { tokens, bytes } = JSON.parse((await run('eval', '--model', 'run', '--data', 'tiny.txt', '--json', ...MACHINE)).stdout);
    expect([tokens, bytes]).toEqual([2, 2]);
  });
});

describe('--quantize int8', () => {
  const int8 = ['--quantize', 'int8'];
  it('eval tells the loss of both forms and the difference', async () => {
    const { code, stdout, stderr } = await run('eval', '--model', 'run', '--data', 'text.txt', ...int8, '--json', ...MACHINE);
    expect(code, stderr).toBe(0);
    const { loss, perplexity, quantized, plain, difference } = JSON.parse(stdout);
    const own = JSON.parse((await run('eval', '--model', 'run', '--data', 'text.txt', '--json', ...MACHINE)).stdout);
    expect([quantized, plain.quantized, plain.loss]).toEqual(['int8', null, own.loss]);
    expect(loss).not.toBe(plain.loss);
    expect(difference).toEqual({ loss: loss - plain.loss, perplexity: perplexity - plain.perplexity });
    expect(Math.abs(difference.loss)).toBeLessThan(0.01);
    const people = await run('eval', '--model', 'run', '--data', 'text.txt', ...int8, ...MACHINE);
    expect(people.stdout).toMatch(/f32: .*\nint8: .*\nint8 against f32: loss [+-]0\.\d+, perplexity [+-]/);
  });

  it('generate and export: the exported folder writes the same text', async () => {
    const args = ['--prompt', 'the ', '--max-new-tokens', '20', '--seed', '3', '--json', ...MACHINE];
    const rounded = JSON.parse((await run('generate', '--model', 'run', ...int8, ...args)).stdout);
    const exported = await run('export', '--model', 'run', '--out', 'blocks', ...int8);
    expect(exported.code, exported.stderr).toBe(0);
    expect(JSON.parse((await run('generate', '--model', 'blocks', ...args)).stdout).ids).toEqual(rounded.ids);
    const { plain, quantized } = JSON.parse(
      (await run('eval', '--model', 'blocks', '--data', 'text.txt', ...int8, '--json', ...MACHINE)).stdout,
    );
    expect([plain, quantized]).toEqual([undefined, 'int8']);
    // A folder of blocks can be written as plain weights again.
    expect((await run('export', '--model', 'blocks', '--out', 'plain')).code).toBe(0);
    expect(
      (await run('train', '--data', 'text.txt', '--init-from', 'blocks', '--out', 'no', '--max-steps', '1', ...MACHINE)).stderr,
    ).toContain('QUANTIZED_MODEL');
    expect((await run('generate', '--model', 'run', '--quantize', 'int4', ...args)).code).toBe(2);
  });
});

describe('plan', () => {
  it('tells the costs of GPT-2 without running anything', async () => {
    const { code, stdout } = await run('plan', '--preset', 'gpt2', '--batch-size', '1', '--block-size', '64', '--json');
    expect(code).toBe(0);
    const { parameters, memory, flops, tokens_per_step: tokens, options, fits } = JSON.parse(stdout);
    // 124,439,808 is GPT-2's published size with 1,024 positions of 768.
    expect(parameters.total).toBe(124_439_808 - (1024 - 64) * 768);
    expect(memory.peak).toBeGreaterThan(parameters.total * 16);
    expect(flops.per_step).toBeGreaterThan(6 * parameters.total * 64 * 0.9);
    expect([tokens, fits]).toEqual([64, true]);
    expect(options).toMatchObject({ n_layer: 12, vocab_size: 50257 });
  });

  it('knows what recomputed activations save and cost', async () => {
    const args = ['plan', '--preset', 'gpt-mini', '--json'];
    const [kept, recomputed] = [await run(...args), await run(...args, '--gradient-checkpointing')].map(({ stdout }) => JSON.parse(stdout));
    expect(recomputed.memory.activations).toBeLessThan(kept.memory.activations / 2);
    expect(recomputed.flops.per_step).toBeGreaterThan(kept.flops.per_step * 1.1);
    expect([kept, recomputed].map(({ options }) => options.gradient_checkpointing)).toEqual([false, true]);
  });

  it('knows what an adapter costs, on weights of every kind', async () => {
    const args = ['plan', '--preset', 'gpt-mini', '--json'];
    const lora = [...args, '--lora-rank', '8', '--lora-target-modules', 'all-linear'];
    const [full, ...plans] = [await run(...args), await run(...lora), await run(...lora, '--quantize', 'bf16')].map(({ stdout }) =>
      JSON.parse(stdout),
    );
    for (const { parameters, memory } of plans) {
      expect(parameters.trainable).toBe(parameters.adapter);
      expect(parameters.total).toBe(full.parameters.total);
      expect(memory.optimizer).toBe(8 * parameters.adapter);
      expect(memory.peak).toBeLessThan(0.7 * full.memory.peak);
    }
    expect(plans[1].memory.parameters).toBeLessThan(0.6 * plans[0].memory.parameters);
    expect(plans.map(({ options }) => options.lora_rank)).toEqual([8, 8]);
    const refused = [await run(...args, '--lora-alpha', '8'), await run(...args, '--quantize', 'int8')];
    for (const [i, text] of ['plan: "--lora-alpha" needs "--lora-rank", got none', '"quantize" must go with "adapter"'].entries()) {
      expect(refused[i].code).toBe(2);
      expect(refused[i].stderr).toContain(text);
    }
  });

  it('says what does not fit, and takes the vocabulary from the data', async () => {
    const large = await run('plan', '--preset', 'gpt2-large', '--batch-size', '1');
    expect(large.stdout).toContain('does not fit');
    const small = await run('plan', '--preset', 'gpt-nano', '--data', 'text.txt', '--json');
    expect(JSON.parse(small.stdout).options.vocab_size).toBe(new Set(TEXT).size);
  });
});

describe('bench', () => {
  it('measures steps, calibrates, and plan then knows the time', async () => {
    const { code, stdout, stderr } = await run('bench', '--sizes', 'S', '--steps', '3', '--parts', 'steps', '--json', ...MACHINE);
    expect(code, stderr).toBe(0);
    const [step] = JSON.parse(stdout).steps;
    expect(step).toMatchObject({ size: 'S', steps: 3 });
    expect(step.median_ms).toBeGreaterThan(0);
    const plan = JSON.parse((await run('plan', '--preset', 'gpt-nano', '--max-steps', '100', '--json')).stdout);
    expect(plan.seconds).toBeGreaterThan(0);
  });

  it('measures every part; kernels as shares of the peak, a step instruction by instruction', async () => {
    const { code, stdout, stderr } = await run('bench', '--quick', '--steps', '1', '--profile', '--json', ...MACHINE);
    expect(code, stderr).toBe(0);
    const { peak_flops: peak, kernels, steps, decode, profiles } = JSON.parse(stdout);
    expect(peak).toBeGreaterThan(0);
    for (const group of ['gemm', 'elementwise', 'attention', 'barrier']) {
      const rows = kernels.filter((kernel: { group: string }) => kernel.group === group);
      expect(rows.length, group).toBeGreaterThan(0);
      for (const { name, min_us: min, median_us: median } of rows) expect(min <= median, name).toBe(true);
    }
    const product = kernels.find(({ name }: { name: string }) => name.startsWith('TN 128×384×768'));
    expect(product.share_of_peak).toBeCloseTo(product.flops / peak / THREADS, 9);
    expect([steps[0].size, decode[0].preset]).toEqual(['S', 'gpt-micro']);
    const [{ size, step_ms: ms, instructions, kernels: byKernel }] = profiles;
    expect(size).toBe('S');
    expect(ms).toBeGreaterThan(0);
    for (const rows of [instructions, byKernel]) {
      expect(rows.reduce((sum: number, { share }: { share: number }) => sum + share, 0)).toBeCloseTo(1, 6);
    }
    for (const kernel of ['matmul', 'attention', 'adamw']) expect(byKernel.map(({ name }: { name: string }) => name)).toContain(kernel);
  });
});

describe('demo', () => {
  it('trains on the text that ships with the package, in a new folder each time', async () => {
    const first = await run('demo', '--max-steps', '1', '--json', ...MACHINE);
    expect(first.code, first.stderr).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({ step: 1, output_dir: join('runs', 'moby-dick') });
    expect(first.stderr).toContain('358,418 tokens to train on');
    expect(first.stderr).toContain(`run       ${join('runs', 'moby-dick')}\n`);
    const written = await run(
      'generate',
      '--model',
      join('runs', 'moby-dick'),
      '--prompt',
      'Call me ',
      '--max-new-tokens',
      '5',
      ...MACHINE,
    );
    expect(written.stdout).toMatch(/^Call me /);
    // Where the second trains is seen before its step and its evaluation, which say nothing new.
    const second = start(['demo', '--max-steps', '1', ...MACHINE], folder);
    await second.shown(`run       ${join('runs', 'moby-dick-2')}\n`);
    second.child.kill('SIGKILL');
    await second.ended;
  });
});

describe('the program', () => {
  it('shows help and version', async () => {
    const help = await run('--help');
    expect(help.code).toBe(0);
    for (const name of ['train', 'generate', 'eval', 'plan', 'bench', 'demo', 'tokenizer']) expect(help.stdout).toContain(name);
    expect((await run('train', '--help')).stdout).toContain('--learning-rate');
    expect((await run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('exits 2 for names that are not built or not known, naming the nearest', async () => {
    for (const name of ['sweep']) {
      const ended = await run(name, 'x', '--y', '1');
      expect([ended.code, ended.stderr.includes('not built yet')], name).toEqual([2, true]);
    }
    const typo = await run('trian');
    expect([typo.code, typo.stderr.includes('"train"')]).toEqual([2, true]);
    expect((await run()).code).toBe(2);
  });
});
