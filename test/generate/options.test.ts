// The options of generate(): what each forbids or prefers, seeds, several prompts and sequences, results. Cases G1 to G15 of the project's list of public faults are named.
import { ByteTokenizer, CharTokenizer, type Engine, GPT } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { openEngine, sharedEngine } from '../support/training';
import { rejection } from './support';

const LETTERS = '\n abcdefghijklmnopqrstuvwxyz';
const TOKENIZER = CharTokenizer.fromText(LETTERS);
const create = (engine: Engine, more: object = {}) =>
  GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 32, blockSize: 20, tokenizer: TOKENIZER, seed: 3, ...more });

/** Larger weights than the initial ones, so that the next token really depends on the context. */
async function stirred(engine: Engine, more: object = {}): Promise<GPT> {
  const model = await create(engine, more);
  for (const [name, parameter] of model.parameters) {
    if (parameter.shape.length === 2)
      await parameter.set((await parameter.data()).map((x: number) => x * (name.includes('wte') ? 8 : 6)) as Float32Array);
  }
  return model;
}

describe('what may be drawn', () => {
  test('G9: a million draws at random never give an excluded token, and follow the distribution (chi-square)', async () => {
    const tokenizer = CharTokenizer.fromText('abcdefghij');
    // Without any context to depend on: zero weights everywhere, a bias decides. A context of some length, as a full one is read again at every half.
    const model = await GPT.create(await sharedEngine(), { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 256, tokenizer, seed: 5 });
    for (const [, parameter] of model.parameters) await parameter.set(new Float32Array(parameter.shape.reduce((a, b) => a * b, 1)));
    const logitBias = { 0: 1, 1: 0.5, 2: 0, 3: -0.5, 4: -1, 5: 2, 6: Number.NEGATIVE_INFINITY, 7: -3, 8: 0.25, 9: -2 };
    const counts = new Array(10).fill(0);
    const perCall = 31_250;
    const { sequences } = await model.generate(new Array(32).fill('a'), {
      maxNewTokens: perCall,
      seed: 1,
      temperature: 1.25,
      badWords: ['d'],
      topP: 0.97,
      logitBias,
    });
    for (const { ids } of sequences) for (const id of ids) counts[id]++;
    const draws = 32 * perCall;
    const weights = Object.entries(logitBias).map(([id, bias]) => (id === '3' ? 0 : Math.exp(bias / 1.25)));
    const order = weights.map((_, i) => i).sort((a, b) => weights[b] - weights[a]);
    const total = weights.reduce((a, b) => a + b, 0);
    let mass = 0;
    const kept = order.filter((i) => {
      const before = mass;
      mass += weights[i] / total;
      return before < 0.97 && weights[i] > 0;
    });
    expect(kept.length).toBeLessThan(8);
    const keptTotal = kept.reduce((sum, i) => sum + weights[i], 0);
    let chi = 0;
    counts.forEach((count, i) => {
      if (!kept.includes(i)) {
        expect(count, `token ${i} is excluded`).toBe(0);
        return;
      }
      const expected = (draws * weights[i]) / keptTotal;
      chi += (count - expected) ** 2 / expected;
    });
    // At most 7 degrees of freedom: 29.9 has probability 1e-4.
    expect(chi, JSON.stringify(counts)).toBeLessThan(29.9);
  }, 120_000);

  test('G6, G8: tiny temperatures and topP 0 are greedy; topK of V and above, topP 1, minP 0 change nothing', async () => {
    const model = await stirred(await sharedEngine());
    const greedy = (await model.generate('sea', { temperature: 0, maxNewTokens: 40 })).ids;
    for (const options of [
      { temperature: 1e-4 },
      { temperature: 1e-30 },
      { topP: 0 },
      { topK: 1 },
      { minP: 1 },
      { doSample: false, temperature: 3 },
    ])
      expect((await model.generate('sea', { maxNewTokens: 40, ...options })).ids, JSON.stringify(options)).toEqual(greedy);
    const free = (await model.generate('sea', { maxNewTokens: 40, seed: 9 })).ids;
    for (const options of [
      { topK: 28 },
      { topK: 2_000_000 },
      { topK: 0 },
      { topP: 1 },
      { minP: 0 },
      { repetitionPenalty: 1 },
      { logitBias: { 3: 0 } },
    ])
      expect((await model.generate('sea', { maxNewTokens: 40, seed: 9, ...options })).ids, JSON.stringify(options)).toEqual(free);
  });

  test('bad words of one and of several tokens never come, whatever their tokens', async () => {
    const model = await stirred(await sharedEngine());
    const { text } = await model.generate('the ', { maxNewTokens: 60, seed: 4 });
    const badWords = [text[3], text.slice(10, 12), text.slice(20, 23), [5, 6]];
    for (let seed = 0; seed < 5; seed++) {
      const { text: clean, ids } = await model.generate('the ', { maxNewTokens: 60, seed, badWords, temperature: 0.7 });
      for (const word of badWords.slice(0, 3) as string[]) expect(`the ${clean}`.includes(word, 4 - word.length + 1), word).toBe(false);
      expect(ids.some((id, i) => id === 6 && ids[i - 1] === 5)).toBe(false);
    }
  });

  test('presence and frequency penalties spread tokens out, rewards repeat them', async () => {
    const model = await stirred(await sharedEngine());
    const different = async (options: object) =>
      new Set((await model.generate('a', { maxNewTokens: 26, temperature: 0, ...options })).ids).size;
    expect(await different({ presencePenalty: 1000 })).toBe(26);
    expect(await different({ frequencyPenalty: 1000 })).toBe(26);
    expect(await different({ presencePenalty: -1000 })).toBe(1);
  });

  test('logitBias decides; ids may be numbers, a Map or texts', async () => {
    const model = await stirred(await sharedEngine());
    for (const logitBias of [{ 7: 1000 }, new Map([[7, 1000]]), ['7:1000']])
      expect((await model.generate('a', { maxNewTokens: 5, logitBias })).ids).toEqual([7, 7, 7, 7, 7]);
  });

  test('minNewTokens puts an end off', async () => {
    const model = await stirred(await sharedEngine());
    const logitBias = { 7: 1000 };
    const stopped = await model.generate('a', { maxNewTokens: 9, stopTokenIds: [7], logitBias });
    expect([stopped.ids, stopped.finishReason, stopped.text]).toEqual([[7], 'stop', '']);
    const later = await model.generate('a', { maxNewTokens: 9, minNewTokens: 4, stopTokenIds: [7], logitBias });
    expect(later.ids).toHaveLength(5);
    expect(later.ids.indexOf(7)).toBe(4);
  });
});

