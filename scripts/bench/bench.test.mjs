// The parts of `npm run bench` that need no engine: ratios, losses, records, README's table, sides; and that both lists of sizes agree.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SIZES as CLI_SIZES } from '../../ts/cli/bench/sizes.ts';
import { machine } from './machine.mjs';
import { recordPath, recordText, writeRecord } from './record.mjs';
import { makeSides, parseNodes } from './sides.mjs';
import { SIZES, stepsOf } from './sizes.mjs';
import { bestRatio, median, roundRatios, worstDifference } from './statistics.mjs';
import { recordOf, renderReadme, speedSection, stepsTable, withSection } from './table.mjs';

const torch = (ms) => ({ name: 'torch eager', kind: 'torch', mode: 'eager', available: true, info: { torch: '9.9' }, medianMs: ms });
const ours = (variant, node, ms, ratio) => ({
  name: `node ${variant}`,
  kind: 'ours',
  variant,
  node,
  available: true,
  medianMs: ms,
  ratio,
  worstLossDifference: 2e-7,
});
const record = {
  kind: 'training-step',
  date: '2030-01-02T03:04:05.000Z',
  commit: 'abc',
  command: 'npm run bench -- --torch python',
  machine: { cpu: 'Some CPU', cores: 2, vectors: ['avx2'], caches: { L1d: '32K' }, os: 'Linux 1' },
  runs: [
    {
      size: 'S',
      threads: 2,
      shape: { rounds: 7 },
      busy: 0.01,
      sides: [
        torch(35),
        ours('default', 'v26.1.0', 50, 0.7),
        ours('portable', 'v26.1.0', 123.4, 0.28),
        { ...ours('auto256', 'v24.0.0', 0, 0), available: false, reason: 'NOT_BUILT' },
      ],
    },
  ],
};

describe('statistics', () => {
  it('takes medians, ratios by round and of the fastest', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([5])]).toEqual([2, 2.5, 5]);
    expect(
      roundRatios(
        [
          [10, 20, 12],
          [10, 10, 10],
        ],
        [
          [24, 6, 24],
          [5, 5, 5],
        ],
      ),
    ).toEqual([2, 0.5]);
    expect(bestRatio([[10], [8]], [[4], [6]])).toBe(0.5);
  });

  it('finds the worst loss at the same step of any start', () => {
    expect(worstDifference([[1, 2, 3]], [[1, 2, 3.5]])).toBe(0.5);
    expect(worstDifference([[1, 2], [1.25]], [[1, 2, 9]])).toBe(0.25);
  });
});

describe('records', () => {
  it('keep lists of numbers on a line and seven digits of what is measured', () => {
    const value = { rounds: [[1.23456789, -2e-7], []], names: ['a', 'b'], bytes: 4294967296, none: null };
    expect(JSON.parse(recordText(value))).toEqual({ ...value, rounds: [[1.234568, -2e-7], []] });
    expect(recordText(value)).toContain('[1.234568, -2e-7]');
  });

  it('are written under a date and a plain name', async () => {
    expect(recordPath('final', new Date('2030-01-02T00:00:00Z'))).toMatch(/bench.record.2030-01-02-final\.json$/);
    for (const name of ['', '../x', 'a b', '-a']) expect(() => recordPath(name)).toThrow('--record');
    const folder = await mkdtemp(join(tmpdir(), 'ferro-record-'));
    try {
      await writeRecord(join(folder, 'deep', 'r.json'), { a: 1 });
      expect(JSON.parse(await readFile(join(folder, 'deep', 'r.json'), 'utf8'))).toEqual({ a: 1 });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('tell the machine', () => {
    const { cpu, cores, memoryBytes, os } = machine();
    expect([typeof cpu, cores > 0, memoryBytes > 0, typeof os]).toEqual(['string', true, true, 'string']);
  });
});

describe('sides', () => {
  it('are every Node with its variants, after PyTorch', () => {
    const nodes = parseNodes(`${process.execPath},${process.execPath}=portable+relaxed`, ['default']);
    expect(nodes.map(({ variants }) => variants)).toEqual([['default'], ['portable', 'relaxed']]);
    const sides = makeSides({ torch: 'python', modes: ['bf16'], nodes, folder: 'x', threads: 2 });
    const version = process.version.slice(1);
    expect(sides.map(({ name }) => name)).toEqual([
      'torch eager',
      'torch bf16',
      `node ${version} default`,
      `node ${version} portable`,
      `node ${version} relaxed`,
    ]);
    expect(sides[0].command.env).toMatchObject({ OMP_NUM_THREADS: '2', OPENBLAS_CORETYPE: undefined });
    expect(sides[2].command.args.slice(-4)).toEqual(['--threads', '2', '--simd', 'auto']);
  });

  it('of the peers come from no named registry', async () => {
    const lock = await readFile(new URL('../../bench/peers/package-lock.json', import.meta.url), 'utf8');
    expect(lock).not.toMatch(/resolved|https?:/);
  });

  it('refuse unknown variants and what is no Node', () => {
    expect(() => parseNodes(`${process.execPath}=fast`, [])).toThrow('variants must be among');
    expect(() => parseNodes('no-such-node', ['default'])).toThrow('--nodes');
  });

  it('have the sizes of the command line', () => {
    for (const [name, { nLayer, nHead, nEmbd, blockSize, batchSize, vocabSize }] of Object.entries(CLI_SIZES)) {
      const { layers, heads, width, context, rows, vocabulary } = SIZES[name];
      expect([layers, heads, width, context, rows, vocabulary], name).toEqual([nLayer, nHead, nEmbd, blockSize, batchSize, vocabSize]);
    }
    expect(stepsOf({ warmUp: 3, steps: 2, rounds: 5 })).toBe(13);
  });
});

describe('the table', () => {
  it('has a row for each size, number of threads and Node, and the variants that were run', () => {
    expect(stepsTable(record).split('\n')).toEqual([
      '| step | threads | Node | PyTorch eager | default settings | 256-bit vectors (`auto256`) | `portable` |',
      '| --- | --- | --- | --- | --- | --- | --- |',
      '| S | 2 | 26.1.0 | 35.0 ms | 50.0 ms, **0.70×** |  | 123 ms, **0.28×** |',
      '| S | 2 | 24.0.0 | 35.0 ms |  | not available |  |',
    ]);
  });

  it('names machine, commit, date and command, and stays between its markers', () => {
    const section = speedSection(record, 'bench/record/x.json');
    for (const text of ['Some CPU', 'Linux 1', 'commit abc', '2030-01-02', 'npm run bench -- --torch python', 'PyTorch 9.9', '2.0e-7'])
      expect(section).toContain(text);
    const readme = `before\n<!-- speed: bench/record/old.json -->\nearlier numbers\n<!-- end of speed -->\nafter\n`;
    expect(recordOf(readme)).toBe('bench/record/old.json');
    const made = withSection(readme, section);
    expect(made).toMatch(/^before\n<!-- speed: bench\/record\/x\.json -->\n[\s\S]*<!-- end of speed -->\nafter\n$/);
    expect(made).not.toContain('earlier numbers');
    expect(() => withSection('none', section)).toThrow('markers');
  });

  it('says when the machine was busy', () => {
    expect(speedSection({ ...record, runs: [{ ...record.runs[0], busy: 0.5 }] }, 'x')).toContain('was busy');
    expect(speedSection(record, 'x')).not.toContain('was busy');
  });

  it("is README's", async () => {
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    expect(await renderReadme(readme)).toBe(readme);
  });
});
