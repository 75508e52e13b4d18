// The head in one pass: where the gradient of a fused loss is known before the loss itself (a sum or a mean over rows, or weights that do not depend on
// the loss), the logits of a block of rows are made once, kept, and turned into their gradient in place: three products instead of five. Anything else
// (a gradient of logZ, an upstream gradient that depends on the loss, sizes known only at run time) keeps the three kernels of linearCrossEntropy.
import { type Buffer, type Instruction, makeInstruction, sameView } from './ir';
import type { Lowering } from './lower';
import type { View } from './op';
import { STATS_WORDS } from './opcodes';

/** Bytes of logits kept at a time, about. 256 rows of GPT-2's 50257 words are 51 MB; fewer rows would read all of W more often. */
export const HEAD_LOGITS_BYTES = 64 * 2 ** 20;

/** Most rows of a block: beyond, nothing is gained. */
const MOST_ROWS = 8192;
/** Rows of a block are a multiple of a cache line's floats. */
const LINE = 16;

interface Head {
  readonly forward: Instruction;
  readonly backwardX: Instruction | undefined;
  readonly backwardW: Instruction | undefined;
  readonly g: View;
  readonly rows: number;
  readonly vocab: number;
  readonly cols: number;
}

/** Elements from word to word of a block's logits: whole cache lines, an odd number of them, so that words do not fall on the same few sets of a cache. */
export function headStride(most: number): number {
  return (Math.ceil(most / LINE) | 1) * LINE;
}

/** Replaces every eligible head of an instruction list (in an order in which it could run). Gives the new list. */
export function onePassHeads(lowering: Lowering, instructions: readonly Instruction[], logitsBytes = HEAD_LOGITS_BYTES): Instruction[] {
  let list = [...instructions];
  for (const forward of instructions) {
    const head = forward.spec.name === 'linear_cross_entropy' ? headOf(forward, list) : undefined;
    const sources = head && sourcesOf(head.g, forward, list);
    if (head === undefined || sources === undefined) continue;
    const at = list.indexOf(forward);
    const replaced = new Set([forward, head.backwardX, head.backwardW, ...sources]);
    const rest = list.slice(at).filter((instruction) => !replaced.has(instruction));
    const before = list.slice(0, at);
    const moved = list.slice(at).filter((instruction) => sources.has(instruction));
    list = [...before, ...moved, ...blocksOf(head, lowering, logitsBytes), ...rest];
  }
  return list;
}

/** A forward instruction with the gradients that one pass can make along with it. */
function headOf(forward: Instruction, list: readonly Instruction[]): Head | undefined {
  const [rows, vocab, cols] = forward.dims;
  if (typeof rows !== 'number' || typeof vocab !== 'number' || typeof cols !== 'number' || rows * vocab * cols === 0) return undefined;
  const operand = (of: Instruction, name: string): View => of.operand(name) as View;
  const matches = (name: string) => (other: Instruction) =>
    other.spec.name === name &&
    other.operand('gz') === undefined &&
    ['x', 'w', 'labels', 'log_z'].every((key) => sameView(operand(other, key), operand(forward, key)));
  const backwardX = list.find(matches('linear_cross_entropy_backward_x'));
  let backwardW = list.find(matches('linear_cross_entropy_backward_w'));
  const first = backwardX ?? backwardW;
  if (first === undefined) return undefined;
  const g = operand(first, 'g');
  if (backwardW !== undefined && !sameView(operand(backwardW, 'g'), g)) backwardW = undefined;
  return { forward, backwardX, backwardW, g, rows, vocab, cols };
}

/**
 * The instructions that a value depends on, or undefined when `forward` is among them, or one of them could not be moved in front of it: a buffer
 * that several instructions write changes its meaning along the list.
 */
function sourcesOf(value: View, forward: Instruction, list: readonly Instruction[]): Set<Instruction> | undefined {
  const writers = new Map<Buffer, Instruction[]>();
  for (const instruction of list) {
    for (const { entry, view } of instruction.present()) {
      if (entry.access === 'read') continue;
      const buffer = view.storage as Buffer;
      writers.set(buffer, [...(writers.get(buffer) ?? []), instruction]);
    }
  }
  const sources = new Set<Instruction>();
  const pending = [value];
  for (let view = pending.pop(); view !== undefined; view = pending.pop()) {
    // A variable as it was at the program's start is there from the beginning.
    if (view.storage.place === 'binding' && view.version === 0) continue;
    const [writer, ...others] = writers.get(view.storage as Buffer) ?? [];
    if (writer === undefined || others.length > 0 || writer === forward) return undefined;
    if (sources.has(writer)) continue;
    sources.add(writer);
    for (const { entry, view: read } of writer.present()) if (entry.access !== 'write') pending.push(read);
  }
  return sources;
}

/** The instructions of all blocks. dW is one chain: each block starts from the result of the one before. */
function blocksOf(head: Head, lowering: Lowering, logitsBytes: number): Instruction[] {
  const { forward, backwardX, backwardW, g, rows, vocab, cols } = head;
  const [x, w, labels, loss, logZ] = ['x', 'w', 'labels', 'loss', 'log_z'].map((name) => forward.operand(name) as View);
  const limit = Math.min(MOST_ROWS, Math.max(LINE, Math.floor(logitsBytes / 4 / vocab / LINE) * LINE));
  const count = Math.ceil(rows / limit);
  const most = Math.ceil(rows / count / LINE) * LINE;
  const stride = headStride(most);
  // One buffer for all blocks: what follows on it waits for what came before.
  const logits = lowering.temporary([vocab, stride], 'f32', 'logits of a block of rows');
  const stats = lowering.temporary([Math.ceil(vocab / STATS_WORDS), 2, stride], 'f32', 'maxima and sums of logits');
  const dims = { rows, vocab, cols, most, stride };
  const result: Instruction[] = [];
  let dw: View | undefined;
  for (let first = 0; first < rows; first += most) {
    const params = { ignore: forward.param('ignore'), first };
    const init = dw;
    if (backwardW !== undefined) {
      const isLast = first + most >= rows;
      dw = isLast ? (backwardW.operand('dw') as View) : lowering.temporary([vocab, cols], 'f32', 'gradient of w so far');
    }
    result.push(
      makeInstruction('head_logits', { x, w, labels, logits, stats }, dims, params),
      makeInstruction('head_loss', { labels, logits, stats, loss, log_z: logZ }, dims, params),
      makeInstruction('head_backward_w', { x, labels, log_z: logZ, g, init, dw, logits }, dims, params),
    );
    if (backwardX !== undefined) {
      const dx = backwardX.operand('dx') as View;
      result.push(makeInstruction('head_backward_x', { w, labels, dlogits: logits, dx }, dims, params));
    }
  }
  return result;
}
