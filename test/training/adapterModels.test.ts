// Adapters on the other models: a classifier, whose head is trained whole and goes with the adapter, and a sequence-to-sequence Transformer.
import { CharTokenizer, ClassificationDataset, type Engine, Seq2SeqDataset, SequenceClassifier, Trainer, Transformer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { failure, worst } from '../support/adapters';
import { readTensors } from '../support/safetensors';
import { hashParameters, openEngine, scratch } from '../support/training';

const DIGITS = CharTokenizer.fromText('0123456789 ');

/** Digits in rising or falling order. */
const ROWS = Array.from({ length: 96 }, (_, i) => {
  const digits = Array.from({ length: 3 + (i % 4) }, (_, k) => (i % 5) + k).join('');
  return { text: i % 2 === 0 ? digits : [...digits].reverse().join(''), label: i % 2 === 0 ? 'rising' : 'falling' };
});

describe('a classifier', () => {
  const LABELS = ['falling', 'rising'];
  const create = (engine: Engine, modelType: 'gpt2' | 'llama') =>
    SequenceClassifier.create(engine, { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: 16, modelType, tokenizer: DIGITS, labels: LABELS });
  const dataset = new ClassificationDataset(ROWS, { tokenizer: DIGITS, blockSize: 16, labels: LABELS });
  const accuracy = async (model: SequenceClassifier) => {
    const found = await model.classify(ROWS.map(({ text }) => text));
    return found.filter(({ label }, i) => label === ROWS[i].label).length / ROWS.length;
  };

  test.each(['gpt2', 'llama'] as const)('%s: learns by its adapter and head alone; both are in the folder', async (modelType) => {
    const folder = await scratch();
    const engine = await openEngine();
    const model = await create(engine, modelType);
    const hash = await hashParameters(model);
    const adapter = await model.addAdapter({ rank: 4, targetModules: 'all-linear' });
    expect(adapter.parts.modulesToSave).toEqual(['score']); // without being asked for, as in PEFT
    expect([...adapter.branches.keys()]).not.toContain('score');
    const trainer = new Trainer(model, { dataset, maxSteps: 80, batchSize: 16, learningRate: 2e-2, evalDataset: null });
    await trainer.train();
    expect(await accuracy(model)).toBeGreaterThanOrEqual(0.95);
    expect(await hashParameters(model)).toBe(hash);
    await model.saveAdapter(folder);
    const tensors = await readTensors(`${folder}/adapter_model.safetensors`);
    expect(tensors.get('base_model.model.score.weight')!.shape).toEqual([2, 16]);
    const again = await create(engine, modelType);
    await again.loadAdapter(folder);
    const chances = async (one: SequenceClassifier) => Object.values((await one.classify('1234')).probabilities);
    expect(await chances(again)).toEqual(await chances(model));
    const before = await chances(model);
    await model.mergeAdapter();
    expect(worst(await chances(model), before)).toBeLessThanOrEqual(1e-5);
  });
});

describe('a Transformer', () => {
  const rows = ROWS.map(({ text }) => ({ source: text, target: [...text].reverse().join('') }));
  const create = (engine: Engine) =>
    Transformer.create(engine, { tokenizer: WORDS, dModel: 32, nHead: 4, nLayer: 1, dimFeedforward: 64, seed: 3 });
  const WORDS = CharTokenizer.fromText('0123456789 <>');

  test('trains layers of encoder and decoder; its head over the vocabulary cannot have a branch', async () => {
    const engine = await openEngine();
    const model = await create(engine);
    const dataset = new Seq2SeqDataset(rows, { tokenizer: WORDS, bosId: model.config.bosId, eosId: model.config.eosId });
    const hash = await hashParameters(model);
    const adapter = await model.addAdapter({ rank: 8 });
    expect(adapter.parts.targetModules).toEqual(['linear1', 'linear2', 'out_proj']);
    expect([...adapter.branches.keys()].filter((path) => path.startsWith('decoder.'))).toHaveLength(4); // two attentions, two layers
    const trainer = new Trainer(model, { dataset, evalDataset: dataset, maxSteps: 60, batchSize: 16, learningRate: 2e-2, evalSteps: 0 });
    const { loss: first } = await trainer.evaluate();
    await trainer.train();
    expect((await trainer.evaluate()).loss).toBeLessThan(first - 0.5);
    expect(await hashParameters(model)).toBe(hash);
    const text = (await model.generate('345', { maxNewTokens: 8, temperature: 0 })).text;
    await model.mergeAdapter();
    expect((await model.generate('345', { maxNewTokens: 8, temperature: 0 })).text).toBe(text);
    expect((await failure(() => model.addAdapter({ targetModules: ['generator'] }))).message).toContain('must name layers of the model');
  });
});
