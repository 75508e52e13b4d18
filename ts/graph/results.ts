// Outputs and effects: first as copies and updates at the end of the list, which is always right; then every copy whose source can as well be
// made in place by its producing instruction is taken out, and that instruction writes straight into the output or the variable.
import { FerroError } from '../errors';
import { type Dim, numel } from './dims';
import { type Effect, effectTargets, effectTensors } from './effects';
import { type Buffer, type Instruction, isWhole, overlaps, resolve } from './ir';
import type { Lowering } from './lower';
import type { View } from './op';
import { BINARY_KINDS, BINARY_MODE, UNARY_KINDS } from './opcodes';
import { checkCopyable } from './ops/unary';
import { earliestStages, successors } from './schedule';
import { type Tensor, Variable } from './tensor';

/** The buffers that outputs and effects need. */
export function keptBuffers(lowering: Lowering, outputs: Readonly<Record<string, Tensor>>, effects: readonly Effect[]): Set<Buffer> {
  const tensors = [...Object.values(outputs), ...effects.flatMap(effectTensors)];
  return new Set(tensors.map((tensor) => lowering.view(tensor).storage as Buffer));
}

/** Appends outputs and effects to a (fused) list. Answers with the list to run and the outputs' buffers. */
export function appendResults(
  lowering: Lowering,
  fused: readonly Instruction[],
  outputs: Readonly<Record<string, Tensor>>,
  effects: readonly Effect[],
): { readonly instructions: Instruction[]; readonly ports: { readonly name: string; readonly buffer: Buffer }[] } {
  const targets = new Set<Variable>();
  for (const variable of effects.flatMap(effectTargets)) {
    if (targets.has(variable))
      throw new FerroError('INVALID_OPTION', `compile: a variable may be written by one effect, got two for "${variable.name}"`);
    targets.add(variable);
  }
  const appender = new Appender(lowering, [...fused], targets);
  for (const effect of effects) appender.effect(effect);
  const ports = Object.entries(outputs).map(([name, tensor]) => ({ name, buffer: appender.output(name, tensor) }));
  return { instructions: removeCopies(appender.instructions, appender.copies), ports };
}

class Appender {
  readonly instructions: Instruction[];
  readonly copies: Instruction[] = [];
  readonly #lowering: Lowering;
  readonly #targets: ReadonlySet<Variable>;
  constructor(lowering: Lowering, instructions: Instruction[], targets: ReadonlySet<Variable>) {
    this.#lowering = lowering;
    this.instructions = instructions;
    this.#targets = targets;
  }

  output(name: string, tensor: Tensor): Buffer {
    checkCopyable(`output "${name}"`, tensor);
    const { shape, dtype } = tensor;
    const target = this.#lowering.bind({ kind: 'output', name, shape, dtype }, shape, dtype, `output "${name}"`);
    this.#copy(this.#lowering.view(tensor), target, numel(shape));
    return target.storage as Buffer;
  }

  effect(effect: Effect): void {
    const lowering = this.#lowering;
    if (effect.kind === 'assign') {
      const source = lowering.view(effect.tensor);
      const current = lowering.current(effect.variable);
      // The tensor is this variable as it already is (rows written to a cache): nothing is left to do.
      if (source.storage === current.storage && source.version === current.version) return;
      this.#copy(this.#stable(source), lowering.write(effect.variable), effect.variable.size);
    } else if (effect.kind === 'accumulate') {
      const b = this.#stable(lowering.view(effect.tensor));
      const a = lowering.current(effect.variable);
      const kinds = { kind: BINARY_KINDS.indexOf('add'), mode: BINARY_MODE.same };
      this.#emit('binary', { a, b, out: lowering.write(effect.variable) }, { outer: 1, inner: effect.variable.size }, kinds);
    } else {
      const g = effect.gradient instanceof Variable ? lowering.current(effect.gradient) : this.#stable(lowering.view(effect.gradient));
      const operands = { p: lowering.write(effect.parameter), g, clip: lowering.view(effect.clip) };
      const dims = { n: effect.parameter.size };
      if (effect.kind === 'adamw')
        this.#emit('adamw', { ...operands, m: lowering.write(effect.m), v: lowering.write(effect.v) }, dims, effect.params);
      else this.#emit('sgd', { ...operands, buf: effect.momentumBuffer && lowering.write(effect.momentumBuffer) }, dims, effect.params);
    }
  }

