// What evaluateTexts asks of a model and makes of its texts; real models are in test/tasks.
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import type { GenerateOptions } from '../generate';
import { evaluateTexts, type TextGenerator } from './evaluateTexts';

/** Answers with the prompt in capitals; a prompt of more than 8 characters runs into the limit. */
function shouter(): TextGenerator & { calls: { prompts: readonly string[]; options?: GenerateOptions }[] } {
  const calls: { prompts: readonly string[]; options?: GenerateOptions }[] = [];
  return {
    calls,
    generate(prompts, options) {
      calls.push({ prompts, options });
      const sequences = prompts.map((prompt) => ({
        text: prompt.toUpperCase(),
        finishReason: prompt.length > 8 ? ('length' as const) : ('eos' as const),
      }));
      return Promise.resolve({ sequences });
    },
  };
}

const EXAMPLES = [
  { prompt: 'one', references: 'ONE' },
  { prompt: 'two', references: ['zwei', 'Two!'] },
  { prompt: 'a longer one', references: 'something else' },
];

describe('evaluateTexts', () => {
  it('writes greedily in batches and scores every text once', async () => {
    const model = shouter();
    const progress: number[] = [];
    const result = await evaluateTexts(model, EXAMPLES, {
      metrics: ['exact_match', 'wer'],
      batchSize: 2,
      onProgress: (done) => progress.push(done),
    });
    expect(model.calls.map(({ prompts }) => prompts)).toEqual([['one', 'two'], ['a longer one']]);
    expect(model.calls[0].options).toEqual({ doSample: false, numReturnSequences: 1, signal: undefined });
    expect(progress).toEqual([2, 3]);
    expect(result.scores).toEqual({ exactMatch: 2 / 3, wordErrorRate: 4 / 4 });
    expect(result.unfinished).toBe(1);
    expect(result.predictions[1]).toEqual({ prompt: 'two', prediction: 'TWO', references: ['zwei', 'Two!'], finishReason: 'eos' });
  });

  it('hands on how texts are to be drawn', async () => {
    const model = shouter();
    await evaluateTexts(model, EXAMPLES, { metrics: ['cer'], generation: { numBeams: 4, maxNewTokens: 5 } });
    expect(model.calls[0].options).toEqual({ numBeams: 4, maxNewTokens: 5, numReturnSequences: 1, signal: undefined });
    await evaluateTexts(model, EXAMPLES, { metrics: ['cer'], generation: { temperature: undefined } });
    expect(model.calls.at(-1)!.options).toMatchObject({ doSample: false });
  });

  it.each([
    ['no examples', [], {}, 'EMPTY_DATA'],
    ['an unknown metric', EXAMPLES, { metrics: ['meteor' as 'bleu'] }, 'INVALID_OPTION'],
    ['a batch of nothing', EXAMPLES, { batchSize: 0 }, 'INVALID_OPTION'],
  ])('refuses %s before anything is written', async (_, examples, options, code) => {
    const model = shouter();
    const error = await evaluateTexts(model, examples, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FerroError);
    expect((error as FerroError).code).toBe(code);
    expect(model.calls).toEqual([]);
  });

  it('ends at its signal', async () => {
    const stop = new AbortController();
    const model = shouter();
    const running = evaluateTexts(model, EXAMPLES, { batchSize: 1, signal: stop.signal, onProgress: () => stop.abort() });
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' });
    expect(model.calls).toHaveLength(1);
  });
});
