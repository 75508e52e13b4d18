// Writing with an encoder-decoder: every way gives what a search without caches gives, rows of a batch what they give alone; stops, aborts, prompts of the decoder, errors.
import { AdamW, type FerroError, type HostTensor, Transformer } from 'ferroformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../support/engine';
import { makeBatch, makeModel, makeWords } from '../support/seq2seq';
import { rejection } from './support';

const WORDS = ['abcdefgh', 'gab', 'hhhhh', 'bdfhac'];
let engine: Awaited<ReturnType<typeof startEngine>>;
/** Has learned a little, so that texts end at different places and beams differ. */
let model: Transformer;

beforeAll(async () => {
  engine = await startEngine();
  model = await makeModel(engine, { nEncoderLayer: 1, nDecoderLayer: 2 });
  const step = engine.trainStep(model, { loss: model.loss, optimizer: new AdamW({ learningRate: 3e-3 }) });
  const words = makeWords(64);
  for (let t = 0; t < 60; t++) await step(makeBatch(model, words));
  await step.close();
});
afterAll(() => engine.close());

/** Log-probabilities of the next token after `ids`, computed from nothing: no cache, no session. */
async function logProbs(source: Int32Array, ids: readonly number[]): Promise<Float64Array> {
  const tensor = (data: ArrayLike<number>) => ({ data: Int32Array.from(data), shape: [1, data.length] });
  const { data } = await model.bound.forward({ inputIds: tensor(source), decoderInputIds: tensor(ids) });
  const last = Float64Array.from(data.slice(-model.vocabSize));
  const top = Math.max(...last);
  const logZ = top + Math.log(last.reduce((sum, x) => sum + Math.exp(x - top), 0));
  return last.map((x) => x - logZ);
}

describe('equal to a search without caches', () => {
  test('greedy, its log-probabilities and useCache: false', async () => {
    for (const word of WORDS) {
      const { ids, logProbs: told } = await model.generate(word, { doSample: false });
      const source = model.tokenizer!.encode(word);
      const written = [model.config.bosId];
      for (const [i, id] of ids.entries()) {
        const scores = await logProbs(source, written);
        expect(id).toBe(scores.indexOf(Math.max(...scores)));
        expect(told[i]).toBeCloseTo(scores[id], 5);
        written.push(id);
      }
      expect((await model.generate(word, { doSample: false, useCache: false })).ids).toEqual(ids);
    }
  });

  test.each([0.6, 1, 2])('beams under length penalty %f', async (lengthPenalty) => {
    const [word, width, most] = ['gabc', 3, 7];
    const source = model.tokenizer!.encode(word);
    const { eosId, bosId } = model.config;
    let running = [{ ids: [] as number[], score: 0 }];
    let ended: { ids: number[]; score: number }[] = [];
    for (let length = 1; length <= most; length++) {
      const options = [];
      for (const { ids, score } of running) {
        const next = await logProbs(source, [bosId, ...ids]);
        for (const [id, value] of next.entries()) options.push({ ids: [...ids, id], score: score + value });
      }
      options.sort((a, b) => b.score - a.score).splice(2 * width);
      const ends = ({ ids }: { ids: number[] }) => ids.at(-1) === eosId || length === most;
      const fresh = options.slice(0, width).filter(ends);
      ended = [...ended, ...fresh.map(({ ids, score }) => ({ ids, score: score / length ** lengthPenalty }))];
      ended.sort((a, b) => b.score - a.score).splice(width);
      running = options.filter(({ ids }) => ids.at(-1) !== eosId).slice(0, width);
      if (ended.length === width && running[0].score / length ** lengthPenalty <= ended[width - 1].score) break;
    }
    const { sequences } = await model.generate(word, { numBeams: width, numReturnSequences: width, lengthPenalty, maxNewTokens: most });
    expect(sequences.map(({ ids }) => ids)).toEqual(ended.map(({ ids }) => ids));
    for (const [i, { score }] of sequences.entries()) expect(score).toBeCloseTo(ended[i].score, 4);
  });
});

describe('a batch of sources of different lengths', () => {
  test.each<[string, object]>([
    ['greedy', { doSample: false }],
    ['sampled', { seed: 11, temperature: 0.9, topK: 6, topP: 0.95 }],
    ['several texts of each', { seed: 5, numReturnSequences: 3 }],
    ['with penalties and a stop string', { seed: 5, repetitionPenalty: 1.3, stopStrings: ['a'] }],
    ['with a beginning of the target', { seed: 5, decoderPrompt: 'ha' }],
  ])('%s: each text, and each log-probability, is what it is alone', async (_, options) => {
    const { sequences } = await model.generate(WORDS, options);
    const texts = sequences.length / WORDS.length;
    expect(sequences).toHaveLength(WORDS.length * ((options as { numReturnSequences?: number }).numReturnSequences ?? 1));
    for (const [i, sequence] of sequences.entries()) {
      const alone = await model.generate(WORDS[Math.floor(i / texts)], { ...options, numReturnSequences: 1, seed: sequence.seed });
      expect(sequence).toEqual(alone.sequences[0]);
    }
  });

  test('beams', async () => {
    const options = { numBeams: 3, numReturnSequences: 2 };
    const { sequences } = await model.generate(WORDS, options);
    for (const [i, word] of WORDS.entries()) {
      const alone = await model.generate(word, options);
      expect(sequences.slice(2 * i, 2 * i + 2)).toEqual(alone.sequences);
    }
  });

  test('more sources than are written in step, and the same one twice', async () => {
    const words = [...makeWords(40), 'abc', 'abc'];
    const { sequences } = await model.generate(words, { doSample: false });
    expect(sequences).toHaveLength(42);
    expect(sequences[41].ids).toEqual(sequences[40].ids);
    for (const i of [0, 31, 32, 39]) expect(sequences[i].ids).toEqual((await model.generate(words[i], { doSample: false })).ids);
  });
});

