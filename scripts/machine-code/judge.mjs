// Holds a function's loops against expectations.mjs.
import { countLoop, innermostLoops } from './loops.mjs';

/**
 * A kernel's short name, `matmul::micro::micro<4, 2, 0>` or `unary::Unary::run_tile`, from the name in the module; undefined for what is no kernel of ours.
 * @param {string} name
 */
export function kernelName(name) {
  const plain = name
    .replace(/\[[0-9a-f]{16}\]/g, '')
    .replace(/<(\S+) as \S+>/g, '$1')
    .replace(/^<([^>]*)>::/, '$1::')
    .replace(/::</g, '<')
    .replace(/(\d)(?:usize|u8|u32)/g, '$1');
  return /^kernels::/.test(plain) ? plain.slice('kernels::'.length) : undefined;
}

/**
 * The loops of a function that count as hot: those that do vector arithmetic, call nothing and move no single lanes. What calls or
 * moves lanes is a ragged end, run once or never per row.
 * @param {import('./listing.mjs').Listing} listing
 */
export function hotLoops(listing, { minArithmetic }) {
  return innermostLoops(listing.instructions)
    .map(countLoop)
    .filter(({ arithmetic, calls, lanes }) => arithmetic >= minArithmetic && calls === 0 && lanes === 0);
}

/** Whether a loop is nothing but multiply-adds: the inside of a product, where a spill costs most. */
export const isProduct = ({ fma, arithmetic }) => fma >= 8 && fma === arithmetic;

const isFused = ({ arithmetic, wide }) => wide >= 0.9 * arithmetic;

/** What is wrong with one loop's use of the stack, or undefined. In a product the constants count too: there is no room for them either. */
function spillFault(loop, { tile, rule, known }) {
  if (tile === 'beyond') return undefined;
  const product = tile !== undefined || isProduct(loop);
  const spills = product ? loop.spills + loop.reloads : loop.spills;
  const allowed = known?.spills ?? (product ? 0 : Math.floor(rule.spillShare * loop.instructions));
  return spills > allowed ? `${spills} spills in a loop of ${loop.instructions} instructions, ${allowed} allowed` : undefined;
}

/** What is wrong with how the largest loop fuses, or undefined. */
function fuseFault(loop, { tile, rule, known }) {
  if (tile === 'beyond' || !rule.fused) return undefined;
  if (!isFused(loop)) return `not fused: ${loop.wide} of ${loop.arithmetic} instructions have 256 bits`;
  const packs = tile === undefined ? 0 : loop.packs;
  return packs > (known?.packs ?? 0) ? `fused at the price of ${packs} packing instructions, ${known?.packs ?? 0} allowed` : undefined;
}

/**
 * One line of the table for a function, with what is wrong.
 * @param {string} kernel short name
 * @param {ReturnType<typeof countLoop>[]} loops its hot loops, at least one
 * @param {{ name: string, fuses: boolean }} engine
 * @param {import('./expectations.mjs').Expectations} expectations
 */
export function judge(kernel, loops, engine, expectations) {
  const wanted = expectations.of(kernel, engine);
  const worst = loops.reduce((a, b) => (b.spills > a.spills ? b : a));
  const largest = loops.reduce((a, b) => (b.arithmetic > a.arithmetic ? b : a));
  const faults = [...loops.map((loop) => spillFault(loop, wanted)), engine.fuses ? fuseFault(largest, wanted) : undefined];
  const fault = faults.find((found) => found !== undefined);
  let note = '';
  if (fault !== undefined) note = `FAILS: ${fault}`;
  else if (wanted.tile === 'beyond') note = worst.spills > 0 ? 'spills; not for this engine' : 'not for this engine';
  else if (wanted.known !== undefined) note = `known: ${wanted.known.why}`;
  return {
    kernel,
    engine: engine.name,
    loops: loops.length,
    instructions: largest.instructions,
    fma: largest.fma,
    xmm: largest.xmm,
    ymm: largest.ymm,
    packs: largest.packs,
    fused: loops.filter(isFused).length,
    spills: worst.spills,
    reloads: Math.max(...loops.map(({ reloads }) => reloads)),
    note,
    fault,
  };
}
