// What the machine code of the hot loops must be: data, to be changed with the kernels. A loop that spills more, or does not fuse where it should, fails
// `npm run check:code`. Names are those of judge.mjs, `kernels::` left out and hashes removed.

/** Vector arithmetic from which a loop counts as hot. */
export const MIN_ARITHMETIC = 4;

/**
 * Register tiles by their width: up to how many rows they stay in registers on an engine. Where a tile is listed it must not spill, nor any lower one of its
 * width, which serves ragged rows. `micro<rows, vectors, edge>` above the limit is shown and not judged: the self-test measures it and finds it slow.
 */
export const TILE_ROWS = {
  8: { '20 plain': 4, '20 relaxed': 4, 22: 4, 24: 6, '24 fused': 8, 26: 6, '26 fused': 8 },
  16: { '24 fused': 6, '26 fused': 6 },
};

/** Functions that must be found with a hot loop in every engine; else this table has lost what it watches. */
export const REQUIRED = [
  /^matmul::micro::micro<4, 2, 0>$/, // the tile in use where no self-test ran
  /^matmul::gemv::/,
  /^attention::/,
  /^linear_cross_entropy::/,
  /^gelu::/,
  /^unary::/,
  /^binary::/,
  /^softmax::/,
  /^layer_norm::/,
  /^rotary::/,
  /^swiglu::/,
  /^dropout::/,
  /^adamw::/,
];

/**
 * Rules by function; the first that fits. `spillShare` is the share of a loop's instructions that may write a value to the stack or read it back, since a
 * polynomial over two vectors has more values than an engine has registers and its round trips overlap; loops of multiply-adds may not spill at all, whatever
 * the rule says. `fused`: the function's largest loop must consist of 256-bit operations on engines that fuse.
 */
export const RULES = [
  {
    functions:
      /^(binary|gelu|unary|rotary|swiglu|softmax::log_row|softmax::SoftmaxBackward|cross_entropy::CrossEntropyBackward|position::AddPosition::|attention::rectangle::score_gradients)/,
    spillShare: 1 / 8,
    fused: true,
  },
  { functions: /^matmul::/, spillShare: 0, fused: false },
  { functions: /^/, spillShare: 1 / 8, fused: false },
];

/**
 * What falls short today, with the most that is allowed and what it means. A change for the better belongs here too, so that it stays. `engines` left out: all.
 * @type {{ functions: RegExp, engines?: string[], spills?: number, packs?: number, why: string }[]}
 */
export const KNOWN = [
  {
    functions: /^layer_norm::params::LayerNormBackwardParams::run_tile$/,
    spills: 22,
    why: 'four rows at a time, each with its mean and 1/σ in a register of its own; reading whole rows gains more from memory than the stack costs',
  },
  {
    functions: /^attention::rectangle::score_gradients<true>$/,
    spills: 14,
    why: 'LLVM loads ten vectors before it uses one; with volatile loads the halves no longer fuse without packing',
  },
  {
    functions: /^matmul::micro::micro<2, [24], 1>$/,
    engines: ['24 fused', '26 fused'],
    packs: 8,
    why: 'two-row tiles at the causal edge address B by a shifted counter, which V8 does not see as neighbours',
  },
];

/** @typedef {{ tile?: 'fits' | 'beyond', rule: { spillShare: number, fused: boolean }, known?: (typeof KNOWN)[number] }} Wanted */
/** @typedef {{ of(kernel: string, engine: { name: string }): Wanted }} Expectations */

/** @type {Expectations} */
export const EXPECTATIONS = {
  of(kernel, engine) {
    const known = KNOWN.find((entry) => entry.functions.test(kernel) && (entry.engines ?? [engine.name]).includes(engine.name));
    const rule = RULES.find((entry) => entry.functions.test(kernel));
    // The tile itself, and the copies of it that engines inline into what handles ragged edges.
    const [, tile, rows, vectors] = /^matmul::(micro::micro|panels::ragged)<(\d+), (\d+)\b/.exec(kernel) ?? [];
    if (tile === undefined) return { rule, known };
    const fits = Number(rows) <= (TILE_ROWS[4 * Number(vectors)]?.[engine.name] ?? 0);
    return { tile: fits ? 'fits' : 'beyond', rule: { spillShare: 0, fused: tile === 'micro::micro' }, known };
  },
};
