// Rows of a batch at positions of their own, in f64 arithmetic and without an engine: each row's logits are those of its sequence alone, whatever the
// architecture; and Llama's cached path equals its plain one in pieces of any length.
import { describe, expect, it } from 'vitest';
import { Extent, input } from '../graph';
import { evaluate, randomValues, type Values } from '../graph/testing/interpreter';
import { nameModules } from '../nn';
import { type CausalLM, cacheVariables, createModel, resolveModelConfig } from './index';

const V = 7;
const P = 9;
const size = { nLayer: 2, nHead: 4, nEmbd: 8, blockSize: P, vocabSize: V } as const;
const SEQUENCES = [Int32Array.of(3, 1, 4, 1, 5, 2, 6, 5), Int32Array.of(2, 6), Int32Array.of(5, 0, 2, 3, 1)];

/** The table that the engine makes of the rotary `init`: of each position the cosines, then the sines. */
function rotaryTable(rows: number, width: number): Float64Array {
  const half = width / 2;
  return Float64Array.from({ length: rows * width }, (_, i) => {
    const [position, column] = [Math.floor(i / width), i % width];
    const angle = position * 10000 ** (-(column % half) / half);
    return column < half ? Math.cos(angle) : Math.sin(angle);
  });
}

function valuesOf(model: CausalLM): Values {
  const variables = [...nameModules(model).values()];
  const values: Values = new Map(randomValues(variables, 3));
  for (const variable of variables) if (variable.derived) values.set(variable, rotaryTable(variable.shape[0], variable.shape[1]));
  return values;
}

describe.each([
  ['gpt2', resolveModelConfig(size, 'test')],
  ['gpt2 with rotary positions', resolveModelConfig({ ...size, positionEmbedding: 'rotary' }, 'test')],
  ['llama', resolveModelConfig({ ...size, modelType: 'llama', nKvHead: 2, headDim: 4 }, 'test')],
])('%s', (_, config) => {
  const model = createModel(config);
  const parameters = valuesOf(model);
  const plain = (ids: Int32Array) => {
    const graph = { outputs: { logits: model.forward(input('ids', [1, ids.length], 'i32')) }, effects: [] };
    return evaluate(graph, { inputs: { ids }, variables: parameters }).logits.slice((ids.length - 1) * V);
  };
  const place = () => ({ position: new Extent('position', P), keysUsed: new Extent('keysUsed', P) });

  it('each row of a batch gives what its sequence gives alone', () => {
    const cache = model.makeCache(SEQUENCES.length);
    const variables: Values = new Map(parameters);
    const one = model.makeCache();
    const time = new Extent('time', P);
    const prefill = model.forwardCached(input('ids', [1, time], 'i32'), one, place());
    for (const variable of cacheVariables(cache)) variables.set(variable, new Float64Array(variable.size).fill(Number.NaN));
    for (const [row, ids] of SEQUENCES.entries()) {
      for (const variable of cacheVariables(one)) variables.set(variable, new Float64Array(variable.size));
      const length = ids.length - 1;
      const run = { inputs: { ids: ids.slice(0, length) }, extents: { time: length, position: 0, keysUsed: length }, variables };
      evaluate({ outputs: { logits: prefill }, effects: [] }, run);
      for (const [i, variable] of cacheVariables(one).entries()) {
        // Behind the rows that count stays NaN: nothing may read them.
        const used = variables.get(variable)!.subarray(0, length * variable.shape[2]);
        (variables.get(cacheVariables(cache)[i]) as Float64Array).set(used, row * variable.size);
      }
    }
    const keysUsed = new Extent('keysUsed', P);
    const next = { positions: input('positions', [SEQUENCES.length], 'i32'), keysUsed };
    const logits = model.forwardCached(input('ids', [SEQUENCES.length, 1], 'i32'), cache, next);
    const result = evaluate(
      { outputs: { logits }, effects: [] },
      {
        inputs: {
          ids: Int32Array.from(SEQUENCES, (ids) => ids[ids.length - 1]),
          positions: Int32Array.from(SEQUENCES, (ids) => ids.length - 1),
        },
        extents: { keysUsed: Math.max(...SEQUENCES.map((ids) => ids.length)) },
        variables,
      },
    );
    for (const [row, ids] of SEQUENCES.entries()) {
      plain(ids).forEach((want, i) => {
        expect(Math.abs(result.logits[row * V + i] - want), `row ${row}, logit ${i}`).toBeLessThan(1e-12);
      });
    }
  });

  it.each([[[8]], [[1, 1, 1, 1, 1, 1, 1, 1]], [[4, 1, 3]]])('in pieces of %o gives what the whole gives', (pieces) => {
    const cache = model.makeCache();
    const variables: Values = new Map(parameters);
    for (const variable of cacheVariables(cache)) variables.set(variable, new Float64Array(variable.size));
    const logits = model.forwardCached(input('ids', [1, new Extent('time', P)], 'i32'), cache, place());
    let position = 0;
    for (const time of pieces) {
      const run = {
        inputs: { ids: SEQUENCES[0].slice(position, position + time) },
        extents: { time, position, keysUsed: position + time },
        variables,
      };
      const result = evaluate({ outputs: { logits }, effects: [] }, run);
      position += time;
      plain(SEQUENCES[0].slice(0, position)).forEach((want, i) => {
        expect(Math.abs(result.logits[i] - want), `after ${position}, logit ${i}`).toBeLessThan(1e-12);
      });
    }
  });
});