describe('log-probabilities', () => {
  test('are those of the logits, each token of the likeliest first; the chosen one is among its place in line', async () => {
    const model = await stirred(await sharedEngine());
    const { ids, logProbs, topLogProbs } = await model.generate('the ', {
      maxNewTokens: 12,
      seed: 2,
      topLogProbs: 20,
      temperature: 0.5,
      repetitionPenalty: 1.5,
    });
    const inputIds = [...TOKENIZER.encode('the '), ...ids];
    const { data } = (await model.bound.forward({ data: Int32Array.from(inputIds), shape: [1, inputIds.length] })) as {
      data: Float32Array;
    };
    ids.forEach((id, i) => {
      const logits = Array.from(data.slice((3 + i) * 28, (4 + i) * 28), Number);
      const logZ = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
      expect(Math.abs(logProbs[i] - (logits[id] - logZ))).toBeLessThan(1e-4);
      const order = logits.map((_, v) => v).sort((a, b) => logits[b] - logits[a]);
      expect(topLogProbs![i].map((top) => top.id)).toEqual(order.slice(0, 20));
      for (const top of topLogProbs![i]) if (top.id === id) expect(top.logProb).toBe(logProbs[i]);
    });
    expect((await model.generate('a', { maxNewTokens: 2 })).topLogProbs).toBeUndefined();
  });
});

