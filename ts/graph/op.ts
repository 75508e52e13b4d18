// What an operation is: its shape rule, gradient rule and lowering, held together in one definition. Each file of ops/ makes one.
// Also the small checks that every op uses to say `op: rule, got value`.
import { FerroError, phrase } from '../errors';
import { type Dim, dimEquals, type Shape, shapeText } from './dims';
import type { OpcodeName } from './opcodes';
import { isFrozenType, Node, type Operand, type StorageType, Tensor, Variable } from './tensor';

/** Shape and dtype of one result. */
export interface OutputSpec {
  readonly shape: Shape;
  readonly dtype: StorageType;
}

/** What a gradient rule is given. It answers with one gradient per input (undefined: none), shaped as that input. */
export interface GradientContext<A> {
  readonly node: Node<A>;
  readonly attrs: A;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** The gradient with respect to each output; undefined where the loss does not depend on it. At least one is given. */
  readonly upstream: readonly (Tensor | undefined)[];
  /** Which inputs lead to a variable asked for; gradients of the others are not used. */
  readonly needed: readonly boolean[];
}

/** A part of a buffer, as seen by one operand of an instruction. */
export interface View {
  readonly storage: Storage;
  /** Where it begins in the storage, in bytes; may be negative down to minus the storage's lead. */
  readonly offset: number;
  /** How many bytes it covers at the maximum extents. */
  readonly bytes: number;
  readonly dtype: StorageType;
  /** Which value of a variable: 0 at the start of the program, one more after each write. Always 0 for other storages. */
  readonly version: number;
}

/** A buffer before it has an address: a piece of the arena, or a binding. */
export interface Storage {
  readonly id: number;
  /** Bytes at the maximum extents. */
  readonly bytes: number;
  /** Bytes kept free in front of it (arena only), so that an operand may begin before its first element. */
  lead: number;
  readonly place: 'arena' | 'binding';
  /** What it holds, for people. */
  readonly label: string;
}

/** A parameter's value: an integer or f32 (as the opcode's table says), or the name of a scalar input. */
export type ParamValue = number | string;

/** What a lowering is given. */
export interface LowerContext<A> {
  readonly attrs: A;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** The buffer of an input. */
  view(tensor: Tensor): View;
  /** The (new) buffer of output number `index`. */
  out(index?: number): View;
  /** A new buffer that no tensor names. */
  temporary(shape: Shape, dtype?: StorageType): View;
  /** Makes output `index` share a buffer. */
  alias(index: number, view: View): void;
  /** The buffer of a variable after one more write. */
  write(variable: Variable): View;
  /** Keeps bytes free in front of a storage of the arena; false when this storage cannot have them. */
  reserveLead(view: View, bytes: number): boolean;
  /** Appends an instruction; names are those of the opcode table. */
  emit(
    opcode: OpcodeName,
    operands: Readonly<Record<string, View | undefined>>,
    dims: Readonly<Record<string, Dim>>,
    params?: Readonly<Record<string, ParamValue>>,
  ): void;
}

/** One kind of operation. */
export interface OpDefinition<A = unknown> {
  readonly name: string;
  /** The shape rule. @throws INVALID_SHAPE, INVALID_DTYPE. */
  infer(inputs: readonly Tensor[], attrs: A): readonly OutputSpec[];
  /** The gradient rule; absent: not differentiable. */
  gradient?(context: GradientContext<A>): readonly (Tensor | undefined)[];
  /** Writes the instructions that compute the outputs. */
  lower(context: LowerContext<A>): void;
}

/** Makes a node of an op and gives its outputs. */
export function apply<A>(op: OpDefinition<A>, inputs: readonly Tensor[], attrs: A): readonly Tensor[] {
  return new Node(op, inputs, attrs, op.infer(inputs, attrs)).outputs;
}

/** The tensor an operand stands for. @throws INVALID_OPTION when it is neither a tensor nor a variable. */
export function asTensor(op: string, name: string, operand: Operand): Tensor {
  if (operand instanceof Tensor) return operand;
  if (operand instanceof Variable) return operand.tensor;
  throw new FerroError('INVALID_OPTION', `${op}: ${name} must be a Tensor or a Variable, got ${describeValue(operand)}`);
}

function describeValue(value: unknown): string {
  return value === null || typeof value !== 'object' ? String(value) : `a ${(value as object).constructor?.name ?? 'object'}`;
}

/** Throws INVALID_SHAPE unless the condition holds. */
export function checkRule(condition: boolean, op: string, rule: string, ...got: readonly (Tensor | Shape | Dim)[]): void {
  if (condition) return;
  const text = got.map((value) =>
    value instanceof Tensor ? shapeText(value.shape) : Array.isArray(value) ? shapeText(value as Shape) : String(value),
  );
  throw new FerroError('INVALID_SHAPE', `${op}: ${rule}, got ${text.join(' and ')}`);
}

/** Throws INVALID_DTYPE unless the tensor has the dtype. */
export function checkDtype(op: string, name: string, tensor: Tensor, dtype: StorageType): void {
  if (tensor.dtype !== dtype) throw new FerroError('INVALID_DTYPE', `${op}: ${name} must be ${dtype}, got ${tensor}`);
}

/** Throws INVALID_DTYPE unless the tensor is of f32 or of a type of frozen weights that is read as f32. */
export function checkWeights(op: string, name: string, tensor: Tensor): void {
  if (!isFrozenType(tensor.dtype)) checkDtype(op, name, tensor, 'f32');
}

/** One number per sequence: an i32 tensor [B]. @throws INVALID_DTYPE, INVALID_SHAPE. */
export function asSequenceNumbers(op: string, name: string, operand: Operand, batch: Dim): Tensor {
  const tensor = asTensor(op, name, operand);
  checkDtype(op, name, tensor, 'i32');
  checkRule(tensor.rank === 1 && dimEquals(tensor.shape[0], batch), op, `${name} must be [B]`, tensor, [batch]);
  return tensor;
}

/** Throws INVALID_OPTION unless the condition holds. */
export function checkOption(condition: boolean, op: string, rule: string, got: unknown): void {
  if (!condition) throw new FerroError('INVALID_OPTION', `${op}: ${rule}, got ${phrase(got)}`);
}

/** The last size of a shape as a number. @throws INVALID_SHAPE when there is none or it is not static. */
export function staticLast(op: string, name: string, tensor: Tensor): number {
  const last = tensor.shape[tensor.rank - 1];
  checkRule(typeof last === 'number', op, `the last size of ${name} must be a number`, tensor);
  return last as number;
}
