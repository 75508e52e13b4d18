// What `bench` measured, as tables for people.

import { formatCount, formatScale, formatTable } from '../format';
import type { KernelResult } from './kernels';
import type { PeakResult } from './peak';
import type { Profile, ProfileRow } from './profile';
import type { DecodeTiming, StepTiming } from './steps';

/** Everything that was measured; empty lists for what was not. */
export interface BenchResult {
  peak: readonly PeakResult[];
  kernels: readonly KernelResult[];
  steps: readonly StepTiming[];
  decode: readonly DecodeTiming[];
  profiles: readonly Profile[];
}

const percent = (share: number | undefined): string => (share === undefined ? '' : `${(share * 100).toFixed(1)} %`);
const rate = (value: number | undefined, unit: string): string =>
  value === undefined || value === 0 ? '' : `${formatScale(value)}${unit}`;

function kernelTable(title: string, kernels: readonly KernelResult[]): string[] {
  if (kernels.length === 0) return [];
  const rows = kernels.map((k) => [
    k.name,
    k.minUs.toFixed(k.minUs < 10 ? 2 : 1),
    k.medianUs.toFixed(k.medianUs < 10 ? 2 : 1),
    rate(k.flops, 'FLOP/s'),
    percent(k.shareOfPeak),
    rate(k.elementsPerSecond, 'elem/s'),
    rate(k.bytesPerSecond, 'B/s'),
  ]);
  const header = [title, 'min µs', 'median µs', 'rate', 'of peak', 'elements', 'memory'];
  const used = header.map((_, i) => i < 3 || rows.some((row) => row[i] !== ''));
  return [formatTable([header, ...rows].map((row) => row.filter((_, i) => used[i])))];
}

/** All tables. */
export function benchTables({ peak, kernels, steps, decode, profiles }: BenchResult): string {
  const tables: string[] = [];
  if (peak.length > 0)
    tables.push(formatTable([['register peak, one thread', 'rate'], ...peak.map((p) => [p.name, rate(p.flops, 'FLOP/s')])]));
  for (const [group, title] of [
    ['gemm', 'matrix product m×n×k'],
    ['elementwise', 'elementwise'],
    ['attention', 'causal attention B×T×C'],
    ['barrier', 'threads'],
  ] as const) {
    tables.push(
      ...kernelTable(
        title,
        kernels.filter((kernel) => kernel.group === group),
      ),
    );
  }
  if (steps.length > 0) {
    const rows = steps.map((s) => [
      s.size,
      s.medianMs.toFixed(2),
      s.minMs.toFixed(2),
      formatCount(s.tokensPerSecond),
      rate(s.flopsPerSecond, 'FLOP/s'),
    ]);
    tables.push(formatTable([['training step', 'median ms', 'min ms', 'tokens/s', 'rate'], ...rows]));
  }
  if (decode.length > 0) {
    const rows = decode.map((d) => [d.preset, d.msPerToken.toFixed(3), d.minMsPerToken.toFixed(3), String(d.tokens)]);
    tables.push(formatTable([['decoding', 'median ms/token', 'min ms/token', 'tokens'], ...rows]));
  }
  tables.push(...profiles.map(profileTables));
  return tables.join('\n\n');
}

/** A profile as two tables: by kernel, and by kernel and shape. */
export function profileTables({ size, stepMs, threads, outside, instructions, kernels }: Profile): string {
  const table = (title: string, rows: readonly ProfileRow[]) =>
    formatTable([
      [title, 'calls', 'thread ms', 'share', 'per thread', 'of peak', 'memory'],
      ...rows.map((row) => [
        row.name,
        String(row.calls),
        row.ms.toFixed(3),
        percent(row.share),
        rate(row.flopsPerSecond, 'FLOP/s'),
        row.flopsPerSecond > 0 ? percent(row.shareOfPeak) : '',
        rate(row.bytesPerSecond, 'B/s'),
      ]),
    ]);
  return [
    `step ${size}: ${stepMs.toFixed(2)} ms on ${threads} thread${threads === 1 ? '' : 's'}, ${percent(outside)} of the threads' time outside instructions`,
    table('by kernel', kernels),
    table('by instruction', instructions),
  ].join('\n\n');
}
