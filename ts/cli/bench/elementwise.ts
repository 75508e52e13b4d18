// The elementwise kernels that `bench` measures, as single instructions: what they read and write, and how many bytes that is per element.

import { UNARY_KINDS } from '../../graph/opcodes';
import { Variable } from '../../index';
import type { Repeated } from './repeated';
import { benchVariable } from './timing';

/** One kernel at one size. */
export interface ElementwiseCase {
  name: string;
  elements: number;
  /** Bytes that must be read and written. */
  bytesPerElement: number;
  instruction: Repeated;
  /** Copies of the instruction in one program. */
  repeats: number;
}

const F32 = 4;
const COLS = 384;
/** 4,096 floats stay in a first-level cache with their results; 8 million do not fit the last level of most desktop processors. */
const ROWS = { cache: 12, memory: 21_846 };
const REPEATS = { cache: 64, memory: 1 };

/** All kernels with few elements or with many. */
export function elementwiseCases(place: keyof typeof ROWS): ElementwiseCase[] {
  const [rows, cols] = [ROWS[place], COLS];
  const n = rows * cols;
  const repeats = REPEATS[place];
  const values = place === 'cache' ? 'normal' : 'halves'; // drawing millions of normal numbers takes longer than all the rest
  const x = benchVariable('x', [n], values);
  const dy = benchVariable('dy', [n], values);
  const weight = benchVariable('weight', [cols]);
  const stat = benchVariable('stat', [rows]);
  const unary = (kind: (typeof UNARY_KINDS)[number]): Repeated => ({
    opcode: 'unary',
    inputs: { x },
    results: { out: n },
    dims: { n },
    params: { kind: UNARY_KINDS.indexOf(kind), c: 0 },
  });
  const one = (name: string, touched: number, instruction: Repeated): ElementwiseCase => ({
    name,
    elements: n,
    bytesPerElement: touched * F32,
    instruction,
    repeats,
  });
  return [
    one('copy', 2, unary('copy')),
    one('exp', 2, unary('exp')),
    one('tanh', 2, unary('tanh')),
    one('gelu (tanh)', 2, unary('gelu_tanh')),
    one('gelu (erf)', 2, unary('gelu_erf')),
    one('gelu (tanh) gradient', 3, {
      opcode: 'unary_backward',
      inputs: { x, y: x, dy },
      results: { dx: n },
      dims: { n },
      params: { kind: UNARY_KINDS.indexOf('gelu_tanh'), c: 0 },
    }),
    one('softmax', 2, { opcode: 'softmax', inputs: { x }, results: { out: n }, dims: { rows, cols }, params: { log: 0 } }),
    one('layer norm', 2, {
      opcode: 'layer_norm',
      inputs: { x, weight, bias: weight },
      results: { out: n, mean: rows, rstd: rows },
      dims: { rows, cols },
      params: { eps: 1e-5 },
    }),
    one('layer norm gradient', 3, {
      opcode: 'layer_norm_backward',
      inputs: { x, weight, mean: stat, rstd: stat, dy },
      results: { dx: n },
      dims: { rows, cols },
    }),
    one('layer norm gradient of parameters', 2, {
      opcode: 'layer_norm_backward_params',
      inputs: { x, mean: stat, rstd: stat, dy },
      results: { dweight: cols, dbias: cols },
      dims: { rows, cols },
    }),
    one('dropout', 2, {
      opcode: 'dropout',
      inputs: { x },
      results: { out: n },
      dims: { n },
      params: { p: 0.1, path_lo: 1, path_hi: 2, seed_lo: 'seedLo', seed_hi: 'seedHi', step: 'step', micro: 'micro' },
    }),
    one('adamw', 7, adamwInstruction(n, values)),
  ];
}

/** Reads parameter, gradient and two moments, writes three of them; the clip's words are [norm, factor, skip, count] with factor 1 and skip 0. */
function adamwInstruction(n: number, values: 'normal' | 'halves'): Repeated {
  const gradient = benchVariable('gradient', [n], values);
  const betas = { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, one_minus_beta1: 0.1, one_minus_beta2: 0.01 };
  const clip = new Variable({
    name: 'bench.clip',
    shape: [4],
    trainable: false,
    init: { kind: 'data', data: Float32Array.of(1, 1, 0, 1) },
  });
  return {
    opcode: 'adamw',
    inputs: { g: gradient, clip },
    results: {},
    filled: { p: { elements: n, value: 0.02 }, m: { elements: n, value: 0 }, v: { elements: n, value: 0 } },
    dims: { n },
    params: { lr: 'lr', c1: 'c1', c2: 'c2', ...betas },
  };
}