  /** An old value of a variable that some effect overwrites is copied aside first, so that two effects may each read what the other writes. */
  #stable(view: View): View {
    const { source } = view.storage as Buffer;
    if (source?.kind !== 'variable' || !this.#targets.has(source.variable)) return view;
    const words = view.bytes / 4; // all of it, or the piece that is looked at
    const aside = this.#lowering.temporary([words], source.variable.dtype, 'old value');
    this.#emit('unary', { x: { ...view, dtype: 'f32' }, out: { ...aside, dtype: 'f32' } }, { n: words }, COPY);
    return aside;
  }

  #copy(source: View, target: View, n: Dim): void {
    // The copy instruction moves 32-bit words whatever they mean; its operands are declared f32.
    const operands = { x: { ...source, dtype: 'f32' as const }, out: { ...target, dtype: 'f32' as const } };
    this.copies.push(this.#emit('unary', operands, { n }, COPY));
  }

  #emit(...args: Parameters<Lowering['emit']>): Instruction {
    const instruction = this.#lowering.emit(...args);
    this.instructions.push(instruction);
    return instruction;
  }
}

const COPY = { kind: UNARY_KINDS.indexOf('copy'), c: 0 };

/** Takes out the copies that are not needed; redirects their sources. */
function removeCopies(instructions: readonly Instruction[], copies: readonly Instruction[]): Instruction[] {
  let list = [...instructions];
  for (const copy of copies) {
    const without = list.filter((instruction) => instruction !== copy);
    const [source, target] = [copy.operand('x') as View, copy.operand('out') as View];
    if (!redirect(without, source, target)) continue;
    list = without;
    followChain(list, source, target);
  }
  return list;
}

/** Makes the instructions that write `source` write `target` instead, if every order between reads and writes can still be kept. */
function redirect(list: readonly Instruction[], source: View, target: View): boolean {
  const buffer = source.storage as Buffer;
  if (buffer.place !== 'arena' || !isWhole(source) || buffer.bytes !== target.bytes || buffer.lead !== 0 || buffer.redirect !== undefined)
    return false;
  const binding = target.storage as Buffer;
  buffer.redirect = { to: binding, version: target.version };
  if (isSafe(list, binding)) return true;
  buffer.redirect = undefined;
  return false;
}

/** Whether reads and writes of a binding can be ordered, and no instruction overwrites what it still reads. */
function isSafe(list: readonly Instruction[], binding: Buffer): boolean {
  const versions = new Set<number>();
  for (const instruction of list) {
    const places = [...instruction.present()].map(({ view }) => resolve(view)).filter((place) => place.buffer === binding);
    if (places.length > 0 && !keepsItsOperands(instruction)) return false;
    for (const place of places) versions.add(place.version);
  }
  // With one version there is nothing that must come before the first write.
  return versions.size <= 1 || earliestStages(successors(list)) !== undefined;
}

/** A producer that updates an operand in place (the second part of a tied table's gradient) takes that operand along into the binding. */
function followChain(list: readonly Instruction[], source: View, target: View): void {
  const touching = (buffer: unknown, writes: boolean): Instruction[] =>
    list.flatMap((instruction) =>
      [...instruction.present()]
        .filter(({ entry, view }) => view.storage === buffer && (entry.access !== 'read') === writes)
        .map(() => instruction),
    );
  const [producer, ...others] = touching(source.storage, true);
  if (producer === undefined || others.length > 0) return;
  for (const [from, to] of inPlacePairs(producer)) {
    const [x, out] = [producer.operand(from), producer.operand(to)];
    if (x === undefined || out?.storage !== source.storage || x.storage === source.storage) continue;
    // A second reader (another result, perhaps) would find the updated value.
    if (touching(x.storage, false).length !== 1 || !redirect(list, x, target)) continue;
    followChain(list, x, target);
    return;
  }
}

/** The pairs [operand read, operand written] of an instruction that may share memory. */
export function inPlacePairs(instruction: Instruction): (readonly [string, string])[] {
  const { name, inPlace } = instruction.spec;
  return inPlace.filter(([from]) => !(name === 'binary' && from === 'b' && instruction.param('mode') !== BINARY_MODE.same));
}

/** Whether every operand that an instruction writes overlaps, among those it reads, only operands it may update in place, byte for byte. */
export function keepsItsOperands(instruction: Instruction): boolean {
  const pairs = inPlacePairs(instruction);
  const present = [...instruction.present()].map(({ entry, view }) => ({ ...entry, ...resolve(view) }));
  return present.every((out) => {
    if (out.access === 'read') return true;
    return present.every((other) => {
      if (other.access !== 'read' || other.buffer !== out.buffer || !overlaps(out, other)) return true;
      return other.offset === out.offset && other.bytes === out.bytes && pairs.some(([from, to]) => from === other.name && to === out.name);
    });
  });
}