describe('a text', () => {
  test('comes in pieces that make up the whole, and ends at eosId', async () => {
    const pieces = [];
    const stream = model.generate('gab', { doSample: false });
    for await (const piece of stream) pieces.push(piece);
    const { text, ids, finishReason } = await stream;
    expect(pieces.map((piece) => piece.text).join('')).toBe(text);
    expect(pieces.map(({ id }) => id)).toEqual(ids);
    expect([finishReason, ids.at(-1)]).toEqual(['eos', model.config.eosId]);
    expect(text).not.toContain('gab');
    expect(text).toHaveLength(ids.length - 1);
  });

  test('stops before a stop string', async () => {
    const whole = await model.generate('abcdefgh', { doSample: false });
    const stop = whole.text.slice(2, 4);
    const { text, finishReason } = await model.generate('abcdefgh', { doSample: false, stopStrings: [stop] });
    expect({ text, finishReason }).toEqual({ text: whole.text.slice(0, whole.text.indexOf(stop)), finishReason: 'stop' });
  });

  test('begins after decoderPrompt as it does behind the same tokens', async () => {
    const whole = await model.generate('abcdefgh', { doSample: false });
    for (const decoderPrompt of [whole.text.slice(0, 2), whole.ids.slice(0, 2)]) {
      const rest = await model.generate('abcdefgh', { doSample: false, decoderPrompt });
      expect(rest.ids).toEqual(whole.ids.slice(2));
      expect((await model.generate('abcdefgh', { numBeams: 2, decoderPrompt })).text.length).toBeGreaterThan(0);
    }
  });

  test('is by default as long as the target can be', async () => {
    const untrained = await makeModel(engine, { eosId: 0, bosId: 1 });
    const options = { doSample: false, logitBias: { 0: Number.NEGATIVE_INFINITY } };
    const { ids, finishReason } = await untrained.generate('abc', options);
    expect([ids.length, finishReason]).toEqual([12, 'length']);
    await untrained.close();
  });

  test('of a source of numbers', async () => {
    const features = await Transformer.create(engine, {
      inputKind: 'features',
      inputDim: 3,
      outputDim: 9,
      dModel: 16,
      nHead: 2,
      nLayer: 1,
      bosId: 0,
      eosId: 8,
    });
    const source = (rows: number): HostTensor => ({
      data: Float32Array.from({ length: rows * 3 }, (_, i) => Math.sin(i)),
      shape: [rows, 3],
    });
    const { sequences } = await features.generate([source(5), source(2)], { seed: 1, maxNewTokens: 5 });
    expect((await features.generate(source(2), { seed: 2, maxNewTokens: 5 })).ids).toEqual(sequences[1].ids);
    expect(sequences[0].ids.length).toBeGreaterThan(0);
    expect(() => features.generate('abc')).toThrow(/shape: \[S, 3\]/);
    await features.close();
  });
});

describe('breaking off', () => {
  test('abort ends it with ABORTED, and the model goes on', async () => {
    const controller = new AbortController();
    const stream = model.generate(WORDS, { seed: 1, signal: controller.signal });
    const seen = rejection(
      (async () => {
        for await (const _ of stream) controller.abort();
      })(),
    );
    expect(((await seen) as FerroError).code).toBe('ABORTED');
    expect((await model.generate('gab', { doSample: false })).finishReason).toBe('eos');
  });

  test('memory is freed with the model', async () => {
    const before = (await engine.info.bytes?.())?.live;
    const other = await makeModel(engine);
    await other.generate(WORDS, { numBeams: 2 });
    await other.close();
    expect((await engine.info.bytes?.())?.live).toBe(before);
    expect(() => other.generate('abc')).toThrow(expect.objectContaining({ code: 'MODEL_CLOSED' }));
  });
});

describe('errors', () => {
  const code = (work: () => unknown): string => {
    try {
      work();
      return 'none';
    } catch (error) {
      return `${(error as FerroError).code}: ${(error as FerroError).message}`;
    }
  };
  test('are thrown at once, with rule and value', () => {
    expect(code(() => model.generate(undefined as never))).toMatch(/^INVALID_OPTION.*encoder's input.*got none/);
    expect(code(() => model.generate(undefined as never, { decoderPrompt: 'abc' }))).toMatch(/^INVALID_OPTION.*encoder's input.*got none/);
    expect(code(() => model.generate(''))).toMatch(/^INVALID_OPTION.*from 1 to maxSourceLength 10 positions, got 0/);
    expect(code(() => model.generate(['abc', '']))).toMatch(/^INVALID_OPTION.*got 0/);
    expect(code(() => model.generate('abcabcabcab'))).toMatch(/^INVALID_OPTION.*maxSourceLength 10 positions, got 11/);
    expect(code(() => model.generate([1, 9]))).toMatch(/^TOKEN_OUT_OF_RANGE.*0 to 8, got 9/);
    expect(code(() => model.generate('abz'))).toMatch(/^UNKNOWN_CHARACTER/);
    expect(code(() => model.generate('abc', { maxNewTokens: 13 }))).toMatch(/^INVALID_OPTION.*maxTargetLength 12/);
    expect(code(() => model.generate('abc', { decoderPrompt: 'abcdefghabcd' }))).toMatch(/^INVALID_OPTION.*"decoderPrompt"/);
    expect(code(() => model.generate('abc', { decoderPrompts: 'a' } as never))).toMatch(/^UNKNOWN_OPTION.*decoderPrompt/);
    expect(code(() => model.generate({ data: new Float32Array(3), shape: [1, 3] }))).toMatch(/^INVALID_OPTION.*text or token ids/);
  });
});
