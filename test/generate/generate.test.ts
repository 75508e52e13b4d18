// Generation: the cache changes nothing, the context rule, seeds, stops, pieces and results.
import { ByteTokenizer, CharTokenizer, type Engine, FerroError, GPT } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { openEngine, sharedEngine } from '../support/training';

const TOKENIZER = CharTokenizer.fromText('\n abcdefghijklmnopqrstuvwxyz');
const create = (engine: Engine, more: object = {}) =>
  GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 32, blockSize: 20, tokenizer: TOKENIZER, seed: 3, ...more });

/** Larger weights than the initial ones, so that the next token really depends on the context. */
async function stir(model: GPT): Promise<GPT> {
  for (const [name, parameter] of model.parameters) {
    if (parameter.shape.length === 2)
      await parameter.set((await parameter.data()).map((x: number) => x * (name.includes('wte') ? 8 : 6)) as Float32Array);
  }
  return model;
}

describe('generate', () => {
  test('gives the same ids with and without the cache, over several full contexts', async () => {
    const model = await stir(await create(await sharedEngine()));
    for (const prompt of [
      'a',
      'the whale',
      'abcdefghijklmnopqrs',
      'abcdefghijklmnopqrst',
      'abcdefghijklmnopqrstu',
      'a long prompt that is more than a context',
    ]) {
      const cached = await model.generate(prompt, { maxNewTokens: 60, seed: 7 });
      const plain = await model.generate(prompt, { maxNewTokens: 60, seed: 7, useCache: false });
      expect(cached.ids, prompt).toEqual(plain.ids);
      expect(cached.ids).toHaveLength(60);
      expect(cached.finishReason).toBe('length');
      expect(new Set(cached.ids).size).toBeGreaterThan(5);
      const [greedy, uncached] = [true, false].map((useCache) => model.generate(prompt, { maxNewTokens: 30, temperature: 0, useCache }));
      expect((await greedy).ids, prompt).toEqual((await uncached).ids);
    }
  });

  test('gives the same text in pieces and awaited, for the same seed, and another for another', async () => {
    const model = await stir(await create(await sharedEngine()));
    const whole = await model.generate('the ', { maxNewTokens: 50, seed: 11 });
    let text = '';
    const ids: number[] = [];
    for await (const piece of model.generate('the ', { maxNewTokens: 50, seed: 11 })) {
      text += piece.text;
      ids.push(piece.id);
      expect(piece.index).toBe(ids.length - 1);
    }
    expect(text).toBe(whole.text);
    expect(ids).toEqual(whole.ids);
    expect(whole.seed).toBe(11);
    expect((await model.generate('the ', { maxNewTokens: 50, seed: 12 })).ids).not.toEqual(ids);
    const drawn = await model.generate('the ', { maxNewTokens: 50 });
    expect((await model.generate('the ', { maxNewTokens: 50, seed: drawn.seed })).ids).toEqual(drawn.ids);
  });

  test('greedy is temperature 0, doSample false and topK 1', async () => {
    const model = await stir(await create(await sharedEngine()));
    const greedy = (await model.generate('sea', { temperature: 0, maxNewTokens: 30 })).ids;
    expect((await model.generate('sea', { doSample: false, maxNewTokens: 30 })).ids).toEqual(greedy);
    expect((await model.generate('sea', { topK: 1, maxNewTokens: 30 })).ids).toEqual(greedy);
    expect((await model.generate('sea', { topP: 0, maxNewTokens: 30 })).ids).toEqual(greedy);
    expect((await model.generate('sea', { temperature: 1e-4, maxNewTokens: 30 })).ids).toEqual(greedy);
  });

  test('an empty prompt works, and so do ids, 0 tokens and a context of one token', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    expect((await model.generate('', { maxNewTokens: 5 })).ids).toHaveLength(5);
    expect((await model.generate([3, 4], { maxNewTokens: 5 })).ids).toHaveLength(5);
    expect(await model.generate('a', { maxNewTokens: 0 })).toMatchObject({ text: '', ids: [] });
    const tiny = await create(engine, { blockSize: 1 });
    expect((await tiny.generate('abc', { maxNewTokens: 5 })).ids).toHaveLength(5);
  });

  test('never draws an id of a padded vocabulary', async () => {
    const model = await create(await sharedEngine(), { vocabSize: 1000 });
    const { ids } = await model.generate('a', { maxNewTokens: 100, temperature: 100 });
    expect(Math.max(...ids)).toBeLessThan(TOKENIZER.vocabSize);
    expect(new Set(ids).size).toBeGreaterThan(15);
  });

  test('never shows half a character', async () => {
    const model = await create(await sharedEngine(), { tokenizer: new ByteTokenizer() });
    const whole = await model.generate('é', { maxNewTokens: 80, seed: 1 });
    let text = '';
    for await (const piece of model.generate('é', { maxNewTokens: 80, seed: 1 })) text += piece.text;
    expect(text).toBe(whole.text);
    expect(text).toBe(new TextDecoder().decode(Uint8Array.from(whole.ids)));
  });

  test('stops at a stop string and never shows it', async () => {
    const model = await stir(await create(await sharedEngine()));
    const { text } = await model.generate('the ', { maxNewTokens: 60, seed: 11 });
    const stop = text.slice(20, 23);
    const stopped = await model.generate('the ', { maxNewTokens: 60, seed: 11, stopStrings: [stop] });
    expect(stopped.finishReason).toBe('stop');
    expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
    let shown = '';
    for await (const piece of model.generate('the ', { maxNewTokens: 60, seed: 11, stopStrings: [stop] })) shown += piece.text;
    expect(shown).toBe(stopped.text);
  });

  test('ends within a token of an abort; the model can be used again', async () => {
    const model = await create(await sharedEngine());
    const controller = new AbortController();
    let count = 0;
    await expect(
      (async () => {
        for await (const _ of model.generate('a', { maxNewTokens: 1000, signal: controller.signal })) if (++count === 3) controller.abort();
      })(),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    expect(count).toBe(3);
    expect((await model.generate('a', { maxNewTokens: 2 })).ids).toHaveLength(2);
  });

  test('several at once queue and give what each gives alone; a hundred leave nothing behind', async () => {
    const engine = await openEngine();
    const model = await stir(await create(engine));
    const alone = [];
    for (const seed of [1, 2, 3]) alone.push((await model.generate('whale', { maxNewTokens: 25, seed })).ids);
    const together = await Promise.all([1, 2, 3].map(async (seed) => (await model.generate('whale', { maxNewTokens: 25, seed })).ids));
    expect(together).toEqual(alone);
    const before = await engine.info.bytes();
    for (let i = 0; i < 100; i++) await model.generate('sea', { maxNewTokens: 3 });
    expect(await engine.info.bytes()).toEqual(before);
  });

  test('weights that are not finite are a typed error', async () => {
    const model = await create(await sharedEngine());
    await model.parameters.get('transformer.ln_f.weight')!.set(new Float32Array(32).fill(Number.NaN));
    const error = await (async () => model.generate('a', { maxNewTokens: 3 }))().then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(FerroError);
    expect((error as FerroError).code).toBe('NON_FINITE_LOGITS');
  });
});
