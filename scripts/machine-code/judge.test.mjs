// Each rule must bite.
import { describe, expect, it } from 'vitest';
import { EXPECTATIONS, KNOWN, RULES } from './expectations.mjs';
import { judge, kernelName } from './judge.mjs';

const PLAIN = { name: '26', fuses: false };
const FUSED = { name: '26 fused', fuses: true };
const loop = (counts) => ({
  instructions: 80,
  xmm: 60,
  ymm: 0,
  fma: 0,
  arithmetic: 40,
  wide: 0,
  packs: 0,
  spills: 0,
  reloads: 0,
  calls: 0,
  ...counts,
});
const fault = (kernel, counts, engine = PLAIN) => judge(kernel, [loop(counts)], engine, EXPECTATIONS).fault;

describe('kernelName', () => {
  it('shortens the names of our kernels and refuses others', () => {
    expect(kernelName('kernels[ec14e20c9c5d07e6]::matmul::micro::micro::<4usize, 2usize, 0u8>')).toBe('matmul::micro::micro<4, 2, 0>');
    expect(kernelName('<kernels[ec14e20c9c5d07e6]::unary::Unary as kernels[ec14e20c9c5d07e6]::tile::TileOp>::run_tile')).toBe(
      'unary::Unary::run_tile',
    );
    expect(kernelName('<kernels[ec14e20c9c5d07e6]::adamw::AdamW>::update::<true>')).toBe('adamw::AdamW::update<true>');
    expect(kernelName('engine[c140275f9385c5a2]::decode::decode')).toBeUndefined();
    expect(kernelName('<engine[c140275f9385c5a2]::fill::Normal as kernels[ec14e20c9c5d07e6]::tile::TileOp>::run_tile')).toBeUndefined();
  });
});

describe('judge', () => {
  const product = { fma: 8, arithmetic: 8 };
  it('lets no register tile spill where the engine may choose it, not even a constant', () => {
    expect(fault('matmul::micro::micro<4, 2, 0>', product)).toBeUndefined();
    expect(fault('matmul::micro::micro<4, 2, 0>', { ...product, spills: 1 })).toMatch(/1 spills/);
    expect(fault('matmul::micro::micro<4, 2, 0>', { ...product, reloads: 1 })).toMatch(/1 spills/);
    expect(fault('matmul::micro::micro<6, 4, 0>', { ...product, spills: 9 })).toBeUndefined();
    expect(fault('matmul::micro::micro<6, 4, 0>', { ...product, spills: 9, ymm: 60, wide: 8 }, FUSED)).toMatch(/9 spills/);
    expect(fault('matmul::panels::ragged<6, 4>', { ...product, spills: 9 })).toBeUndefined();
    expect(fault('matmul::panels::ragged<4, 2>', { ...product, spills: 1 })).toMatch(/1 spills/);
  });
  it('wants register tiles fused, without packing', () => {
    expect(fault('matmul::micro::micro<4, 4, 0>', { ...product, wide: 8 }, FUSED)).toBeUndefined();
    expect(fault('matmul::micro::micro<4, 4, 0>', product, FUSED)).toMatch(/not fused/);
    expect(fault('matmul::micro::micro<4, 4, 0>', { ...product, wide: 8, packs: 2 }, FUSED)).toMatch(/2 packing/);
  });
  it('lets no loop of multiply-adds spill, wherever an engine inlined it', () => {
    expect(fault('attention::forward::Attention::run_tile', { fma: 24, arithmetic: 24, spills: 2 })).toMatch(/2 spills/);
    expect(fault('attention::forward::Attention::run_tile', { fma: 4, arithmetic: 24, spills: 2 })).toBeUndefined();
  });
  it('allows elementwise loops a share, constants not counted', () => {
    expect(fault('gelu::gelu_erf', { spills: 10, reloads: 40 })).toBeUndefined();
    expect(fault('gelu::gelu_erf', { spills: 11 })).toMatch(/11 spills/);
    expect(fault('gelu::gelu_erf', { arithmetic: 40, wide: 20 }, FUSED)).toMatch(/not fused/);
    expect(fault('dropout::Dropout::run_tile', { arithmetic: 40, wide: 20 }, FUSED)).toBeUndefined();
  });
  it('has a rule for every kernel, and each exception says why', () => {
    expect(RULES.at(-1).functions.test('whatever')).toBe(true);
    for (const { why, spills, packs } of KNOWN) expect([why.length > 20, spills ?? packs]).toEqual([true, expect.any(Number)]);
  });
});
