import { describe, expect, it } from 'vitest';
import { PendingCalls } from './pending';

const never = () => new Promise<never>(() => {});

describe('pending calls', () => {
  it('settle as their work does and tell when the engine is busy', async () => {
    const busy: boolean[] = [];
    const pending = new PendingCalls((state) => busy.push(state));
    const a = pending.track('a', async () => 1);
    const b = pending.track('b', async () => {
      throw new Error('b failed');
    });
    expect(pending.size).toBe(2);
    await expect(a).resolves.toBe(1);
    await expect(b).rejects.toThrow('b failed');
    expect(pending.size).toBe(0);
    await expect(pending.track('c', async () => 2)).resolves.toBe(2);
    expect(busy).toEqual([true, false, true, false]);
  });

  it('failAll rejects every one, each with an error of its own, even those whose work never ends', async () => {
    const busy: boolean[] = [];
    const pending = new PendingCalls((state) => busy.push(state));
    const calls = ['a', 'b', 'c'].map((op) => pending.track(op, never));
    pending.failAll((op) => new Error(`${op} is lost`));
    const results = await Promise.allSettled(calls);
    expect(results.map((result) => (result as PromiseRejectedResult).reason.message)).toEqual(['a is lost', 'b is lost', 'c is lost']);
    expect(new Set(results.map((result) => (result as PromiseRejectedResult).reason)).size).toBe(3);
    expect(busy).toEqual([true, false]);
  });

  it('an answer after failAll changes nothing and stays handled', async () => {
    const pending = new PendingCalls(() => {});
    let answer: (error: Error) => void = () => {};
    const call = pending.track('a', () => new Promise((_, reject) => (answer = reject)));
    pending.failAll(() => new Error('first'));
    answer(new Error('second'));
    await expect(call).rejects.toThrow('first');
    await new Promise((resolve) => setTimeout(resolve, 10)); // an unhandled rejection would fail the test run
  });

  it('what sending throws rejects the call', async () => {
    const pending = new PendingCalls(() => {});
    const call = pending.track('a', () => {
      throw new DOMException('cannot be cloned', 'DataCloneError');
    });
    await expect(call).rejects.toThrow('cannot be cloned');
    expect(pending.size).toBe(0);
  });
});
