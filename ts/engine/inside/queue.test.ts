import { describe, expect, it } from 'vitest';
import { ABORT_SLOTS } from '../protocol';
import { CallQueue } from './queue';

const turnLoop = () => new Promise<void>((resolve) => setImmediate(resolve));
const busyFor = (ms: number) => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

describe('the call queue', () => {
  it('runs calls one at a time in the order they came, also after a failure', async () => {
    const queue = new CallQueue(turnLoop);
    const log: string[] = [];
    const work = (name: string) => async () => {
      log.push(`${name} begins`);
      await turnLoop();
      log.push(`${name} ends`);
      if (name === 'b') throw new Error('b fails');
      return name;
    };
    const results = await Promise.allSettled(['a', 'b', 'c'].map((name) => queue.add(name, 0, work(name))));
    expect(results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.message))).toEqual(['a', 'b fails', 'c']);
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('breathe turns the event loop only when 50 ms have passed', async () => {
    let turns = 0;
    const queue = new CallQueue(() => {
      turns++;
      return turnLoop();
    });
    await queue.add('short', 0, async (turn) => {
      await turn.breathe();
      expect(turn.remainingMs()).toBeGreaterThan(30);
      expect(turns).toBe(0);
      busyFor(60);
      expect(turn.remainingMs()).toBe(1);
      await turn.breathe();
      await turn.breathe();
    });
    expect(turns).toBe(1);
  });

  it('many short calls in a row do not starve the event loop', async () => {
    const queue = new CallQueue(turnLoop);
    let timerAt = 0;
    const start = performance.now();
    setTimeout(() => {
      timerAt = performance.now() - start;
    }, 20);
    await Promise.all(
      Array.from({ length: 60 }, () =>
        queue.add('step', 0, async (turn) => {
          await turn.breathe();
          busyFor(5);
        }),
      ),
    );
    expect(timerAt).toBeGreaterThan(0);
    expect(timerAt).toBeLessThan(150);
  });

  it('aborts a running call by message at its next slice, and a waiting one at once', async () => {
    const queue = new CallQueue(turnLoop);
    let slices = 0;
    const running = queue.add('long', 7, async (turn) => {
      for (;;) {
        slices++;
        await turnLoop();
        turn.throwIfAborted();
      }
    });
    let began = false;
    const waiting = queue.add('later', 8, () => {
      began = true;
    });
    queue.abort(8);
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED', message: 'later: aborted by its signal' });
    await turnLoop();
    const seen = slices;
    queue.abort(7);
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' });
    expect(slices - seen).toBeLessThanOrEqual(2);
    expect(began).toBe(false);
  });

  it('aborts by the control word without a turn of the event loop, and only the call that is meant', async () => {
    const queue = new CallQueue(turnLoop);
    const control = new Int32Array(new SharedArrayBuffer(ABORT_SLOTS * 4));
    queue.control = control;
    const token = ABORT_SLOTS + 3;
    const aborted = queue.add('aborted', token, (turn) => {
      Atomics.store(control, token % ABORT_SLOTS, token);
      turn.throwIfAborted();
    });
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(queue.add('same slot, other token', 3, (turn) => turn.throwIfAborted())).resolves.toBeUndefined();
    await expect(queue.add('no token', 0, (turn) => turn.throwIfAborted())).resolves.toBeUndefined();
  });

  it('an abort that comes too late touches nobody', async () => {
    const queue = new CallQueue(turnLoop);
    await expect(queue.add('done', 1, () => 'value')).resolves.toBe('value');
    queue.abort(1);
    await expect(queue.add('next', 2, (turn) => turn.throwIfAborted())).resolves.toBeUndefined();
  });
});

describe('a stopped queue', () => {
  it('ends what runs at its next slice and drops what waits', async () => {
    const queue = new CallQueue(turnLoop);
    let slices = 0;
    const running = queue.add('running', 0, async (turn) => {
      for (;;) {
        slices++;
        busyFor(55);
        await turn.breathe();
      }
    });
    const waiting = queue.add('waiting', 0, () => 'never');
    await turnLoop();
    queue.stop();
    await expect(waiting).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
    await expect(running).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
    expect(slices).toBeLessThan(5);
  });
});