describe('beams with many end ids', () => {
  test('hundreds of stopTokenIds are looked for; more than a step can report is a typed error', async () => {
    const model = await GPT.create(await sharedEngine(), { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 16, vocabSize: 3000, seed: 1 });
    const first = (n: number) => Array.from({ length: n }, (_, id) => id);
    const plain = await model.generate([2999], { numBeams: 8, maxNewTokens: 4 });
    const unused = first(500).filter((id) => !plain.sequences.some(({ ids }) => ids.includes(id)));
    const { sequences } = await model.generate([2999], { numBeams: 8, numReturnSequences: 8, maxNewTokens: 4, stopTokenIds: unused });
    expect(sequences).toHaveLength(8);
    for (const { ids, finishReason } of sequences) expect(finishReason).toBe(unused.includes(ids[ids.length - 1]) ? 'stop' : 'length');
    const refused = rejection(Promise.resolve(model.generate([2999], { numBeams: 8, maxNewTokens: 4, stopTokenIds: first(1017) })));
    expect(await refused).toMatchObject({ code: 'INVALID_OPTION', message: expect.stringContaining('1024') });
  });
});

describe('several texts (G2: each is what it is alone)', () => {
  const PROMPTS = ['a', 'the whale', 'sea and', 'a long prompt that is more than a context', '', 'the whale'];

  test.each([
    ['greedy', { temperature: 0 }],
    ['drawn', {}],
    ['under penalties', { repetitionPenalty: 1.2, frequencyPenalty: 0.1, topK: 12, minP: 0.01 }],
  ])('G2: prompts of different lengths in a batch are what each is alone (%s), over several contexts', async (_name, options) => {
    const model = await stirred(await sharedEngine());
    const batch = await model.generate(PROMPTS, { maxNewTokens: 70, seed: 50, ...options });
    expect(batch.sequences).toHaveLength(PROMPTS.length);
    for (const [i, prompt] of PROMPTS.entries()) {
      const alone = await model.generate(prompt, { maxNewTokens: 70, seed: 50 + i, ...options });
      expect(batch.sequences[i].ids, `prompt ${i}`).toEqual(alone.ids);
      expect(batch.sequences[i].text).toBe(alone.text);
      expect(batch.sequences[i].seed).toBe(50 + i);
      alone.logProbs.forEach((logProb, t) => {
        expect(Math.abs(batch.sequences[i].logProbs[t] - logProb)).toBeLessThan(1e-5);
      });
    }
    expect(batch.ids).toEqual(batch.sequences[0].ids);
  });

  test('G2: the others go on as alone, over several contexts, when the first row has met a stop string', async () => {
    const tokenizer = CharTokenizer.fromText('abcdefgh');
    const model = await create(await sharedEngine(), { blockSize: 8, tokenizer });
    const options = { maxNewTokens: 60, stopStrings: ['c'] };
    const late: number[] = [];
    for (const seed of [5, 15, 25, 35]) {
      const { sequences } = await model.generate(['a', 'b', 'd', 'e'], { ...options, seed });
      for (const [i, prompt] of ['a', 'b', 'd', 'e'].entries())
        expect(sequences[i].ids, `seed ${seed}, row ${i}`).toEqual((await model.generate(prompt, { ...options, seed: seed + i })).ids);
      late.push(Math.max(...sequences.map(({ ids }) => ids.length)) - sequences[0].ids.length);
    }
    expect(Math.max(...late)).toBeGreaterThan(8); // rows beside the first lived through a full context
  });

  test('rows that end early, at a token or a text, leave the others alone; uncached gives the same', async () => {
    const model = await stirred(await sharedEngine());
    const options = { maxNewTokens: 50, seed: 7, stopTokenIds: [4, 9], stopStrings: ['zz', 'mm', 'a'] };
    const batch = await model.generate(PROMPTS, options);
    const plain = await model.generate(PROMPTS, { ...options, useCache: false });
    expect(plain).toEqual(batch);
    expect(new Set(batch.sequences.map(({ ids }) => ids.length)).size).toBeGreaterThan(2);
    for (const [i, prompt] of PROMPTS.entries()) {
      const alone = await model.generate(prompt, { ...options, seed: 7 + i });
      expect(batch.sequences[i]).toEqual(alone.sequences[0]);
    }
  });

  test('numReturnSequences gives texts under seed, seed + 1, …; pieces say whose they are', async () => {
    const model = await stirred(await sharedEngine());
    const options = { maxNewTokens: 30, seed: 5, numReturnSequences: 3 };
    const { sequences } = await model.generate(['the ', 'sea'], options);
    expect(sequences.map(({ seed }) => seed)).toEqual([5, 6, 7, 8, 9, 10]);
    expect(sequences[4].ids).toEqual((await model.generate('sea', { maxNewTokens: 30, seed: 9 })).ids);
    const texts = new Array(6).fill('');
    for await (const piece of model.generate(['the ', 'sea'], options)) {
      expect(piece.id).toBe(sequences[piece.sequence].ids[piece.index]);
      texts[piece.sequence] += piece.text;
    }
    expect(texts).toEqual(sequences.map(({ text }) => text));
    const lists = await model.generate([Int32Array.of(3, 4), [5]], { maxNewTokens: 3, seed: 1 });
    expect(lists.sequences[1].ids).toEqual((await model.generate([5], { maxNewTokens: 3, seed: 2 })).ids);
  });

  test('more than a group of 32 too', async () => {
    const model = await stirred(await sharedEngine());
    const { sequences } = await model.generate('a', { maxNewTokens: 5, seed: 100, numReturnSequences: 40 });
    expect(sequences[37].ids).toEqual((await model.generate('a', { maxNewTokens: 5, seed: 137 })).ids);
  });
});

