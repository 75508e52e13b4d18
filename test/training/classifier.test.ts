// Sequence classifiers through the public names: from nothing, from a language model, from transformers' folders; batches of several lengths, folders, bad input.
import { readFile } from 'node:fs/promises';
import {
  CharTokenizer,
  ClassificationDataset,
  type Engine,
  type ExampleDataset,
  evaluateClassification,
  evaluateLoss,
  FerroError,
  GPT,
  SequenceClassifier,
  Trainer,
} from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors, writeTensors } from '../support/safetensors';
import { hashParameters, scratch, sharedEngine } from '../support/training';

const LABELS = ['rising', 'falling'];
const TOKENIZER = CharTokenizer.fromText('0123456789 ');
const SHAPE = { nLayer: 1, nHead: 2, nEmbd: 16, blockSize: 24 } as const;

/** Texts of 2 to 9 digits in a rising or falling order. */
const ROWS = Array.from({ length: 120 }, (_, i) => {
  const first = i % 5;
  const digits = Array.from({ length: 2 + ((i * 7) % 4) }, (_, k) => first + k).join('');
  return i % 2 === 0 ? { text: digits, label: 0 } : { text: [...digits].reverse().join(''), label: 1 };
});

/** Each batch as long as its longest text, rounded up to 4: batches of several shapes. */
function dataset(rows: readonly { text: string; label: number }[]): ExampleDataset {
  const encoded = rows.map(({ text }) => TOKENIZER.encode(text));
  return {
    length: rows.length,
    batch(indices) {
      const time = Math.ceil(Math.max(...indices.map((i) => encoded[i].length)) / 4) * 4;
      const inputIds = new Int32Array(indices.length * time);
      for (const [row, i] of indices.entries()) inputIds.set(encoded[i], row * time);
      const column = (of: (i: number) => number) => ({ data: Int32Array.from(indices, of), shape: [indices.length] });
      return {
        inputIds: { data: inputIds, shape: [indices.length, time] },
        lengths: column((i) => encoded[i].length),
        labels: column((i) => rows[i].label),
      };
    },
    hash: () => JSON.stringify(rows).length.toString(),
  };
}

const create = (engine: Engine, more: object = {}) =>
  SequenceClassifier.create(engine, { ...SHAPE, tokenizer: TOKENIZER, labels: LABELS, ...more });

const accuracy = async (model: SequenceClassifier) => {
  const found = await model.classify(ROWS.map(({ text }) => text));
  return found.filter(({ label }, i) => label === LABELS[ROWS[i].label]).length / ROWS.length;
};

