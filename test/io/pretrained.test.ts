// Saving and loading through the public names: the same model comes back, from a folder, from Files, with and without biases.
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { CharTokenizer, type Engine, GPT } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { hashParameters, openEngine, scratch, sharedEngine } from '../support/training';

const TOKENIZER = CharTokenizer.fromText('\n abcdefghijklmnopqrstuvwxyz');
const create = (engine: Engine, more: object = {}) =>
  GPT.create(engine, { nLayer: 1, nHead: 2, nEmbd: 16, blockSize: 12, tokenizer: TOKENIZER, seed: 3, ...more });

describe('a saved model', () => {
  test.each([{}, { bias: false }, { positionEmbedding: 'sinusoidal', positionNoise: 0.01 }, { dropout: 0.25 }])(
    'comes back whole: %j',
    async (more) => {
      const folder = `${await scratch()}/model`;
      const engine = await sharedEngine();
      const model = await create(engine, more);
      await model.save(folder);
      await model.save(folder); // over itself
      const loaded = await GPT.fromPretrained(engine, folder);
      expect(await hashParameters(loaded)).toBe(await hashParameters(model));
      expect(loaded.config).toEqual(model.config);
      expect(loaded.tokenizer?.hash).toBe(TOKENIZER.hash);
      expect((await loaded.generate('abc', { seed: 4, maxNewTokens: 20 })).text).toBe(
        (await model.generate('abc', { seed: 4, maxNewTokens: 20 })).text,
      );
      const config = JSON.parse(await readFile(`${folder}/config.json`, 'utf8'));
      expect(config).toMatchObject({ model_type: 'gpt2', n_embd: 16, n_head: 2, n_layer: 1, n_positions: 12 });
    },
  );

  test('comes back from Files', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    const files = Array.from(await model.toFiles(), ([name, blob]) => new File([blob], name));
    const loaded = await GPT.fromPretrained(engine, files);
    expect(await hashParameters(loaded)).toBe(await hashParameters(model));
  });

  test('is refused when it is truncated, of another vocabulary, or not there; nothing stays allocated', async () => {
    const folder = `${await scratch()}/model`;
    const engine = await openEngine();
    const model = await create(engine);
    await model.save(folder);
    const before = await engine.info.bytes();
    await expect(GPT.fromPretrained(engine, `${folder}-none`)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    const other = CharTokenizer.fromText('\n abcdefghijklmnopqrstuvwxyz0123456789');
    await expect(GPT.fromPretrained(engine, folder, { tokenizer: other })).rejects.toMatchObject({ code: 'VOCABULARY_MISMATCH' });
    await truncate(`${folder}/model.safetensors`, 1000);
    await expect(GPT.fromPretrained(engine, folder)).rejects.toMatchObject({ code: 'INVALID_CHECKPOINT' });
    await writeFile(`${folder}/complete.json`, '{');
    await expect(GPT.fromPretrained(engine, folder)).rejects.toMatchObject({ code: 'INVALID_CHECKPOINT' });
    expect(await engine.info.bytes()).toEqual(before);
  });

  test('its tensors are those of the model or none', async () => {
    const folder = `${await scratch()}/model`;
    const engine = await sharedEngine();
    await (await create(engine)).save(folder);
    await writeFile(`${folder}/config.json`, (await readFile(`${folder}/config.json`, 'utf8')).replace('"n_layer": 1', '"n_layer": 2'));
    const files = ['config.json', 'model.safetensors', 'tokenizer.json'].map(
      async (name) => new File([await readFile(`${folder}/${name}`)], name),
    );
    await expect(GPT.fromPretrained(engine, await Promise.all(files))).rejects.toThrow(/missing transformer\.h\.1\./);
  });
});
