// Which build and how wide, and which flags of V8 are set for it, on engines made up here.
import { describe, expect, it } from 'vitest';
import type { V8Engine } from '../platform';
import { UNSAFE_256, VERIFIED_256, VERIFIED_RELAXED } from '../verified';
import { commandLineSimd, type Lists, planSimd } from './simd';
import type { EngineOptions } from './types';

const NODE_20 = '11.3.244.8-node.38';
const NODE_22 = '12.4.254.21-node.57';
const NODE_24 = '13.6.233.17-node.53';
const RELAXED = '--experimental-wasm-relaxed-simd';
const WIDE = '--experimental-wasm-revectorize';
const NO_LISTS: Lists = { verified256: {}, verifiedRelaxed: {}, unsafe256: {} };
const ALL_LISTED: Lists = { verified256: { [NODE_24]: {} }, verifiedRelaxed: { [NODE_20]: {} }, unsafe256: {} };

/** A V8 that notes its flags; relaxed SIMD is valid in it from 11.4 on or with the flag. */
function fake(version: string, arch = 'x64') {
  const flags: string[] = [];
  const v8: V8Engine = { version, arch, setFlag: (flag) => void flags.push(flag) };
  const probe = () => ({ simd128: true, relaxed: !version.startsWith('11.3') || flags.includes(RELAXED) });
  const plan = (options: EngineOptions, lists = NO_LISTS) => planSimd(options, { v8 }, lists, probe);
  return { flags, plan, byDefault: (lists = NO_LISTS) => commandLineSimd({ v8 }, lists, probe) };
}

const inBrowser = (options: EngineOptions) => planSimd(options, {}, NO_LISTS, () => ({ simd128: true, relaxed: true }));

describe('the simd option', () => {
  it.each(['auto', 'portable', undefined] as const)('%s sets no flag anywhere', (simd) => {
    for (const version of [NODE_20, NODE_22, NODE_24]) {
      const engine = fake(version);
      const build = simd === 'portable' || version === NODE_20 ? 'simd128' : 'relaxed';
      expect(engine.plan({ simd }, ALL_LISTED)).toEqual({ build, vectorBits: 128, reasons: [], warning: undefined });
      expect(engine.flags).toEqual([]);
    }
  });

  it('auto256 gives 256 bits in Node 24 on x64, without a warning where the version is listed', () => {
    const engine = fake(NODE_24);
    expect(engine.plan({ simd: 'auto256' }, ALL_LISTED)).toEqual({ build: 'relaxed', vectorBits: 256, reasons: [], warning: undefined });
    expect(engine.flags).toEqual([WIDE]);
    expect(fake(NODE_24).plan({ simd: 'auto256' })).toMatchObject({ vectorBits: 256, warning: { code: 'UNVERIFIED_V8' } });
  });

  it.each([
    [NODE_22, 'x64', {}, 'no 256-bit vectors: they need V8 13.6 (Node 24) or newer, this is V8 12.4.254.21-node.57'],
    ['13.5.1', 'x64', {}, 'no 256-bit vectors: they need V8 13.6 (Node 24) or newer, this is V8 13.5.1'],
    [NODE_24, 'arm64', {}, 'no 256-bit vectors: they need an x64 processor, this is arm64'],
    [NODE_24, 'x64', { wasmModule: {} as WebAssembly.Module }, 'no 256-bit vectors: wasmModule is compiled already; give wasmUrl instead'],
  ])('auto256 is auto with a reason: V8 %s, %s, %j', (version, arch, more, reason) => {
    const engine = fake(version, arch);
    expect(engine.plan({ simd: 'auto256', ...more })).toEqual({ build: 'relaxed', vectorBits: 128, reasons: [reason], warning: undefined });
    expect(engine.flags).toEqual([]);
  });

  it('auto256 is auto with a reason in browsers and on a V8 that is known to fail', () => {
    expect(inBrowser({ simd: 'auto256' })).toMatchObject({
      build: 'relaxed',
      vectorBits: 128,
      reasons: [expect.stringContaining('need Node')],
    });
    const lists = { ...NO_LISTS, unsafe256: { [NODE_24]: 'its compiler dies' } };
    const engine = fake(NODE_24);
    expect(engine.plan({ simd: 'auto256' }, lists).reasons).toEqual([
      `no 256-bit vectors: V8 ${NODE_24} is known to fail: its compiler dies`,
    ]);
    expect(engine.flags).toEqual([]);
    expect(engine.byDefault(lists)).toEqual({ simd: 'auto' });
  });

  it.each(['relaxed', 'auto256'] as const)('%s turns relaxed SIMD on in Node 20', (simd) => {
    const engine = fake(NODE_20);
    expect(engine.plan({ simd }, ALL_LISTED)).toMatchObject({ build: 'relaxed', vectorBits: 128, warning: undefined });
    expect(engine.flags).toEqual([RELAXED]);
    expect(fake(NODE_20).plan({ simd }).warning?.code).toBe('UNVERIFIED_V8');
  });
});

describe("the command line's default", () => {
  it('is the fastest on listed versions, and a hint on others', () => {
    expect(fake(NODE_24).byDefault(ALL_LISTED)).toEqual({ simd: 'auto256' });
    expect(fake(NODE_20).byDefault(ALL_LISTED)).toEqual({ simd: 'relaxed' });
    expect(fake(NODE_24).byDefault()).toEqual({ simd: 'auto', hint: expect.stringContaining('--simd auto256') });
    expect(fake(NODE_20).byDefault()).toEqual({ simd: 'auto', hint: expect.stringContaining('--simd relaxed') });
    expect(fake(NODE_20, 'arm64').byDefault(ALL_LISTED)).toMatchObject({ simd: 'auto', hint: expect.any(String) });
  });

  it('is auto without a hint where nothing can be turned on, and sets no flag', () => {
    for (const engine of [fake(NODE_22), fake(NODE_24, 'arm64')]) {
      expect(engine.byDefault(ALL_LISTED)).toEqual({ simd: 'auto' });
      expect(engine.flags).toEqual([]);
    }
    expect(commandLineSimd({})).toEqual({ simd: 'auto' });
  });
});

describe('the lists', () => {
  it('name exact versions with a record, and none twice', () => {
    for (const [version, { node, date, record }] of [...Object.entries(VERIFIED_256), ...Object.entries(VERIFIED_RELAXED)]) {
      expect(version).toMatch(/^\d+\.\d+\.\d+\.\d+-node\.\d+$/);
      expect(node).toMatch(/^\d+\.\d+\.\d+$/);
      expect(date).toMatch(/^\d{4}-\d\d-\d\d$/);
      expect(record).toMatch(/^bench\/record\/[\w.-]+\.json$/);
    }
    for (const version of Object.keys(UNSAFE_256)) expect(VERIFIED_256).not.toHaveProperty([version]);
  });
});