describe('stops', () => {
  test('G11: text that may begin a stop string is held, flushed at the end, and never shown when the string comes', async () => {
    const model = await create(await sharedEngine(), { tokenizer: new ByteTokenizer(), blockSize: 64 });
    const bytes = new TextEncoder().encode('é');
    const write = async (stopStrings: string[], logitBias: Record<number, number>) => {
      const pieces: string[] = [];
      const stream = model.generate('x', { maxNewTokens: 7, temperature: 0, stopStrings, logitBias });
      for await (const piece of stream) pieces.push(piece.text);
      const { text, finishReason } = await stream;
      expect(pieces.join('')).toBe(text);
      return { pieces, text, finishReason };
    };
    const a = { 97: 1000 };
    // 'aaaab' may come until the last token has been seen.
    expect(await write(['aaaab'], a)).toEqual({ pieces: ['', '', '', '', 'a', 'a', 'aaaaa'], text: 'aaaaaaa', finishReason: 'length' });
    expect(await write(['aaaa', 'b'], a)).toEqual({ pieces: ['', '', '', ''], text: '', finishReason: 'stop' });
    expect((await write(['aaaaaaa'], a)).text).toBe('');
    expect((await write(['aaaaaaaa'], a)).text).toBe('aaaaaaa');
    // Half a character at the end becomes U+FFFD, and is shown too.
    const half = await write(['zz'], { [bytes[0]]: 1000 });
    expect(half.text).toBe('\ufffd'.repeat(7));
  });

  test('G13: an abort ends within a token, of one text or a batch, awaited or iterated; the model goes on', async () => {
    const model = await stirred(await sharedEngine());
    for (const prompt of ['a', ['a', 'the whale']] as const) {
      const controller = new AbortController();
      let pieces = 0;
      const iterate = async () => {
        for await (const _ of model.generate(prompt, { maxNewTokens: 10_000, signal: controller.signal }))
          if (++pieces === 3) controller.abort();
      };
      expect(await rejection(iterate())).toMatchObject({ code: 'ABORTED' });
      expect(pieces).toBe(3);
      const later = new AbortController();
      setTimeout(() => later.abort(), 20);
      const awaited = async () => model.generate(prompt, { maxNewTokens: 1_000_000, signal: later.signal });
      expect(await rejection(awaited())).toMatchObject({ code: 'ABORTED' });
      expect((await model.generate(prompt, { maxNewTokens: 2 })).ids).toHaveLength(2);
    }
  });

  test('breaking off leaves nothing behind, and another call at once waits for nobody', async () => {
    const engine = await openEngine();
    const model = await stirred(engine);
    const alone = (await model.generate('sea', { maxNewTokens: 20, seed: 3 })).ids;
    const before = await engine.info.bytes();
    for (let i = 0; i < 100; i++)
      for await (const piece of model.generate('the ', { maxNewTokens: 1000, seed: i })) if (piece.index === i % 4) break;
    expect(await engine.info.bytes()).toEqual(before);
    // One that is left half read keeps its own cache, and blocks nobody.
    const half = model.generate('the ', { maxNewTokens: 1000 })[Symbol.asyncIterator]();
    await half.next();
    expect((await model.generate('sea', { maxNewTokens: 20, seed: 3 })).ids).toEqual(alone);
    await half.return?.();
    expect((await model.generate('sea', { maxNewTokens: 20, seed: 3 })).ids).toEqual(alone);
  });
});

