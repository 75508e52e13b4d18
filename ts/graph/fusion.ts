// Joins instructions: what follows a product becomes its initial value, bias or activation; what is added to some gradients becomes their addend.
// Only where the joined result is exactly what the two instructions gave, up to the order of one addition, and nothing else reads the value in between.
import { type Buffer, type Instruction, isWhole, sameView } from './ir';
import type { View } from './op';
import { BINARY_KINDS, BINARY_MODE, MATMUL_ACTIVATION, UNARY_KINDS } from './opcodes';

/** Where an addend goes in each instruction that can take one, and its only result. */
const ADDEND: Readonly<Record<string, { readonly into: string; readonly result: string }>> = {
  matmul: { into: 'init', result: 'out' },
  matmul_q8: { into: 'init', result: 'out' },
  layer_norm_backward: { into: 'addend', result: 'dx' },
  rms_norm_backward: { into: 'addend', result: 'dx' },
  embedding_backward: { into: 'init', result: 'dtable' },
  linear_cross_entropy_backward_w: { into: 'init', result: 'dw' },
};

const isProduct = ({ spec }: Instruction): boolean => spec.name === 'matmul' || spec.name === 'matmul_q8';

/** Who writes and reads each arena buffer. Buffers that a result or effect needs count one more reader, undefined. */
class Uses {
  readonly writers = new Map<Buffer, Instruction[]>();
  readonly readers = new Map<Buffer, (Instruction | undefined)[]>();
  constructor(instructions: readonly (Instruction | undefined)[], kept: ReadonlySet<Buffer>) {
    for (const buffer of kept) this.readers.set(buffer, [undefined]);
    for (const instruction of instructions) if (instruction !== undefined) this.add(instruction);
  }
  add(instruction: Instruction): void {
    for (const { entry, view } of instruction.present()) {
      const map: Map<Buffer, (Instruction | undefined)[]> = entry.access === 'read' ? this.readers : this.writers;
      const list = map.get(view.storage as Buffer);
      if (list === undefined) map.set(view.storage as Buffer, [instruction]);
      else list.push(instruction);
    }
  }
  remove(instruction: Instruction): void {
    for (const { entry, view } of instruction.present()) {
      const map: Map<Buffer, (Instruction | undefined)[]> = entry.access === 'read' ? this.readers : this.writers;
      const list = map.get(view.storage as Buffer) as (Instruction | undefined)[];
      list.splice(list.indexOf(instruction), 1);
    }
  }
  /** The instruction that alone writes the whole buffer of a view. */
  producer(view: View): Instruction | undefined {
    const list = this.writers.get(view.storage as Buffer);
    return view.storage.place === 'arena' && isWhole(view) && list?.length === 1 ? list[0] : undefined;
  }
  /** Whether exactly one operand of one instruction reads the buffer of a view. */
  readOnce(view: View): boolean {
    return this.readers.get(view.storage as Buffer)?.length === 1;
  }
}

/** Fuses an instruction list (in an order in which it could run). `kept`: buffers that must hold their values in the end. Gives the new list. */
export function fuse(instructions: readonly Instruction[], kept: ReadonlySet<Buffer>): Instruction[] {
  const list: (Instruction | undefined)[] = [...instructions];
  const uses = new Uses(list, kept);
  for (let at = 0; at < list.length; at++) {
    const instruction = list[at];
    if (instruction?.spec.name === 'binary') fuseAdd(list, at, instruction, uses);
    else if (instruction?.spec.name === 'unary') fuseActivation(list, at, instruction, uses);
  }
  return list.filter((instruction): instruction is Instruction => instruction !== undefined);
}

/** add(t, r) where t is only made for it: r becomes the addend of t's instruction, which moves here (r may be computed after its old place). */
function fuseAdd(list: (Instruction | undefined)[], at: number, add: Instruction, uses: Uses): void {
  if (add.param('kind') !== BINARY_KINDS.indexOf('add')) return;
  const [a, b, out] = ['a', 'b', 'out'].map((name) => add.operand(name) as View);
  const mode = add.param('mode');
  const pairs: [View, View][] =
    mode === BINARY_MODE.same
      ? [
          [b, a],
          [a, b],
        ]
      : mode === BINARY_MODE.row
        ? [[a, b]]
        : [];
  const found = pairs
    .map(([inner, other]) => ({ inner, other, into: place(inner, mode === BINARY_MODE.row, add, uses) }))
    .filter((candidate) => candidate.into !== undefined)
    .map((candidate) => ({ ...candidate, from: list.indexOf(uses.producer(candidate.inner)) }))
    .sort((x, y) => y.from - x.from)[0];
  if (found === undefined || sameView(a, b)) return;
  const producer = list[found.from] as Instruction;
  uses.remove(add);
  uses.remove(producer);
  producer.setOperand(found.into as string, found.other);
  producer.setOperand(ADDEND[producer.spec.name].result, out);
  producer.recomputed &&= add.recomputed;
  uses.add(producer);
  list[found.from] = undefined;
  list[at] = producer;
}

/** The operand name under which something may be added to the instruction that makes `inner`. */
function place(inner: View, isBias: boolean, add: Instruction, uses: Uses): string | undefined {
  const producer = uses.producer(inner);
  const rule = producer === undefined ? undefined : ADDEND[producer.spec.name];
  if (producer === undefined || rule === undefined || !uses.readOnce(inner)) return undefined;
  const result = producer.operand(rule.result);
  if (result === undefined || !sameView(result, inner)) return undefined;
  // The kernel applies the activation to what it stores: nothing can be added after it.
  if (isProduct(producer) && producer.param('activation') !== 0) return undefined;
  if (!isBias) return producer.operand(rule.into) === undefined ? rule.into : undefined;
  const width = producer.dims[producer.spec.dims.indexOf('n')];
  const inner_ = add.dims[add.spec.dims.indexOf('inner')];
  return isProduct(producer) && producer.operand('bias') === undefined && typeof width === 'number' && width === inner_
    ? 'bias'
    : undefined;
}

/** relu or gelu of a product: a second result of the product. The value before it stays, since backward needs it. */
function fuseActivation(list: (Instruction | undefined)[], at: number, unary: Instruction, uses: Uses): void {
  const activation = MATMUL_ACTIVATION[UNARY_KINDS[unary.param('kind') as number]];
  const x = unary.operand('x') as View;
  const producer = uses.producer(x);
  if (activation === undefined || producer === undefined || !isProduct(producer) || producer.param('activation') !== 0) return;
  if (!sameView(producer.operand('out') as View, x)) return;
  uses.remove(unary);
  uses.remove(producer);
  producer.setOperand('act', unary.operand('out'));
  producer.setParam('activation', activation);
  uses.add(producer);
  list[at] = undefined;
}
