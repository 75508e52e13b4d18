// Tokens added to a model: ids, rows, files; tokens that stand for tasks, learned alone or with the model.
import {
  BpeTokenizer,
  ByteTokenizer,
  CharTokenizer,
  type Engine,
  GPT,
  loadTokenizer,
  SftDataset,
  TextDataset,
  Trainer,
  taskTokens,
} from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { hashParameters, makeText, openEngine, scratch, sharedEngine } from '../support/training';

const TEXT = makeText(4_000);
const SHAPE = { nLayer: 1, nHead: 2, nEmbd: 16, blockSize: 16 } as const;
const TOKENIZERS = {
  characters: async () => CharTokenizer.fromText(TEXT),
  bytes: async () => new ByteTokenizer(),
  BPE: () => BpeTokenizer.train(TEXT, { vocabSize: 300, specialTokens: ['<|endoftext|>'] }),
};
const NEW = ['<|task:copy|>', '<|task:copy|>2', '<|pad|>'];

describe.each(Object.entries(TOKENIZERS))('tokens added to a tokenizer of %s', (_kind, make) => {
  test('take the next ids, count where they are allowed, and come back from files', async () => {
    const old = await make();
    const model = await GPT.create(await sharedEngine(), { ...SHAPE, tokenizer: old });
    const { ids, added } = await model.addTokens(NEW, { padToken: '<|pad|>' });
    const tokenizer = model.tokenizer!;
    expect([ids, added]).toEqual([[0, 1, 2].map((i) => old.vocabSize + i), 3]);
    expect([tokenizer.vocabSize, tokenizer.padId, tokenizer.eosId]).toEqual([old.vocabSize + 3, ids[2], old.eosId]);
    const text = `${NEW[0]}the whale${NEW[1]} ${NEW[2]}`;
    const encoded = tokenizer.encode('the whale');
    expect(Array.from(tokenizer.encode(text, { allowSpecial: true }))).toEqual([
      ids[0],
      ...encoded,
      ids[1],
      ...tokenizer.encode(' '),
      ids[2],
    ]);
    expect(encoded).toEqual(old.encode('the whale'));
    expect(tokenizer.decode(tokenizer.encode(text, { allowSpecial: true }))).toBe(text);
    expect(tokenizer.decode([ids[0], ...encoded], { skipSpecialTokens: true })).toBe('the whale');
    for (const size of [1, 2, 5, 100]) {
      const encoder = tokenizer.encoder({ allowSpecial: [NEW[0], NEW[1], NEW[2]] });
      const pieces: number[] = [];
      for (let at = 0; at < text.length; at += size) pieces.push(...encoder.push(text.slice(at, at + size)));
      expect([...pieces, ...encoder.flush()], `pieces of ${size}`).toEqual([...tokenizer.encode(text, { allowSpecial: true })]);
    }
    const again = await loadTokenizer(tokenizer.toFiles());
    expect([again.kind, again.vocabSize, again.padId, again.hash]).toEqual([
      tokenizer.kind,
      tokenizer.vocabSize,
      tokenizer.padId,
      tokenizer.hash,
    ]);
    expect(again.encode(text, { allowSpecial: true })).toEqual(tokenizer.encode(text, { allowSpecial: true }));
    expect(again.byteLength(ids[0])).toBe(NEW[0].length);
    // Once more: they are known.
    expect(await model.addTokens([NEW[2], '<|more|>'])).toEqual({ ids: [ids[2], ids[2] + 1], added: 1 });
    expect(model.tokenizer!.padId).toBe(ids[2]);
  });
});

