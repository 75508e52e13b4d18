// The choice of a register tile, on speeds and clocks made up here; the real ones are measured at every start of an engine.
import { describe, expect, it } from 'vitest';
import { chooseTile, type Measurable } from './selfTest';

const LIMITS = { usualMs: 150, mostMs: 300 };
const TILES = ['4x8', '6x8', '4x16'];
const breathe = () => Promise.resolve();

/** Kernels whose tile `t` runs at `speed(t, burst)` in its burst number `burst` (number 0 is a single product); a burst takes as long as it was asked to. */
function fake(speed: (tile: number, burst: number) => number, burstMs = (asked: number) => asked) {
  const bursts = [0, 0, 0];
  const order: number[] = [];
  let clock = 0;
  const kernels: Measurable = {
    registerTiles: () => TILES.length,
    registerTileName: (tile) => TILES[tile],
    tileSelfTest: (tile, ms) => {
      clock += burstMs(ms);
      order.push(tile);
      return speed(tile, bursts[tile]++);
    },
  };
  return { kernels, bursts, order, now: () => clock };
}

const choose = ({ kernels, now }: ReturnType<typeof fake>, limits = LIMITS) => chooseTile(kernels, limits, breathe, now);

describe('the register tile', () => {
  it('is the fastest once its code is optimised, measured for 10 ms after the warm-up, in turns', async () => {
    const machine = fake((tile, burst) => (burst < 3 ? 2 : [50, 57, 30][tile]));
    expect(await choose(machine)).toEqual({
      tile: 1,
      name: '6x8',
      measured: [
        { name: '4x8', gflops: 50 },
        { name: '6x8', gflops: 57 },
        { name: '4x16', gflops: 30 },
      ],
      settled: true,
    });
    expect(machine.bursts).toEqual([10, 10, 10]);
    expect(machine.order.slice(0, 6)).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('is judged by the best burst: bursts in which another process had the core do not count', async () => {
    const machine = fake((tile, burst) => (burst < 2 ? 2 : tile === 2 && burst !== 6 ? 20 : [50, 40, 90][tile]));
    expect((await choose(machine)).name).toBe('4x16');
  });

  it('stays the default one on a near tie', async () => {
    expect((await choose(fake((tile, burst) => (burst < 2 ? 2 : [50, 51.4, 30][tile])))).tile).toBe(0);
    expect((await choose(fake((tile, burst) => (burst < 2 ? 2 : [50, 51.6, 30][tile])))).tile).toBe(1);
  });

  it('waits for a tile that is optimised late, but not for ever', async () => {
    const late = await choose(fake((tile, burst) => (burst < (tile === 2 ? 30 : 2) ? 3 : [50, 40, 100][tile])));
    expect(late).toMatchObject({ name: '4x16', settled: true });
    const never = fake((tile, burst) => (tile === 2 || burst < 2 ? 3 : [50, 40][tile]));
    expect(await choose(never)).toMatchObject({ name: '4x8', settled: false });
    expect(never.now()).toBeGreaterThan(290);
    expect(never.now()).toBeLessThanOrEqual(300);
  });

  it('takes no longer than it may', async () => {
    const slow = fake(
      (_, burst) => (burst === 0 ? 1 : 2),
      () => 15,
    );
    await choose(slow);
    expect(slow.now()).toBeLessThanOrEqual(150);
  });

  it('is the default one where nothing can be measured', async () => {
    const nothing = { tile: 0, name: '4x8', measured: [], settled: false };
    const coarse = fake(
      () => 50,
      () => 100,
    );
    expect(await choose(coarse)).toEqual(nothing);
    const full = fake(() => {
      throw new Error('OUT_OF_MEMORY: tile_self_test: needs 1 byte more');
    });
    expect(await choose(full)).toEqual(nothing);
    const broken = fake(() => {
      throw new Error('unreachable');
    });
    await expect(choose(broken)).rejects.toThrow('unreachable');
  });
});