describe('a classifier', () => {
  test.each([
    ['last', {}],
    ['mean', { modelType: 'llama' }],
    ['last', { positionEmbedding: 'rotary' }],
  ] as const)('pooled by %s learns, is saved, and opens again with the same bits', async (pooling, more) => {
    const engine = await sharedEngine();
    const model = await create(engine, { pooling, ...more });
    const trainer = new Trainer(model, {
      dataset: dataset(ROWS),
      evalDataset: dataset(ROWS.slice(0, 30)),
      maxSteps: 150,
      learningRate: 1e-2,
    });
    const before = await trainer.evaluate();
    expect(before.tokens).toBe(30);
    await trainer.train();
    expect((await trainer.evaluate()).loss).toBeLessThan(before.loss / 2);
    expect(await accuracy(model)).toBeGreaterThan(0.95);
    const folder = `${await scratch()}/model`;
    await model.save(folder);
    const config = JSON.parse(await readFile(`${folder}/config.json`, 'utf8'));
    expect(config).toMatchObject({ id2label: { 0: 'rising', 1: 'falling' }, label2id: { rising: 0, falling: 1 } });
    expect(config.model_type).toBe(pooling === 'mean' || 'positionEmbedding' in more ? 'ferroformer' : 'gpt2');
    const again = await SequenceClassifier.fromPretrained(engine, folder);
    expect(again.config).toEqual(model.config);
    expect(await hashParameters(again)).toBe(await hashParameters(model));
    const [one] = await model.classify(['123']);
    expect(await again.classify('123')).toEqual(one);
    expect(one.probabilities.rising + one.probabilities.falling).toBeCloseTo(1, 9);
    await expect(SequenceClassifier.fromPretrained(engine, folder, { labels: ['x', 'y'] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });

  test('gives a text the same whatever is beside it', async () => {
    const model = await create(await sharedEngine());
    const texts = ['1', '12', '123456789', '98', '7 7 7 7 7 7'];
    const together = await model.classify(texts, { batchSize: 2 });
    for (const [i, text] of texts.entries()) expect(await model.classify(text), text).toEqual(together[i]);
  });

  test('is resumed bit for bit from a checkpoint of a run with batches of several shapes', async () => {
    const engine = await sharedEngine();
    const run = async (steps: number[], outputDir: string) => {
      let model: SequenceClassifier | undefined;
      for (const [i, maxSteps] of steps.entries()) {
        await model?.close();
        model = await create(engine);
        const trainer = new Trainer(model, {
          dataset: dataset(ROWS),
          evalDataset: null,
          maxSteps,
          lrSchedulerType: 'constant',
          gradientAccumulationSteps: 2,
          batchSize: 3,
          outputDir,
          resume: i > 0,
        });
        await trainer.train();
        await trainer.close();
      }
      return hashParameters(model!);
    };
    const folder = await scratch();
    expect(await run([3, 7], `${folder}/two`)).toBe(await run([7], `${folder}/one`));
  });
});

describe('a classifier on a language model', () => {
  test("has the model's trunk and a head of its own that depends on the seed", async () => {
    const engine = await sharedEngine();
    const folder = `${await scratch()}/lm`;
    const lm = await GPT.create(engine, { ...SHAPE, tokenizer: TOKENIZER, tieWordEmbeddings: false });
    await lm.save(folder);
    await expect(SequenceClassifier.fromPretrained(engine, folder)).rejects.toThrow(
      '"labels" must be given for a folder of a language model',
    );
    const models = [];
    for (const seed of [1, 1, 2]) models.push(await SequenceClassifier.fromPretrained(engine, folder, { labels: LABELS, seed }));
    const heads = await Promise.all(models.map((model) => model.parameters.get('score.weight')!.data()));
    expect(heads[0]).toEqual(heads[1]);
    expect(heads[0]).not.toEqual(heads[2]);
    expect(heads[0].some((value) => value !== 0)).toBe(true);
    for (const [name, parameter] of models[0].parameters)
      if (name !== 'score.weight') expect(await parameter.data(), name).toEqual(await lm.parameters.get(name)!.data());
    expect(models[0].loadReport!.unexpected).toEqual(['lm_head.weight']);
    expect(models[0].parameters.has('lm_head.weight')).toBe(false);
  });

  test.each(['gpt2', 'llama'])("opens transformers' folder (%s) and has its logits", async (kind) => {
    const golden = new URL('../golden/', import.meta.url);
    const { config } = JSON.parse(await readFile(new URL(`classifier-${kind}.json`, golden), 'utf8'));
    const architectures = [`${kind === 'gpt2' ? 'GPT2' : 'Llama'}ForSequenceClassification`];
    const tensors = await readTensors(new URL(`classifier-${kind}.safetensors`, golden));
    const weights = new Map(
      [...tensors].filter(([name, { data }]) => /^(transformer|model|score)\./.test(name) && data instanceof Float32Array),
    );
    const files = [
      new File([JSON.stringify({ ...config, architectures })], 'config.json'),
      new File([writeTensors(weights as Parameters<typeof writeTensors>[0])], 'model.safetensors'),
    ];
    const engine = await sharedEngine();
    const model = await SequenceClassifier.fromPretrained(engine, files, { labels: ['x', 'y', 'z'] });
    expect(model.config.classifier).toEqual({ labels: ['x', 'y', 'z'], pooling: 'last', padTokenId: 28 });
    const { data } = await model.bound.forward({
      inputIds: tensors.get('ids')!,
      lengths: tensors.get('lengths')!,
    } as never);
    const want = tensors.get('logits')!.data;
    (data as unknown as Float32Array).forEach((value, i) => {
      expect(Math.abs(value - want[i]), `logit ${i}`).toBeLessThan(2e-5);
    });
    // Another kind of classifier is refused, never approximated.
    for (const other of [{ problem_type: 'multi_label_classification' }, { id2label: { 0: 'one' } }]) {
      const wrong = [new File([JSON.stringify({ ...config, architectures, ...other })], 'config.json'), files[1]];
      await expect(SequenceClassifier.fromPretrained(engine, wrong)).rejects.toMatchObject({ code: 'NOT_BUILT' });
    }
  });

  test('trains through an adapter, with its head', async () => {
    const model = await create(await sharedEngine());
    const before = await hashParameters(model);
    await model.addAdapter({ rank: 2 });
    await new Trainer(model, { dataset: dataset(ROWS), evalDataset: null, maxSteps: 3 }).train();
    const files = await model.adapterToFiles();
    expect(JSON.parse(await files.get('adapter_config.json')!.text())).toMatchObject({ task_type: 'SEQ_CLS', modules_to_save: ['score'] });
    expect(await hashParameters(model)).toBe(before);
  });
});

describe('bad input', () => {
  test('is a typed error', async () => {
    const engine = await sharedEngine();
    for (const [labels, text] of [
      [undefined, '"labels" must be given'],
      [['a'], '"labels" must be at least two names, got ["a"]'],
      [['a', 'a'], '"labels" must be different names, got "a"'],
    ] as const) {
      await expect(create(engine, { labels })).rejects.toThrow(text);
    }
    const model = await create(engine);
    await expect(model.classify('')).rejects.toThrow('a text must have at least one token, got "" as text 0');
    await expect(model.classify(['1', '1'.repeat(25)])).rejects.toThrow(
      'at most blockSize 24 tokens ("truncate" cuts it), got 25 in text 1',
    );
    expect((await model.classify('1'.repeat(25), { truncate: true })).truncated).toBe(true);
    await expect(model.classify(3 as never)).rejects.toThrow('the texts must be texts or token ids, or a list of these, got 3');
    expect(await model.classify([])).toEqual([]);
    expect(await model.classify([1, 2, 3])).toEqual(await model.classify(TOKENIZER.decode([1, 2, 3])));
    await expect(model.classify([[1], [99]])).rejects.toMatchObject({ code: 'TOKEN_OUT_OF_RANGE' });
    const head = model.parameters.get('score.weight')!;
    await head.set((await head.data()).map((value, i) => (i < 16 ? value : Number.NaN)) as Float32Array); // the second class alone
    await expect(model.classify('1')).rejects.toMatchObject({ code: 'NON_FINITE_LOGITS' });
    await model.close();
    await expect(model.classify('1')).rejects.toBeInstanceOf(FerroError);
  });

  test('other classes than the model has, or the same in another order, are refused by training and evaluation', async () => {
    const model = await create(await sharedEngine());
    const rows = ROWS.slice(0, 8).map(({ text, label }) => ({ text, label: LABELS[label] }));
    const sorted = new ClassificationDataset(rows, { tokenizer: TOKENIZER, blockSize: 24 });
    expect(sorted.labels).toEqual(['falling', 'rising']);
    const text = 'must be the model\'s ["rising", "falling"] in this order, got ["falling", "rising"]';
    expect(() => new Trainer(model, { dataset: sorted })).toThrow(`Trainer: the labels of "dataset" ${text}`);
    expect(() => new Trainer(model, { dataset: dataset(ROWS), evalDataset: sorted })).toThrow(`the labels of "evalDataset" ${text}`);
    await expect(evaluateLoss(model, sorted)).rejects.toThrow(`evaluateLoss: the labels of "dataset" ${text}`);
    await expect(evaluateClassification(model, sorted)).rejects.toThrow(`evaluateClassification: the labels of "dataset" ${text}`);
    const right = new ClassificationDataset(rows, { tokenizer: TOKENIZER, blockSize: 24, labels: LABELS });
    await expect(evaluateClassification(model, right, { positive: 'up' })).rejects.toThrow(
      '"positive" must be one of the labels ["rising", "falling"], got "up"',
    );
    const scores = await evaluateClassification(model, right, { positive: 'rising', batchSize: 3 });
    expect(scores.examples).toBe(8);
    expect(scores.loss).toBeCloseTo((await evaluateLoss(model, right)).loss, 6);
    // A file may lack the last classes.
    const rising = rows.filter(({ label }) => label === 'rising');
    expect((await evaluateClassification(model, new ClassificationDataset(rising, { tokenizer: TOKENIZER, blockSize: 24 }))).examples).toBe(
      4,
    );
  });
});
