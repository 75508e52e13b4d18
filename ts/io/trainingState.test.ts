import { describe, expect, test } from 'vitest';
import { type FileData, sourceOf, toBlob } from './files';
import { SafetensorsFile } from './safetensors';
import { type TensorData, writeSafetensors } from './safetensorsWriter';
import {
  type OptimizerState,
  optimizerStateFromFile,
  optimizerStateToFile,
  type TrainerState,
  trainerStateFromFile,
  trainerStateToFile,
} from './trainingState';

const code = (expected: string) => expect.objectContaining({ code: expected });
const read = async (data: FileData) => optimizerStateFromFile(await sourceOf('optimizer.safetensors', data));

describe('optimizer.safetensors', () => {
  const state: OptimizerState = {
    kind: 'adamw',
    step: 1234,
    slots: new Map<string, ReadonlyMap<string, TensorData>>([
      ['m', new Map([['a/b.weight', { shape: [2], data: Float32Array.of(1e-45, -0) }]])],
      ['v', new Map([['__proto__', { shape: [1, 1], data: Float32Array.of(3) }]])],
      ['seen', new Map([['x', { shape: [], data: Int32Array.of(7) }]])],
    ]),
  };

  test('comes back bit for bit, keyed by slot and parameter name', async () => {
    const loaded = await read(optimizerStateToFile(state));
    expect([loaded.kind, loaded.step]).toEqual(['adamw', 1234]);
    expect(loaded.slots.get('m')?.get('a/b.weight')).toEqual({ shape: [2], data: Float32Array.of(1e-45, -0) });
    expect(loaded.slots.get('v')?.get('__proto__')).toEqual({ shape: [1, 1], data: Float32Array.of(3) });
    expect(loaded.slots.get('seen')?.get('x')).toEqual({ shape: [], data: Int32Array.of(7) });
    const bytes = new Uint8Array(await (await toBlob(optimizerStateToFile(state))).arrayBuffer());
    expect([...(await SafetensorsFile.fromBytes('x', bytes)).tensors.keys()]).toEqual(['m/a/b.weight', 'v/__proto__', 'seen/x']);
    expect((await read(optimizerStateToFile({ kind: 'sgd', step: 0, slots: new Map() }))).slots.size).toBe(0);
  });

  test('a slot with a slash, and files that are something else, are typed errors', async () => {
    expect(() => optimizerStateToFile({ ...state, slots: new Map([['m/x', new Map()]]) })).toThrowError(code('INVALID_OPTION'));
    const meta = (values: Record<string, string>) => new Map(Object.entries({ version: '1', optimizer: 'adamw', step: '1', ...values }));
    const one = { shape: [1], data: new Float32Array(1) };
    const bad: [name: string, data: FileData][] = [
      ['no metadata', writeSafetensors(new Map())],
      ['another version', writeSafetensors(new Map(), meta({ version: '2' }))],
      ['a step that is no count', writeSafetensors(new Map(), meta({ step: '-1' }))],
      ['a step with a fraction', writeSafetensors(new Map(), meta({ step: '1.5' }))],
      ['a tensor without a slot', writeSafetensors(new Map([['weight', one]]), meta({}))],
      ['a tensor with an empty slot', writeSafetensors(new Map([['/weight', one]]), meta({}))],
      ['not safetensors', 'nothing of the kind'],
    ];
    for (const [name, data] of bad) await expect(read(data), name).rejects.toThrowError(code('INVALID_CHECKPOINT'));
  });
});

describe('trainer_state.json', () => {
  const state: TrainerState = {
    step: 300,
    windowsConsumed: 3600,
    epoch: 0.1 + 0.2,
    tokensSeen: 230_400,
    seed: 2 ** 53 - 1,
    options: { learningRate: 1e-3, lrSchedulerType: 'cosine_with_min_lr', nested: { a: [1, null, true] } },
    dataHash: 'abc',
    tokenizerHash: null,
    engine: { build: 'relaxed' },
    bestMetric: 1.6180339887498949,
    bestModelCheckpoint: 'checkpoint-200',
    evaluationsWithoutImprovement: 1,
    logHistory: [{ step: 100, loss: 2.5 }],
  };

  test('comes back exactly, numbers included; the keys are those of Hugging Face where it has them', () => {
    const text = trainerStateToFile(state);
    expect(trainerStateFromFile('trainer_state.json', text)).toEqual(state);
    expect(JSON.parse(text)).toMatchObject({
      global_step: 300,
      epoch: 0.30000000000000004,
      best_metric: state.bestMetric,
      log_history: state.logHistory,
    });
  });

  test('numbers that JSON cannot hold are refused when writing, not lost', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => trainerStateToFile({ ...state, bestMetric: bad })).toThrowError(code('INVALID_OPTION'));
      expect(() => trainerStateToFile({ ...state, logHistory: [{ loss: bad }] })).toThrowError(/got (NaN|Infinity) for loss/);
    }
  });

  test('every field is checked, and the message names it', () => {
    const changes: [key: string, values: unknown[]][] = [
      ['format', ['x', undefined]],
      ['version', [2, '1', undefined]],
      ['global_step', [-1, 1.5, '1', null, 2 ** 53, undefined]],
      ['windows_consumed', [-1, undefined]],
      ['num_input_tokens_seen', ['x']],
      ['seed', [0.5]],
      ['epoch', [null, '1']],
      ['options', [[], null, 'x']],
      ['engine', [1]],
      ['data_hash', [1, undefined]],
      ['tokenizer_hash', [{}]],
      ['best_metric', ['1']],
      ['best_model_checkpoint', [3]],
      ['evaluations_without_improvement', [-1]],
      ['log_history', [{}, [1], null]],
    ];
    for (const [key, values] of changes) {
      for (const value of values) {
        const text = JSON.stringify({ ...JSON.parse(trainerStateToFile(state)), [key]: value });
        expect(() => trainerStateFromFile('trainer_state.json', text), `${key} = ${JSON.stringify(value)}`).toThrowError(
          expect.objectContaining({ code: 'INVALID_CHECKPOINT', message: expect.stringContaining(`trainer_state.json: "${key}" must be`) }),
        );
      }
    }
    for (const text of ['', '{', '[]', 'null']) expect(() => trainerStateFromFile('t', text)).toThrowError(code('INVALID_CHECKPOINT'));
  });
});
