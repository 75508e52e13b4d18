// Which score decides what is best, and how scores are logged.
import { describe, expect, it } from 'vitest';
import { bestBy, deciding, improves, logged } from './scores';

describe('the deciding score', () => {
  it.each([
    ['loss', undefined, { name: 'eval_loss', greaterIsBetter: false }],
    ['eval_loss', undefined, { name: 'eval_loss', greaterIsBetter: false }],
    ['accuracy', undefined, { name: 'eval_accuracy', greaterIsBetter: true }],
    ['macroF1', undefined, { name: 'eval_macro_f1', greaterIsBetter: true }],
    ['word_error_rate', undefined, { name: 'eval_word_error_rate', greaterIsBetter: false }],
    ['perplexity', undefined, { name: 'eval_perplexity', greaterIsBetter: false }],
    ['answer', false, { name: 'eval_answer', greaterIsBetter: false }],
    ['loss', true, { name: 'eval_loss', greaterIsBetter: true }],
  ])('%s, greaterIsBetter %s', (name, greater, wanted) => {
    expect(bestBy(name, greater)).toEqual(wanted);
  });

  it('is found among those there are, or named as missing', () => {
    const evaluation = { eval_loss: 1, eval_bleu: 20 };
    expect(deciding(bestBy('bleu', undefined), evaluation)).toBe(20);
    expect(() => deciding(bestBy('chrf', undefined), evaluation)).toThrow('must be one of "loss", "bleu", got "chrf"');
  });

  it('is better by more than the threshold, in its direction', () => {
    const [loss, accuracy] = [bestBy('loss', undefined), bestBy('accuracy', undefined)];
    expect(improves(loss, 5, null, 1)).toBe(true);
    expect([0.9, 0.95, 1.1].map((value) => improves(loss, value, 1, 0.07))).toEqual([true, false, false]);
    expect([0.9, 1.05, 1.1].map((value) => improves(accuracy, value, 1, 0.07))).toEqual([false, false, true]);
    expect(improves(loss, Number.NaN, 1, 0)).toBe(false);
  });
});

describe('scores in the log', () => {
  it('have a prefix and snake_case names', () => {
    expect(logged({ accuracy: 0.5, macroF1: 0.25 })).toEqual({ eval_accuracy: 0.5, eval_macro_f1: 0.25 });
  });

  it.each([{ loss: 1 }, { accuracy: Number.NaN }, { accuracy: '1' as unknown as number }])('refuses %j', (scores) => {
    expect(() => logged(scores as unknown as Record<string, number>)).toThrow('scores must be finite numbers');
  });
});
