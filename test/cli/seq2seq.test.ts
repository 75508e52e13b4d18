// `ferroformer generate` with a sequence-to-sequence model: the prompt is the source.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AdamW } from 'ferroformer';
import { expect, it } from 'vitest';
import { makeBatch, makeModel, makeWords } from '../support/seq2seq';
import { openEngine } from '../support/training';
import { ferroformer, MACHINE, workplace } from './support';

it('writes the target of a source, of several, by beams, as ids; refuses what it cannot read', async () => {
  const folder = await workplace();
  const engine = await openEngine();
  const model = await makeModel(engine);
  const step = engine.trainStep(model, { loss: model.loss, optimizer: new AdamW({ learningRate: 3e-3 }) });
  for (let t = 0; t < 40; t++) await step(makeBatch(model, makeWords(64)));
  await model.save(join(folder, 'model'));
  const run = (...args: string[]) => ferroformer(['generate', '--model', 'model', ...args, ...MACHINE], folder);

  const plain = await run('--prompt', 'abc', '--temperature', '0');
  expect(plain.code, plain.stderr).toBe(0);
  const wanted = await model.generate('abc', { temperature: 0 });
  expect(plain.stdout).toBe(`${wanted.text}\n`); // the source is not part of it

  const several = await run('--prompt', 'abc', 'hgf', '--num-beams', '2', '--json');
  const { sequences } = JSON.parse(several.stdout);
  const searched = await model.generate(['abc', 'hgf'], { numBeams: 2 });
  expect(sequences.map(({ text }: { text: string }) => text)).toEqual(searched.sequences.map(({ text }) => text));

  const ids = await run('--prompt-ids', '0,1,2', '--temperature', '0', '--json');
  expect(JSON.parse(ids.stdout).ids).toEqual(wanted.ids);

  for (const [code, args, message] of [
    [2, ['--prompt', 'abcdefghabc'], 'a source must have from 1 to maxSourceLength 10 positions, got 11'],
    [1, ['--prompt', 'abc', '--quantize', 'int8'], '"quantize" is for causal models'],
    [1, ['--prompt', 'xyz'], 'UNKNOWN_CHARACTER'],
  ] as const) {
    const ended = await run(...args);
    expect([ended.code, ended.stdout]).toEqual([code, '']);
    expect(ended.stderr).toContain(message);
  }
  await mkdir(join(folder, 'other'));
  await writeFile(join(folder, 'other', 'config.json'), JSON.stringify({ model_type: 'ferroformer', architecture: 'rnn' }));
  const other = await ferroformer(['generate', '--model', 'other', '--prompt', 'abc', ...MACHINE], folder);
  expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('"rnn"')]);
});

it('plan tells what an encoder-decoder would cost', async () => {
  const folder = await workplace();
  const flags = [
    '--task',
    'seq2seq',
    '--d-model',
    '16',
    '--n-head',
    '2',
    '--n-layer',
    '1',
    '--vocab-size',
    '30',
    '--max-source-length',
    '8',
    '--json',
  ];
  const { code, stdout, stderr } = await ferroformer(['plan', ...flags], folder);
  expect(code, stderr).toBe(0);
  const { parameters, options, tokens_per_step } = JSON.parse(stdout);
  expect(parameters).toMatchObject({ token_embedding: 480, position_embedding: (8 + 256) * 16, head: 0 });
  expect(options).toMatchObject({ model_type: 'transformer', n_encoder_layer: 1, n_decoder_layer: 1, max_source_length: 8 });
  expect(tokens_per_step).toBe(12 * 256);
});
