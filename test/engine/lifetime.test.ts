// When a process lives and when it ends: an idle engine neither keeps Node alive nor burns time, a busy one is waited for, and nothing is left behind.
import { afterEach, describe, expect, it } from 'vitest';
import { Variable } from '../../ts/graph';
import { closeAll, counter, increment, livingWorkers, longRun, runChild, sleep, start, trapOn } from './support';

afterEach(closeAll);

describe('a process with an engine', () => {
  it('ends by itself when the engine is idle, within a second', async () => {
    const child = await runChild(
      `
      const host = await EngineHost.start({ threads: 3 });
      const handle = await host.load(P.long);
      await host.run({ handle });
      console.log('idle');`,
      { long: longRun(5) },
    );
    expect(child).toMatchObject({ code: 0, out: 'idle\n', err: '' });
    expect(child.exitMs).toBeLessThan(1000);
  });

  it('lives until a busy engine has finished its work', async () => {
    const child = await runChild(
      `
      const host = await EngineHost.start({ threads: 2 });
      const handle = await host.load(P.long);
      const began = performance.now();
      host.run({ handle }).then(() => console.log('finished after', Math.round(performance.now() - began)));`,
      { long: longRun(800) },
    );
    expect(child).toMatchObject({ code: 0, err: '' });
    const ms = Number(/^finished after (\d+)$/m.exec(child.out)?.[1]);
    expect(ms).toBeGreaterThan(100); // long enough that it would have been cut off
  });

  it('ends after close, after an error and after an abort, within a second', async () => {
    for (const deed of [
      'await host.close();',
      'await host.run({ handle, extents: { x: 1 } }).catch(() => {});',
      'await host.run({ handle }, { signal: AbortSignal.timeout(50) }).catch((error) => { if (error.code !== "ABORTED") throw error; });',
      'const pending = host.run({ handle }).catch((error) => { if (error.code !== "ENGINE_CLOSED") throw error; }); await host.close(); await pending;',
    ]) {
      const child = await runChild(
        `
        const host = await EngineHost.start({ threads: 2 });
        const handle = await host.load(P.long);
        ${deed}
        console.log('idle');`,
        { long: longRun(5000) },
      );
      expect(child, deed).toMatchObject({ code: 0, out: 'idle\n', err: '' });
      expect(child.exitMs, deed).toBeLessThan(1000);
    }
  });

  it('ends with the error of an engine that died', async () => {
    const child = await runChild(
      `
      const host = await EngineHost.start({ threads: 2 });
      process.on('exit', () => console.log('closed', host.closed));
      const handle = await host.load(P.trap);
      console.log('idle');
      await host.run({ handle });`,
      { trap: trapOn(1) },
    );
    expect(child.code).toBe(1);
    expect(child.err).toContain('ENGINE_DIED');
    expect(child.err).toContain('unreachable');
    expect(child.out).toContain('closed true');
    expect(child.exitMs).toBeLessThan(1500);
  });
});

describe('an engine', () => {
  it('burns no time while it is idle', async () => {
    const host = await start({ threads: 3 });
    const handle = await host.load(longRun(5));
    await host.run({ handle });
    await sleep(100);
    const before = process.cpuUsage(); // of all threads of this process
    await sleep(1000);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(30); // milliseconds
  });

  it('leaves no worker and no memory behind: 20 times started and closed', async () => {
    const cycle = async () => {
      const host = await start({ threads: 3 });
      const variable = counter();
      await host.allocate([variable], { seed: 1 });
      const handle = await host.load(increment(variable));
      await host.run([{ handle }, { handle }]);
      expect(await host.bytes()).toMatchObject({ workers: 3 });
      expect(livingWorkers()).toHaveLength(3);
      await host.close();
      expect(livingWorkers()).toHaveLength(0);
    };
    for (let i = 0; i < 5; i++) await cycle();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 20; i++) await cycle();
    expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(60);
  }, 120_000);

  it('gives large memory back when it is closed', async () => {
    const before = process.memoryUsage().rss;
    const host = await start();
    const variable = new Variable({ name: 'large', shape: [2 ** 26], init: { kind: 'ones' } });
    await host.allocate([variable], { seed: 1 });
    const during = process.memoryUsage().rss;
    expect((during - before) / 2 ** 20).toBeGreaterThan(200); // 256 MiB
    await host.close();
    await sleep(200);
    expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(60);
  });
});
