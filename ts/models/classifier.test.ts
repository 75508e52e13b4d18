// Classifiers' graphs in f64 arithmetic, without an engine: against transformers' numbers (test/golden/classifier.py), both poolings.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readTensors } from '../../test/support/safetensors';
import { differentiate, Extent, input, sum } from '../graph';
import { evaluate, type Values } from '../graph/testing/interpreter';
import { nameModules, type Pooling } from '../nn';
import { type Classifier, checkLabels, classifierLoss, createClassifier, resolveModelConfig } from './index';

const folder = new URL('../../test/golden/', import.meta.url);
const [B, T] = [4, 8];
const LABELS = ['a', 'b', 'c'];

const TRUNKS = {
  gpt2: { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: T, vocabSize: 29 },
  llama: { modelType: 'llama', nLayer: 2, nHead: 4, nKvHead: 2, nEmbd: 16, nInner: 24, rmsNormEps: 1e-6, blockSize: T, vocabSize: 29 },
} as const;

const make = (kind: keyof typeof TRUNKS, pooling: Pooling): Classifier =>
  createClassifier({ ...resolveModelConfig(TRUNKS[kind], 'test'), classifier: { labels: LABELS, pooling, padTokenId: null } });

const inputs = (rows: number | Extent) => ({
  inputIds: input('inputIds', [rows, T], 'i32'),
  lengths: input('lengths', [rows], 'i32'),
  labels: input('labels', [rows], 'i32'),
});

/** Of each position the cosines of its angles, then their sines. */
function rotaryTable([positions, width]: readonly number[]): Float64Array {
  const half = width / 2;
  return Float64Array.from({ length: positions * width }, (_, i) => {
    const angle = Math.floor(i / width) * 10000 ** (-(i % half) / half);
    return i % width < half ? Math.cos(angle) : Math.sin(angle);
  });
}

describe.each(['gpt2', 'llama'] as const)('a classifier on the trunk of %s', (kind) => {
  const golden = JSON.parse(readFileSync(new URL(`classifier-${kind}.json`, folder), 'utf8')) as {
    scriptSha256: string;
    losses: Record<Pooling, number>;
  };
  let tensors: Awaited<ReturnType<typeof readTensors>>;
  beforeAll(async () => {
    tensors = await readTensors(new URL(`classifier-${kind}.safetensors`, folder));
  });
  const weights = (classifier: Classifier): Values =>
    new Map(
      Array.from(nameModules(classifier), ([key, variable]) => [
        variable,
        variable.derived ? rotaryTable(variable.shape) : Float64Array.from(tensors.get(key)!.data),
      ]),
    );
  const batch = () => ({ inputIds: tensors.get('ids')!.data, lengths: tensors.get('lengths')!.data, labels: tensors.get('labels')!.data });

  it('has the golden file of its script', () => {
    const script = readFileSync(new URL('classifier.py', folder), 'utf8').replaceAll('\r\n', '\n');
    expect(golden.scriptSha256).toBe(createHash('sha256').update(script).digest('hex'));
  });

  it.each(['last', 'mean'] as const)('pooled by %s: logits, loss and the gradient of every parameter', (pooling) => {
    const prefix = pooling === 'last' ? '' : 'mean.';
    const classifier = make(kind, pooling);
    const values = weights(classifier);
    const symbols = inputs(B);
    const rows = classifierLoss(classifier, symbols);
    if (!('sum' in rows)) throw new Error('a row loss');
    const total = sum(rows.sum);
    const parameters = [...nameModules(classifier)].filter(([, variable]) => !variable.derived);
    const gradients = differentiate(
      total,
      parameters.map(([, variable]) => variable),
    );
    const outputs = {
      total,
      count: rows.count,
      logits: classifier.forward(symbols),
      ...Object.fromEntries(parameters.map(([key, variable]) => [key, gradients.get(variable)!])),
    };
    const result = evaluate({ outputs, effects: [] }, { inputs: batch(), variables: values });
    expect(result.count[0]).toBe(B);
    expect(Math.abs(result.total[0] / B - golden.losses[pooling])).toBeLessThan(1e-6);
    const compare = (got: ArrayLike<number>, name: string, factor: number) => {
      const want = tensors.get(name)!.data;
      expect(got.length).toBe(want.length);
      for (let i = 0; i < want.length; i++)
        expect(Math.abs(got[i] * factor - want[i]), `${name}[${i}]`).toBeLessThan(2e-6 + 2e-6 * Math.abs(want[i]));
    };
    compare(result.logits, `${prefix}logits`, 1);
    for (const [key] of parameters) compare(result[key], `${prefix}grad.${key}`, 1 / B);
  });

  it('does not see what lies behind the end of a sequence, and takes any number of rows', () => {
    const classifier = make(kind, 'mean');
    const rows = new Extent('rows', 8);
    const logits = classifier.forward(inputs(rows));
    const { inputIds, lengths, labels } = batch();
    const run = (ids: Int32Array, n: number) =>
      evaluate(
        { outputs: { logits }, effects: [] },
        {
          inputs: { inputIds: ids, lengths: lengths.slice(0, n), labels: labels.slice(0, n) },
          extents: { rows: n },
          variables: weights(classifier),
        },
      ).logits;
    const other = Int32Array.from(inputIds, (id, i) => (i % T < lengths[Math.floor(i / T)] ? id : 5));
    expect(run(other, B)).toEqual(run(inputIds as Int32Array, B));
    expect(run(other.slice(0, 2 * T), 2)).toEqual(run(inputIds as Int32Array, B).slice(0, 6));
  });
});

describe('labels of a classifier', () => {
  it.each([
    [['one'], 'at least two names, got ["one"]'],
    [['a', 'b', 'a'], 'different names, got "a"'],
  ])('refuses %j', (labels, message) => {
    expect(() => checkLabels('test', labels)).toThrow(`test: "labels" must be ${message}`);
  });
});
