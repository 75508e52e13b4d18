// Chooses the register tile of the matrix products by measuring all of them on this engine and processor. What is fastest differs by a factor of three
// between versions of V8 and cannot be known beforehand; all tiles give the same bits, so a wrong choice costs speed and nothing else.
import type { SelfTestLimits, TileChoice, TileSpeed } from '../protocol';
import type { Kernels } from './kernels';

/** What the test needs of the kernels. */
export type Measurable = Pick<Kernels, 'registerTiles' | 'registerTileName' | 'tileSelfTest'>;

/** One burst of products. */
const BURST_MS = 2;
/** Rounds in which the engine still compiles: the first 3 to 8 ms of each tile run code that is not optimised. */
const WARM_ROUNDS = 4;
/** Rounds that count: 10 ms for each tile. */
const ROUNDS = 5;
/** A tile whose best grew by this much in a round has only just been optimised: others may still have to be. */
const JUMP = 1.3;
/** Optimised code is at least this much faster than a tile's first product, which runs code that is not. */
const OPTIMISED = 1.5;
/** By how much a tile must be faster than the default one to be taken. */
const MARGIN = 1.03;
/** A single product that takes this long says that the clock has steps of many milliseconds, against which a burst is nothing. */
const COARSE_MS = 20;

/**
 * The fastest tile. Bursts go round (A, B, C, A, B, C …) and each tile is judged by its best one: another process that takes the core away hurts all alike
 * and none for good. After the warm-up it goes on until all tiles have had their 10 ms and none still jumps, but not beyond `limits`.
 */
export async function chooseTile(
  kernels: Measurable,
  limits: SelfTestLimits,
  breathe: () => Promise<void>,
  now: () => number = () => performance.now(),
): Promise<TileChoice> {
  const count = kernels.registerTiles();
  let first: number[] = [];
  const best = new Array<number>(count).fill(0);
  const isOptimised = (tile: number) => best[tile] > first[tile] * OPTIMISED;
  const started = now();
  let settled = false;
  try {
    first = best.map((_, tile) => kernels.tileSelfTest(tile, 0));
    if (now() - started > COARSE_MS * count) return theDefault(kernels);
    for (let round = 0, left = ROUNDS; left > 0 || !settled; round++) {
      let jumped = false;
      for (let tile = 0; tile < count; tile++) {
        const speed = kernels.tileSelfTest(tile, BURST_MS);
        if (speed > best[tile] * JUMP) jumped = true;
        best[tile] = Math.max(best[tile], speed);
      }
      if (round >= WARM_ROUNDS) left = jumped ? ROUNDS - 1 : left - 1;
      settled = best.every((_, tile) => isOptimised(tile));
      const elapsed = now() - started;
      if (elapsed + elapsed / (round + 1) > (settled ? limits.usualMs : limits.mostMs)) break;
      await breathe();
    }
  } catch (error) {
    // Without room for its half a megabyte there is no room for products that could profit either.
    if ((error as Error).message.startsWith('OUT_OF_MEMORY')) return theDefault(kernels);
    throw error;
  }
  const measured = best.map((gflops, tile): TileSpeed => ({ name: kernels.registerTileName(tile), gflops }));
  const fastest = best.indexOf(Math.max(...best));
  const tile = best[fastest] > best[0] * MARGIN ? fastest : 0;
  return { tile, name: measured[tile].name, measured, settled };
}

function theDefault(kernels: Measurable): TileChoice {
  return { tile: 0, name: kernels.registerTileName(0), measured: [], settled: false };
}
