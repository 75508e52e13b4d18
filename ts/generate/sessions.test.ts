// Sessions against changes of their model: what is given back after `close` is freed, and no text is written half by one adapter and half by another.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BoundModule, bind } from '../bind';
import { EngineHost } from '../engine';
import { type CausalLM, createModel, resolveModelConfig } from '../models';
import { type GenerationModel, generate, generationRules } from './generate';
import { type GenerateOptions, readSampling } from './options';
import type { GeneratedPiece } from './sequence';
import { GenerationSessions } from './sessions';

const config = resolveModelConfig({ nLayer: 1, nHead: 2, nEmbd: 8, blockSize: 32, vocabSize: 11 }, 'test');
const PROMPT = Int32Array.of(1, 2, 3);
let host: EngineHost;
beforeAll(async () => {
  host = await EngineHost.start({ worker: false, simd: 'portable' });
});
afterAll(() => host.close());

async function make(): Promise<GenerationModel> {
  const bound = (await bind(host, createModel(config))) as BoundModule<CausalLM>;
  return { sessions: new GenerationSessions(bound, 11), tokenizer: null, blockSize: 32, vocabSize: 11, eosIds: [] };
}

/** Ids of a text; `between` runs after each piece. */
async function write(model: GenerationModel, options: GenerateOptions, between: () => void = () => {}): Promise<number[]> {
  const sampling = readSampling({ temperature: 0, ...options }, 11);
  const pieces: GeneratedPiece[] = [];
  for await (const piece of generate(model, [PROMPT], sampling, generationRules(model, sampling), false)) {
    pieces.push(piece);
    between();
  }
  return pieces.map(({ id }) => id);
}

it.each([1, 3])('a session of %i rows that is given back after close() is freed', async (rows) => {
  const { sessions } = await make();
  const before = (await host.bytes()).regions;
  const [kept, used] = [await sessions.take(rows), await sessions.take(rows)];
  await sessions.giveBack(kept);
  expect((await host.bytes()).regions).toBeGreaterThan(before);
  await sessions.close();
  await sessions.giveBack(used);
  expect((await host.bytes()).regions).toBe(before);
  await sessions.bound.close();
});

describe('another adapter while a text is written', () => {
  it.each<[string, GenerateOptions]>([
    ['one token at a time', { maxNewTokens: 20 }],
    ['without a cache', { maxNewTokens: 6, useCache: false }],
    ['several texts', { maxNewTokens: 20, numReturnSequences: 3 }],
  ])('ends it with BUSY, and the next text is whole again: %s', async (_, options) => {
    const model = await make();
    const { bound } = model.sessions;
    const want = await write(model, options);
    let pieces = 0;
    const change = () => {
      pieces += 1;
      if (pieces === 2) bound.setVariant({ key: 'another', parameters: bound.parameters });
    };
    await expect(write(model, options, change)).rejects.toMatchObject({ code: 'BUSY', message: expect.stringContaining('adapter') });
    expect(pieces).toBeLessThan(want.length);
    expect(await write(model, options)).toEqual(want);
    bound.setVariant(undefined);
    expect(await write(model, options)).toEqual(want);
    await bound.close();
  });
});