describe('G3: contexts', () => {
  test.each([19, 20, 21, 39, 40, 41, 60])('a prompt of %i tokens in a context of 20, with and without the cache', async (length) => {
    const model = await stirred(await sharedEngine());
    const prompt = Int32Array.from({ length }, (_, i) => (i * 7) % 28);
    const cached = await model.generate(prompt, { maxNewTokens: 30, seed: 1 });
    const plain = await model.generate(prompt, { maxNewTokens: 30, seed: 1, useCache: false });
    expect(cached.ids).toEqual(plain.ids);
    expect(cached.ids).toHaveLength(30);
    cached.logProbs.forEach((logProb, i) => {
      expect(Math.abs(logProb - plain.logProbs[i])).toBeLessThan(1e-5);
    });
  });

  test('a prompt longer than a chunk is read in pieces: the same as uncached', async () => {
    const model = await stirred(await sharedEngine(), { blockSize: 700 });
    const prompt = Int32Array.from({ length: 643 }, (_, i) => (i * i + 3 * i) % 28);
    const cached = await model.generate(prompt, { maxNewTokens: 20, temperature: 0 });
    expect(cached.ids).toEqual((await model.generate(prompt, { maxNewTokens: 20, temperature: 0, useCache: false })).ids);
  });
});

describe('bad input is refused before anything runs, and the next call works', () => {
  test.each([
    ['minNewTokens above maxNewTokens', ['a', { maxNewTokens: 3, minNewTokens: 4 }], 'INVALID_OPTION'],
    ['a negative repetition penalty', ['a', { repetitionPenalty: -1 }], 'INVALID_OPTION'],
    ['a repetition penalty of 0', ['a', { repetitionPenalty: 0 }], 'INVALID_OPTION'],
    ['minP above 1', ['a', { minP: 1.5 }], 'INVALID_OPTION'],
    ['NaN as a penalty', ['a', { presencePenalty: Number.NaN }], 'INVALID_OPTION'],
    ['21 log-probabilities', ['a', { topLogProbs: 21 }], 'INVALID_OPTION'],
    ['a bias for no token', ['a', { logitBias: { 28: 1 } }], 'TOKEN_OUT_OF_RANGE'],
    ['a bias that is NaN', ['a', { logitBias: { 2: Number.NaN } }], 'INVALID_OPTION'],
    ['a bad word of no token', ['a', { badWords: [[3, 99]] }], 'TOKEN_OUT_OF_RANGE'],
    ['an empty bad word', ['a', { badWords: [''] }], 'INVALID_OPTION'],
    ['a bad word of 40 tokens', ['a', { badWords: ['abcdefghijklmnopqrstuvwxyzabcdefghijklmn'] }], 'INVALID_OPTION'],
    ['a stop token that is none', ['a', { stopTokenIds: [28] }], 'TOKEN_OUT_OF_RANGE'],
    ['an id out of range', [[3, 28]], 'TOKEN_OUT_OF_RANGE'],
    ['an id that is negative', [[-1]], 'TOKEN_OUT_OF_RANGE'],
    ['an id that is no integer', [[1.5]], 'TOKEN_OUT_OF_RANGE'],
    ['a prompt that is neither', [7 as unknown as string], 'INVALID_OPTION'],
    ['numbers among texts', [['a', 3] as unknown as string[]], 'INVALID_OPTION'],
    ['a character outside the vocabulary', ['Ä'], 'UNKNOWN_CHARACTER'],
    ['more sequences than beams', ['a', { numBeams: 2, numReturnSequences: 3 }], 'INVALID_OPTION'],
    ['a temperature for beams', ['a', { numBeams: 2, temperature: 0.5 }], 'INVALID_OPTION'],
    ['a seed without room', ['a', { seed: Number.MAX_SAFE_INTEGER, numReturnSequences: 2 }], 'INVALID_OPTION'],
    ['a beam search beyond the context', ['abcde', { numBeams: 2, maxNewTokens: 30 }], 'INVALID_OPTION'],
    ['an unknown option', ['a', { minTokens: 3 }], 'UNKNOWN_OPTION'],
  ])('%s', async (_name, [prompt, options], code) => {
    const model = await create(await sharedEngine());
    const call = async () => model.generate(prompt as string, options as object);
    expect(await rejection(call())).toMatchObject({ code });
    expect((await model.generate('a', { maxNewTokens: 2 })).ids).toHaveLength(2);
  });

  test('G12: an empty prompt, an empty list, a lone surrogate', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    expect((await model.generate('', { maxNewTokens: 3 })).ids).toHaveLength(3);
    expect((await model.generate([], { maxNewTokens: 3 })).ids).toHaveLength(3);
    const bytes = await create(engine, { tokenizer: new ByteTokenizer() });
    expect((await bytes.generate('\ud800', { maxNewTokens: 3, seed: 1 })).ids).toEqual(
      (await bytes.generate('\ufffd', { maxNewTokens: 3, seed: 1 })).ids,
    );
  });

  test('G15: NaN logits are a typed error, in a batch and in a beam search too', async () => {
    const model = await create(await sharedEngine());
    await model.parameters.get('transformer.ln_f.weight')!.set(new Float32Array(32).fill(Number.NaN));
    for (const [prompt, options] of [
      ['a', {}],
      [['a', 'b'], {}],
      ['a', { numBeams: 2, maxNewTokens: 4 }],
    ] as const)
      expect(await rejection((async () => model.generate(prompt, options))())).toMatchObject({ code: 'NON_FINITE_LOGITS' });
    await model.parameters.get('transformer.ln_f.weight')!.set(new Float32Array(32).fill(1));
    expect((await model.generate('a', { maxNewTokens: 2 })).ids).toHaveLength(2);
  });
});

describe('nothing grows', () => {
  test('G5, L5: bytes and programs are the same after a hundred texts, batches and beam searches', async () => {
    const engine = await openEngine();
    const model = await stirred(engine);
    const all = async (n: number) => {
      await model.generate('sea'.slice(0, 1 + (n % 3)), { maxNewTokens: 1 + (n % 7) });
      if (n % 4 === 0) await model.generate(['a', 'the whale'], { maxNewTokens: 5 });
      if (n % 4 === 1) await model.generate('a', { numBeams: 2, maxNewTokens: 5 });
      if (n % 4 === 2) await model.generate('a', { maxNewTokens: 3, useCache: false, repetitionPenalty: 1.1 });
    };
    for (let n = 0; n < 8; n++) await all(n);
    const before = await engine.info.bytes();
    for (let n = 0; n < 100; n++) await all(n);
    expect(await engine.info.bytes()).toEqual(before);
    await model.close();
    expect((await engine.info.bytes()).regions).toBe(0);
  });
});
