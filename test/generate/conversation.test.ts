// Conversations: a cache that is kept gives what one long run gives (case G4), also when it is full, broken off, or given the whole text again.
import { CharTokenizer, type Engine, evaluateLoss, GPT, TextDataset, Trainer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { openEngine, sharedEngine } from '../support/training';
import { rejection } from './support';

const TOKENIZER = CharTokenizer.fromText('\n abcdefghijklmnopqrstuvwxyz');

async function stirred(engine: Engine, blockSize: number): Promise<GPT> {
  const model = await GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 32, blockSize, tokenizer: TOKENIZER, seed: 3 });
  for (const [name, parameter] of model.parameters) {
    if (parameter.shape.length === 2)
      await parameter.set((await parameter.data()).map((x: number) => x * (name.includes('wte') ? 8 : 6)) as Float32Array);
  }
  return model;
}

describe('a conversation', () => {
  test('G4: each turn is what a run over everything so far gives', async () => {
    const model = await stirred(await sharedEngine(), 200);
    await using chat = model.startConversation();
    let ids: number[] = [];
    for (const [turn, text] of ['hello', ' who', '', 's there', 'x'].entries()) {
      const options = { maxNewTokens: 12 + turn, seed: turn, repetitionPenalty: 1 + turn / 10 };
      ids = [...ids, ...(text === '' ? [] : TOKENIZER.encode(text))];
      const whole = await model.generate(ids, options);
      const reply = await chat.generate(text, options);
      expect(reply.ids, `turn ${turn}`).toEqual(whole.ids);
      reply.logProbs.forEach((logProb, i) => {
        expect(Math.abs(logProb - whole.logProbs[i])).toBeLessThan(1e-5);
      });
      ids = [...ids, ...reply.ids];
      expect(chat.ids).toEqual(ids);
    }
  });

  test('goes on over full contexts, each turn within them', async () => {
    const model = await stirred(await sharedEngine(), 20);
    await using chat = model.startConversation();
    for (let turn = 0; turn < 12; turn++) expect((await chat.generate('word ', { maxNewTokens: 7, seed: turn })).ids).toHaveLength(7);
    expect(chat.ids).toHaveLength(12 * 12);
  });

  test('keeps what was shown of a turn that was broken off', async () => {
    const model = await stirred(await sharedEngine(), 200);
    await using chat = model.startConversation();
    const shown: number[] = [];
    for await (const piece of chat.generate('the ', { maxNewTokens: 100, seed: 1 })) {
      shown.push(piece.id);
      if (piece.index === 4) break;
    }
    const soFar = [...TOKENIZER.encode('the '), ...shown];
    expect(chat.ids).toEqual(soFar);
    const next = await chat.generate('and', { maxNewTokens: 20, seed: 2 });
    expect(next.ids).toEqual((await model.generate([...soFar, ...TOKENIZER.encode('and')], { maxNewTokens: 20, seed: 2 })).ids);
  });

  test('generateFrom reads only what is new of a whole text, and may also go back', async () => {
    const model = await stirred(await sharedEngine(), 200);
    await using chat = model.startConversation();
    for (const text of ['the whale', 'the whale is white', 'the whale is here', 'a', 'the whale', 'the whale']) {
      const reply = await chat.generateFrom(text, { maxNewTokens: 15, seed: 4 });
      expect(reply.text, text).toBe((await model.generate(text, { maxNewTokens: 15, seed: 4 })).text);
    }
  });

  test('what weights of before have left in the cache is read again, and nothing else', async () => {
    const model = await stirred(await sharedEngine(), 200);
    const adapter = await model.addAdapter({ name: 'a', rank: 2 });
    for (const parameter of adapter.parameters.values())
      await parameter.set(Float32Array.from({ length: parameter.shape[0] * parameter.shape[1] }, (_, i) => Math.sin(i)));
    model.setAdapter(null);
    const dataset = TextDataset.fromText('the whale is white '.repeat(60), TOKENIZER);
    const train = async () => new Trainer(model, { dataset, maxSteps: 3, batchSize: 4, learningRate: 1e-2, evalSteps: 0 }).train();
    const weight = model.parameters.get('transformer.h.0.mlp.c_fc.weight')!;
    const changes: [string, () => Promise<unknown>][] = [
      ['set', async () => weight.set((await weight.data()).map((x) => x / 3) as Float32Array)],
      ['trained', train],
      ['an adapter that was not active merged', () => model.mergeAdapter('a')],
    ];
    await using chat = model.startConversation();
    await chat.generate('the ', { maxNewTokens: 20, seed: 1 });
    const kept = model.bound.weightsKey;
    for (const text of ['who', '']) await chat.generate(text, { maxNewTokens: 5, seed: 1 });
    await evaluateLoss(model, dataset);
    expect(model.bound.weightsKey).toBe(kept);
    for (const [name, change] of changes) {
      await change();
      expect(model.bound.weightsKey, name).not.toBe(kept);
      const ids = [...chat.ids];
      const reply = await chat.generate('', { maxNewTokens: 8, seed: 2 });
      const whole = await model.generate(ids, { maxNewTokens: 8, seed: 2 });
      expect(reply.ids, name).toEqual(whole.ids);
      reply.logProbs.forEach((logProb, i) => {
        expect(Math.abs(logProb - whole.logProbs[i]), name).toBeLessThan(1e-5);
      });
    }
  });

  test('its memory is freed by close, and by closing the model', async () => {
    const engine = await openEngine();
    const model = await stirred(engine, 40);
    await model.generate('a', { maxNewTokens: 2 });
    const before = await engine.info.bytes();
    for (let i = 0; i < 20; i++) {
      const chat = model.startConversation();
      const other = model.startConversation();
      await other.generate('b', { maxNewTokens: 3 });
      await chat.generate('a', { maxNewTokens: 3 });
      await chat.close();
      await chat.close();
      await other.close();
    }
    await model.generate('a', { maxNewTokens: 2 });
    expect(await engine.info.bytes()).toEqual(before);
    const left = model.startConversation();
    await left.generate('a', { maxNewTokens: 3 });
    await model.close();
    expect((await engine.info.bytes()).regions).toBe(0);
    expect(await rejection((async () => left.generate('b'))())).toMatchObject({ code: 'MODEL_CLOSED' });
  });

  test('takes one turn at a time and one text; a closed one refuses', async () => {
    const model = await stirred(await sharedEngine(), 40);
    const chat = model.startConversation();
    const first = chat.generate('a', { maxNewTokens: 30 })[Symbol.asyncIterator]();
    await first.next();
    expect(await rejection((async () => chat.generate('b', { maxNewTokens: 1 }))())).toMatchObject({ code: 'BUSY' });
    await first.return?.();
    for (const options of [{ numReturnSequences: 2 }, { numBeams: 2 }, { useCache: false }])
      expect(await rejection((async () => chat.generate('b', options))())).toMatchObject({ code: 'INVALID_OPTION' });
    await chat.close();
    expect(await rejection((async () => chat.generate('b'))())).toMatchObject({ code: 'MODEL_CLOSED' });
  });
});
