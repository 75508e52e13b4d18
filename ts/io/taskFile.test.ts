// ferroformer.json: written and read, absent, and wrong.
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import { memoryFolder } from './folders';
import { readTask, TASK_FILE, TASKS, taskFromFile, taskToFile } from './taskFile';

describe('the task of a model folder', () => {
  it.each(TASKS)('%s is read as it was written', (task) => {
    for (const description of [
      { task },
      { task, template: 'Q: {prompt}\nA: ', taskPrefix: 'translate: ' },
      { task, taskTokens: ['<|a|>', 3], endOfText: '\n' },
      { task, endOfText: 0 },
      { task, labels: ['no', 'yes'], pooling: 'mean' as const },
    ]) {
      expect(taskFromFile('x', taskToFile(description))).toEqual(description);
    }
  });

  it('is null where the folder says nothing', async () => {
    expect(await readTask(memoryFolder(new Map()))).toBeNull();
    expect(await readTask(memoryFolder(new Map([[TASK_FILE, taskToFile({ task: 'sft' })]])))).toEqual({ task: 'sft' });
  });

  it.each([
    ['{', 'INVALID_FILE', 'x'],
    ['[]', 'INVALID_FILE', 'x'],
    ['{"version": 2, "task": "sft"}', 'NOT_BUILT', '"version" must be 1, got 2'],
    ['{"version": 1}', 'INVALID_FILE', '"task" must be one of "lm"'],
    ['{"version": 1, "task": "x"}', 'INVALID_FILE', 'got "x"'],
    ['{"version": 1, "task": "sft", "template": 3}', 'INVALID_FILE', '"template" must be a text, got 3'],
    ['{"version": 1, "task": "sft", "task_tokens": "x"}', 'INVALID_FILE', '"task_tokens" must be a list'],
    ['{"version": 1, "task": "sft", "end_of_text": -1}', 'INVALID_FILE', '"end_of_text" must be a text or a token id, got -1'],
    ['{"version": 1, "task": "classify", "labels": ["a", 1]}', 'INVALID_FILE', '"labels" must be a list of texts, got ["a", 1]'],
    ['{"version": 1, "task": "classify", "pooling": "max"}', 'INVALID_FILE', '"pooling" must be "last" or "mean", got "max"'],
    ['{"version": 1, "task": "sft", "task_prefix": null}', 'INVALID_FILE', '"task_prefix" must be a text, got null'],
  ])('%s is refused', (text, code, says) => {
    let error: unknown;
    try {
      taskFromFile('x', text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(FerroError);
    expect((error as FerroError).code).toBe(code);
    expect((error as FerroError).message).toContain(says);
  });
});
