// The GPT's graph in f64 arithmetic, without an engine: against transformers' numbers, and the cached path against the plain one.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readTensors } from '../../test/support/safetensors';
import { differentiate, Extent, input, sum, type Variable } from '../graph';
import { evaluate, randomValues, type Values } from '../graph/testing/interpreter';
import { nameModules } from '../nn';
import { cacheVariables, causalLoss, GPT, type GPTConfigOptions, resolveConfig } from './index';

const folder = new URL('../../test/golden/', import.meta.url);
const integers = (name: string, ...shape: number[]) => input(name, shape, 'i32');

function named(gpt: GPT): Map<string, Variable> {
  return nameModules(gpt);
}

// test/golden/gpt.py: a GPT2LMHeadModel of transformers in float64.
describe.each(['gpt-bias', 'gpt-nobias'])('%s of transformers', (name) => {
  const config = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Required<GPTConfigOptions> & {
    batch: number;
    loss: number;
  };
  let tensors: Awaited<ReturnType<typeof readTensors>>;
  let gpt: GPT;
  let values: Values;
  beforeAll(async () => {
    tensors = await readTensors(new URL(`${name}.safetensors`, folder));
    const { nLayer, nHead, nEmbd, blockSize, vocabSize, bias } = config;
    gpt = new GPT(resolveConfig({ nLayer, nHead, nEmbd, blockSize, vocabSize, bias }));
    values = new Map(Array.from(named(gpt), ([key, variable]) => [variable, Float64Array.from(tensors.get(key)!.data)]));
  });
  const batch = () => ({ inputIds: tensors.get('ids')!.data, labels: tensors.get('labels')!.data });

  it('has the same logits', () => {
    const { logits } = evaluate(
      { outputs: { logits: gpt.forward(integers('inputIds', config.batch, config.blockSize)) }, effects: [] },
      { inputs: { inputIds: batch().inputIds }, variables: values },
    );
    const want = tensors.get('logits')!.data;
    expect(logits).toHaveLength(want.length);
    logits.forEach((value, i) => {
      expect(Math.abs(value - want[i]), `logit ${i}`).toBeLessThan(1e-6 + 1e-6 * Math.abs(want[i])); // the file holds float32
    });
  });

  it('has the same loss and the same gradient of every parameter', () => {
    const shape = [config.batch, config.blockSize];
    const rows = causalLoss(gpt, { inputIds: integers('inputIds', ...shape), labels: integers('labels', ...shape) });
    if (!('sum' in rows)) throw new Error('a row loss');
    const total = sum(rows.sum);
    const parameters = named(gpt);
    const gradients = differentiate(total, [...parameters.values()]);
    const outputs = {
      total,
      count: rows.count,
      ...Object.fromEntries(Array.from(parameters, ([key, variable]) => [key, gradients.get(variable)!])),
    };
    const result = evaluate({ outputs, effects: [] }, { inputs: batch(), variables: values });
    const count = result.count[0];
    expect(count).toBe(batch().labels.filter((label) => label !== -100).length);
    // Epsilon and the attention's scale are float32 in a program, hence not closer.
    expect(Math.abs(result.total[0] / count - config.loss)).toBeLessThan(1e-7);
    for (const key of parameters.keys()) {
      const want = tensors.get(`grad.${key}`)!.data;
      result[key].forEach((value, i) => {
        expect(Math.abs(value / count - want[i]), `${key}[${i}]`).toBeLessThan(1e-7 + 1e-6 * Math.abs(want[i]));
      });
    }
  });
});

describe('forwardCached', () => {
  const config = resolveConfig({ nLayer: 2, nHead: 2, nEmbd: 8, blockSize: 9, vocabSize: 7 });
  const gpt = new GPT(config);
  const parameters = randomValues([...named(gpt).values()], 3);
  const ids = Int32Array.of(3, 1, 4, 1, 5, 2, 6, 5, 3);

  /** Logits after the first n tokens, without a cache. */
  const plain = (n: number) => {
    const { logits } = evaluate(
      { outputs: { logits: gpt.forward(integers('ids', 1, n)) }, effects: [] },
      { inputs: { ids: ids.slice(0, n) }, variables: parameters },
    );
    return logits.slice((n - 1) * 7);
  };

  it.each([[[9]], [[1, 1, 1, 1, 1, 1, 1, 1, 1]], [[4, 1, 1, 3]], [[8, 1]], [[1, 8]]])(
    'in pieces of %o gives what the whole gives',
    (pieces) => {
      const cache = gpt.makeCache();
      const variables: Values = new Map([
        ...parameters,
        ...cacheVariables(cache).map((variable) => [variable, new Float64Array(variable.size)] as const),
      ]);
      const time = new Extent('time', 9);
      const logits = gpt.forwardCached(input('ids', [1, time], 'i32'), cache, {
        position: new Extent('position', 9),
        keysUsed: new Extent('keysUsed', 9),
      });
      let position = 0;
      for (const length of pieces) {
        const extents = { time: length, position, keysUsed: position + length };
        const result = evaluate(
          { outputs: { logits }, effects: [] },
          { inputs: { ids: ids.slice(position, position + length) }, extents, variables },
        );
        position += length;
        plain(position).forEach((want, i) => {
          expect(Math.abs(result.logits[i] - want), `after ${position} tokens, logit ${i}`).toBeLessThan(1e-12);
        });
      }
    },
  );
});