describe.each([
  ['gpt2, tied', {}],
  ['gpt2, with a head of its own', { tieWordEmbeddings: false }],
  ['llama, tied', { modelType: 'llama' }],
  ['llama, with a head of its own', { modelType: 'llama', tieWordEmbeddings: false }],
] as const)('tokens added to a model: %s', (_name, more) => {
  test('get the mean of the old rows and a little noise; the rest keeps its bits; saved, it opens with the same bits', async () => {
    const engine = await openEngine();
    const tokenizer = CharTokenizer.fromText(TEXT);
    const model = await GPT.create(engine, { ...SHAPE, tokenizer, ...more });
    await model.generate('the', { maxNewTokens: 2 });
    const before = new Map<string, Float32Array>();
    for (const [name, parameter] of model.parameters) before.set(name, (await parameter.data()) as Float32Array);
    const old = tokenizer.vocabSize;
    const live = (await engine.info.bytes()).regions;
    await model.addTokens(NEW);
    const tables = [...model.parameters].filter(([name]) => /wte|embed_tokens|lm_head/.test(name));
    expect(tables).toHaveLength('tieWordEmbeddings' in more ? 2 : 1);
    expect(model.config.vocabSize).toBe(old + 3);
    for (const [name, parameter] of model.parameters) {
      const [now, was] = [(await parameter.data()) as Float32Array, before.get(name)!];
      expect(now.subarray(0, was.length), name).toEqual(was);
      if (!tables.some(([table]) => table === name)) continue;
      expect(parameter.shape).toEqual([old + 3, 16]);
      for (let row = old; row < old + 3; row++) {
        for (let c = 0; c < 16; c++) {
          let mean = 0;
          for (let r = 0; r < old; r++) mean += was[r * 16 + c] / old;
          const noise = Math.abs(now[row * 16 + c] - mean);
          expect(noise).toBeGreaterThan(0);
          expect(noise, `${name}[${row}, ${c}]`).toBeLessThan(0.1); // five standard deviations
        }
      }
    }
    // The old sessions and tables are gone: nothing but the new rows is larger.
    expect((await engine.info.bytes()).regions).toBeLessThanOrEqual(live + tables.length * (3 * 16 * 4 + 64));
    const written = await model.generate('the', { maxNewTokens: 5, seed: 1 });
    expect(written.ids.every((id) => id < old + 3)).toBe(true);
    const folder = `${await scratch()}/model`;
    await model.save(folder);
    const again = await GPT.fromPretrained(engine, folder);
    expect(await hashParameters(again)).toBe(await hashParameters(model));
    expect(again.tokenizer!.hash).toBe(model.tokenizer!.hash);
    const dataset = TextDataset.fromText(TEXT, model.tokenizer!);
    const result = await new Trainer(model, { dataset, evalDataset: null, maxSteps: 2 }).train();
    expect(Number.isFinite(result.loss)).toBe(true);
  });
});

test('a padded vocabulary has the rows already: they get their first values there', async () => {
  const tokenizer = CharTokenizer.fromText(TEXT);
  const model = await GPT.create(await sharedEngine(), { ...SHAPE, tokenizer, vocabSize: tokenizer.vocabSize + 8 });
  const table = model.parameters.get('transformer.wte.weight')!;
  const before = (await table.data()) as Float32Array;
  await model.addTokens(NEW);
  expect(model.config.vocabSize).toBe(tokenizer.vocabSize + 8);
  const now = (await table.data()) as Float32Array;
  const [from, to] = [tokenizer.vocabSize * 16, (tokenizer.vocabSize + 3) * 16];
  expect(now.subarray(0, from)).toEqual(before.subarray(0, from));
  expect(now.subarray(to)).toEqual(before.subarray(to));
  expect(now.subarray(from, to)).not.toEqual(before.subarray(from, to));
});

