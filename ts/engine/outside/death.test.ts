import { describe, expect, it, vi } from 'vitest';
import { DeathWatch } from './death';

describe('the death watch', () => {
  it('reports the first cause once', () => {
    const onDeath = vi.fn();
    const watch = new DeathWatch(onDeath);
    const first = new Error('first');
    watch.report(first);
    watch.report(new Error('second'));
    expect(onDeath.mock.calls).toEqual([[first]]);
  });

  it('lets a consequence wait for its cause', async () => {
    vi.useFakeTimers();
    try {
      const onDeath = vi.fn();
      const watch = new DeathWatch(onDeath);
      watch.report(new Error('POISONED: 1'), true);
      expect(onDeath).not.toHaveBeenCalled();
      const cause = new Error('thread 1 trapped');
      watch.report(cause);
      vi.advanceTimersByTime(10_000);
      expect(onDeath.mock.calls).toEqual([[cause]]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('reports a consequence whose cause never comes, within a second', () => {
    vi.useFakeTimers();
    try {
      const onDeath = vi.fn();
      const watch = new DeathWatch(onDeath);
      const consequence = new Error('POISONED: 1');
      watch.report(consequence, true);
      vi.advanceTimersByTime(500);
      expect(onDeath.mock.calls).toEqual([[consequence]]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('says nothing once stopped', () => {
    vi.useFakeTimers();
    try {
      const onDeath = vi.fn();
      const watch = new DeathWatch(onDeath);
      watch.report(new Error('secondary'), true);
      watch.stop();
      watch.report(new Error('expected end'));
      vi.advanceTimersByTime(10_000);
      expect(onDeath).not.toHaveBeenCalled();
    } finally {
      vi.useRealTimers();
    }
  });
});
