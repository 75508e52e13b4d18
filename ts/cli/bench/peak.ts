// The register peak: what one core of this machine does in this JavaScript engine when a product's operands lie in its first caches and nothing else has
// to be done, for every register tile of this build. Every other rate is told as a share of it. Measured in an engine of its own with one thread, so that nobody waits for anybody.

import { EngineHost } from '../../index';
import type { MachineOptions } from '../session';
import { repeatedProgram } from './repeated';
import { benchVariable, type Pace, timeProgram } from './timing';

/** One way to reach the peak. */
export interface PeakResult {
  name: string;
  flops: number;
}

/** m, n, k: from 24 kB of operands (first-level caches) to 400 kB (second level). */
const PRODUCTS = [
  [32, 32, 64],
  [32, 64, 64],
  [32, 64, 256],
  [64, 128, 128],
  [64, 128, 256],
  [128, 128, 256],
] as const;
const REPEATS = 16;

/**
 * Measures small products over and over.
 * @returns all of them; the peak is the fastest
 */
export async function measurePeak({ simd, maxMemoryBytes }: MachineOptions, pace?: Pace): Promise<PeakResult[]> {
  const host = await EngineHost.start({ threads: 1, simd, maxMemoryBytes, onWarning: () => {} }); // the main engine has told them
  try {
    // What the engine measured at its start to choose its register tile, then small products with the tile it chose, for longer.
    const results: PeakResult[] = host.info.registerTiles.map(({ name, gflops }) => ({
      name: `register tile ${name}`,
      flops: gflops * 1e9,
    }));
    for (const [m, n, k] of PRODUCTS) {
      const [a, b, out] = [benchVariable('a', [m, k]), benchVariable('b', [k, n]), benchVariable('out', [1], 'zeros')];
      const instruction = {
        opcode: 'matmul',
        inputs: { a, b },
        results: { out: m * n },
        dims: { batch: 1, m, n, k },
        params: { form: 0, activation: 0 },
      } as const;
      const program = repeatedProgram('peak', instruction, REPEATS, out);
      const { min } = await timeProgram(host, { program, variables: [a, b, out] }, pace);
      results.push({ name: `NN ${m}×${n}×${k} in cache`, flops: (2 * m * n * k * REPEATS) / min });
    }
    return results;
  } finally {
    await host.close();
  }
}

/** The fastest. */
export function peakOf(results: readonly PeakResult[]): number {
  return Math.max(...results.map(({ flops }) => flops));
}