describe('log P(w_i given w_1 … w_{i−1}, task)', () => {
  const tokenizer = CharTokenizer.fromText('abcdefgh>.');
  // The same source under two tasks: once copied, once reversed. Without the task nothing tells them apart.
  const sources = Array.from({ length: 48 }, (_, i) =>
    Array.from({ length: 3 }, (_, k) => 'abcdefgh'[(i * 5 + k * k * 3 + k * i) % 8]).join(''),
  );
  const rows = (reverse: boolean) =>
    sources.map((source) => ({ prompt: `${source}>`, completion: reverse ? [...source].reverse().join('') : source }));
  const datasetOf = (model: GPT, task: string[], reverse: boolean) =>
    new SftDataset(rows(reverse), { tokenizer: model.tokenizer!, blockSize: SHAPE.blockSize, taskTokens: task, endOfText: '.' });
  const make = async (engine: Engine) => {
    const model = await GPT.create(engine, { ...SHAPE, nLayer: 2, nEmbd: 32, tokenizer });
    const tasks = [taskTokens('copy', 2), taskTokens('reverse', 2)];
    const added = await model.addTokens(tasks.flat());
    return { model, tasks, ids: added.ids };
  };
  const both = (model: GPT, tasks: string[][]) => {
    const parts = [datasetOf(model, tasks[0], false), datasetOf(model, tasks[1], true)];
    return {
      length: parts[0].length + parts[1].length,
      async batch(indices: readonly number[]) {
        const n = indices.length;
        const picked = await Promise.all(indices.map((i) => parts[i % 2].batch([i >> 1])));
        const stack = (name: string) => {
          const width = Math.max(...picked.map((one) => one[name].shape[1]));
          const data = new Int32Array(n * width).fill(name === 'labels' ? -100 : 0);
          for (const [row, one] of picked.entries()) data.set(one[name].data, row * width);
          return { data, shape: [n, width] };
        };
        return { inputIds: stack('inputIds'), labels: stack('labels') };
      },
    };
  };

  test('two tasks with the same sources are learned, each by its tokens', async () => {
    const { model, tasks } = await make(await sharedEngine());
    await new Trainer(model, { dataset: both(model, tasks), evalDataset: null, maxSteps: 700, learningRate: 5e-3 }).train();
    let right = 0;
    for (const [t, task] of tasks.entries()) {
      for (const source of sources.slice(0, 12)) {
        const prompt = model.tokenizer!.encode(`${task.join('')}${source}>`, { allowSpecial: true });
        const { text } = await model.generate(prompt, { maxNewTokens: 3, temperature: 0 });
        if (text === (t === 0 ? source : [...source].reverse().join(''))) right++;
      }
    }
    expect(right).toBeGreaterThanOrEqual(22); // of 24; without the task at most half of those that are no palindromes
  });

  test('tokens of a task are trained alone: the loss falls, and nothing else changes a bit', async () => {
    const { model, tasks, ids } = await make(await sharedEngine());
    const before = new Map<string, Float32Array>();
    for (const [name, parameter] of model.parameters) before.set(name, (await parameter.data()) as Float32Array);
    const dataset = datasetOf(model, tasks[0], false);
    const trainer = new Trainer(model, {
      dataset,
      evalDataset: dataset,
      maxSteps: 40,
      learningRate: 0.1,
      freeze: ['*'],
      trainableTokens: ids.slice(0, 2),
    });
    const first = (await trainer.evaluate()).loss;
    await trainer.train();
    expect((await trainer.evaluate()).loss).toBeLessThan(first - 0.02);
    const rowsOf = new Set(ids.slice(0, 2));
    for (const [name, parameter] of model.parameters) {
      const [now, was] = [await parameter.data(), before.get(name)!];
      for (let i = 0; i < was.length; i++) {
        if (now[i] !== was[i] && !(name === 'transformer.wte.weight' && rowsOf.has(Math.floor(i / 32))))
          throw new Error(`${name}[${i}] changed`);
      }
      if (name === 'transformer.wte.weight')
        for (const id of rowsOf) expect(now.slice(id * 32, id * 32 + 32)).not.toEqual(was.slice(id * 32, id * 32 + 32));
    }
  });

  test('have names', () => {
    expect([taskTokens('sum'), taskTokens('sum', 2)]).toEqual([['<|task:sum|>'], ['<|task:sum:0|>', '<|task:sum:1|>']]);
    expect(() => taskTokens('sum', 0)).toThrow('the number of tokens must be an integer from 1 to 1024, got 0');
    expect(() => taskTokens('')).toThrow('the task must be a name, got ""');
  });
});

describe('bad input', () => {
  test('is a typed error, and nothing is changed', async () => {
    const engine = await sharedEngine();
    const model = await GPT.create(engine, { ...SHAPE, tokenizer: CharTokenizer.fromText(TEXT) });
    const [hash, tokenizer] = [await hashParameters(model), model.tokenizer];
    for (const [tokens, text] of [
      [[], 'must be a list of different texts of more than one character, got []'],
      [['x'], 'got "x"'],
      [['<a>', '<a>'], 'got "<a>"'],
      [[3], 'got 3'],
      ['abc', 'got "abc"'],
    ] as const) {
      await expect(model.addTokens(tokens as never)).rejects.toThrow(text);
    }
    await expect(model.addTokens(['<a>'], { eosToken: '<b>' })).rejects.toThrow('"eosToken" must be a special token, got "<b>"');
    await expect(model.addTokens(['<a>'], { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
    await model.addAdapter();
    await expect(model.addTokens(['<a>'])).rejects.toThrow('tokens must be added before adapters, got 1');
    await model.removeAdapter();
    expect([await hashParameters(model), model.tokenizer]).toEqual([hash, tokenizer]);
    await expect((await model.quantize()).addTokens(['<a>'])).rejects.toMatchObject({ code: 'QUANTIZED_MODEL' });
    const nameless = await GPT.create(engine, { ...SHAPE, vocabSize: 7 });
    await expect(nameless.addTokens(['<a>'])).rejects.toThrow('the model must have a tokenizer, got one without');
    await model.close();
    await expect(model.addTokens(['<a>'])).rejects.toMatchObject({ code: 'MODEL_CLOSED' });
  });
});
