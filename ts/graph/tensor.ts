// Symbolic tensors, the nodes that make them, and the leaves of every graph: variables, inputs, constants, scalar inputs.
// Nothing here computes or allocates: a tensor is a promise of a shape and a dtype, made real when a program that holds it is run.
import { FerroError, phrase } from '../errors';
import { checkShape, type Dim, maxNumel, numel, type Shape, shapeText } from './dims';
import type { OpDefinition, OutputSpec } from './op';
import { q8Bytes } from './q8';

/** Element types a user can hold; 'bf16' and 'q8' (int8 blocks, q8.ts) are frozen weights, read as f32, which only variables [rows, columns] have. */
export type DType = 'f32' | 'i32' | 'q8' | 'bf16';
/** Element types of buffers: the users' ones and f64, used inside for sums of squares. */
export type StorageType = DType | 'f64';

/** How rotary frequencies are changed for contexts longer than those of training, as transformers' `rope_parameters` of these types. */
export type RotaryScaling =
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      /** Positions of the context before. */
      readonly originalPositions: number;
    };

/** How a variable's memory is filled when an engine allocates it. `normal` and `sinusoidal` draw from Philox keyed by seed and the
 * variable's name; `rotary` is the table of `rotary`, [P, D]: of each position the cosines of its D/2 angles, then their sines.
 */
export type Init =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' }
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly mean: number; readonly std: number }
  | { readonly kind: 'uniform'; readonly low: number; readonly high: number }
  | { readonly kind: 'sinusoidal'; readonly noise: number }
  | { readonly kind: 'rotary'; readonly base: number; readonly scaling?: RotaryScaling }
  | { readonly kind: 'data'; readonly data: Float32Array | Int32Array | Uint16Array };

/** Whether a type is of frozen weights that ops read as f32. */
export function isFrozenType(dtype: StorageType): dtype is 'q8' | 'bf16' {
  return dtype === 'q8' || dtype === 'bf16';
}

/** Bytes of a 'bf16' tensor [rows, columns] in an engine: 2 per weight, up to a multiple of 4. */
export function bf16Bytes(rows: number, columns: number): number {
  return Math.ceil((rows * columns) / 2) * 4;
}

let nextNodeId = 0;

/** What one `checkpoint` built: its nodes have it in common. */
export type Region = symbol;

let currentRegion: Region | undefined;

/** Runs `build`; the nodes it makes belong to one region, that of an outer call if there is one. */
export function inRegion<T>(build: () => T): T {
  const outer = currentRegion;
  currentRegion ??= Symbol('region');
  try {
    return build();
  } finally {
    currentRegion = outer;
  }
}

/** One operation of a graph: what it does, what it reads, and the shapes it makes. Ids grow in order of creation, which is a topological order. */
export class Node<A = unknown> {
  readonly id: number;
  readonly op: OpDefinition<A>;
  readonly inputs: readonly Tensor[];
  readonly attrs: A;
  readonly outputs: readonly Tensor[];
  /** The region of `checkpoint` it was built in. */
  readonly region: Region | undefined = currentRegion;
  /** True in the second computation of such a region. */
  readonly recomputed: boolean;
  constructor(op: OpDefinition<A>, inputs: readonly Tensor[], attrs: A, outputs: readonly OutputSpec[], recomputed = false) {
    this.id = nextNodeId++;
    this.recomputed = recomputed;
    this.op = op;
    this.inputs = inputs;
    this.attrs = attrs;
    this.outputs = outputs.map((spec, index) => new Tensor(this, index, spec.shape, spec.dtype));
  }
}

/** A symbolic tensor: output number `output` of `node`. Immutable, free, never disposed. */
export class Tensor {
  readonly node: Node;
  readonly output: number;
  readonly shape: Shape;
  /** f32, i32, q8 or bf16; f64 only for the partial sums of `squaredNorm`. */
  readonly dtype: StorageType;
  constructor(node: Node, output: number, shape: Shape, dtype: StorageType) {
    this.node = node;
    this.output = output;
    this.shape = shape;
    this.dtype = dtype;
  }
  /** The number of axes. */
  get rank(): number {
    return this.shape.length;
  }
  /** The number of elements. */
  get size(): Dim {
    return numel(this.shape);
  }
  toString(): string {
    return `${this.dtype}${shapeText(this.shape)}`;
  }
}

/** What ops accept: a tensor, or a variable standing for its `tensor`. */
export type Operand = Tensor | Variable;

/** What a new variable is made from. */
export interface VariableOptions {
  /** Unique in its module, such as `transformer.h.0.attn.c_attn.weight`; it keys the initialisation's random numbers. May be set later by the module that owns it. */
  name: string;
  shape: readonly number[];
  /** Default f32. */
  dtype?: DType;
  /** Whether a trainer may change it. Default: true for f32, false for others. */
  trainable?: boolean;
  /** Whether weight decay applies. Default: rank of at least 2. */
  decay?: boolean;
  /** Its values follow from `init`: it has memory with its module, but is no parameter and is not saved. Default false. */
  derived?: boolean;
  /** Default zeros. */
  init?: Init;
}

/** A named persistent buffer: a parameter, moment, gradient or cache. Its numbers live in an engine; here it is a name, a shape and how to begin. */
export class Variable {
  name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  trainable: boolean;
  decay: boolean;
  readonly derived: boolean;
  readonly init: Init;
  #tensor: Tensor | undefined;

  /** @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION naming the variable. */
  constructor(options: VariableOptions) {
    const { name, shape, dtype = 'f32', init = { kind: 'zeros' } } = options;
    const label = `Variable "${name}"`;
    checkShape(label, shape);
    if (shape.some((dim) => typeof dim !== 'number')) {
      throw new FerroError('INVALID_SHAPE', `${label}: sizes must be numbers, got ${shapeText(shape)}`);
    }
    if (dtype !== 'f32' && dtype !== 'i32' && !isFrozenType(dtype))
      throw new FerroError('INVALID_DTYPE', `${label}: dtype must be f32, i32, q8 or bf16, got ${phrase(dtype)}`);
    if (dtype === 'q8' && (shape.length !== 2 || init.kind !== 'zeros'))
      throw new FerroError(
        'INVALID_SHAPE',
        `${label}: weights in int8 blocks must be [rows, columns] and begin as zeros, got ${shapeText(shape)}`,
      );
    if (dtype === 'bf16' && (shape.length !== 2 || (init.kind !== 'zeros' && init.kind !== 'data')))
      throw new FerroError('INVALID_SHAPE', `${label}: bf16 weights must be [rows, columns] of zeros or data, got ${shapeText(shape)}`);
    checkInit(label, init, shape, dtype);
    this.name = name;
    this.shape = [...shape];
    this.dtype = dtype;
    this.trainable = options.trainable ?? dtype === 'f32';
    this.decay = options.decay ?? shape.length >= 2;
    this.derived = options.derived ?? false;
    this.init = init;
  }

  /** Reads the variable: its value at the start of the program that holds this tensor. */
  get tensor(): Tensor {
    this.#tensor ??= new Node(variableOp, [], this as Variable, [{ shape: this.shape, dtype: this.dtype }]).outputs[0];
    return this.#tensor;
  }
  /** The number of elements. */
  get size(): number {
    return maxNumel(this.shape);
  }

  /** Bytes of its memory in an engine. */
  get bytes(): number {
    const [rows, columns] = this.shape;
    return this.dtype === 'q8' ? q8Bytes(rows, columns) : this.dtype === 'bf16' ? bf16Bytes(rows, columns) : 4 * this.size;
  }
}

function checkInit(label: string, init: Init, shape: readonly number[], dtype: DType): void {
  const fail = (rule: string, got: unknown): never => {
    throw new FerroError('INVALID_OPTION', `${label}: ${rule}, got ${phrase(got)}`);
  };
  if (init.kind === 'data') {
    if (init.data.length !== maxNumel(shape))
      fail(`init data must have ${maxNumel(shape)} elements for shape ${shapeText(shape)}`, init.data.length);
    if (dtype === 'bf16') {
      if (init.data instanceof Int32Array) fail('init data must be a Float32Array or the bits in a Uint16Array', 'Int32Array');
    } else if ((dtype === 'f32') !== init.data instanceof Float32Array || init.data instanceof Uint16Array)
      fail(`init data must be a ${dtype === 'f32' ? 'Float32Array' : 'Int32Array'}`, init.data.constructor.name);
  } else if (init.kind === 'normal') {
    if (!Number.isFinite(init.mean)) fail('mean must be finite', init.mean);
    if (!(Number.isFinite(init.std) && init.std >= 0)) fail('std must be finite and at least 0', init.std);
  } else if (init.kind === 'uniform') {
    if (!(Number.isFinite(init.low) && Number.isFinite(init.high) && init.low <= init.high))
      fail('low and high must be finite and in this order', `${init.low} and ${init.high}`);
  } else if (init.kind === 'sinusoidal') {
    if (shape.length !== 2) fail('sinusoidal init needs a shape [rows, cols]', shapeText(shape));
    if (!(Number.isFinite(init.noise) && init.noise >= 0)) fail('noise must be finite and at least 0', init.noise);
  } else if (init.kind === 'rotary') {
    checkRotary(fail, init, shape);
  } else if (init.kind === 'constant') {
    if (!Number.isFinite(init.value)) fail('value must be finite', init.value);
  } else if (init.kind !== 'zeros' && init.kind !== 'ones') {
    fail('init.kind must be zeros, ones, constant, normal, uniform, sinusoidal, rotary or data', (init as { kind: unknown }).kind);
  }
  if (dtype === 'i32' && ['normal', 'uniform', 'sinusoidal'].includes(init.kind))
    fail('an i32 variable cannot have random init', init.kind);
  if (dtype === 'i32' && init.kind === 'rotary') fail('an i32 variable cannot be a rotary table', init.kind);
}

function checkRotary(
  fail: (rule: string, got: unknown) => never,
  { base, scaling }: Init & { kind: 'rotary' },
  shape: readonly number[],
): void {
  if (shape.length !== 2 || shape[1] % 2 !== 0) fail('rotary init needs a shape [rows, an even number]', shapeText(shape));
  if (!(Number.isFinite(base) && base > 1)) fail('base must be finite and above 1', base);
  if (scaling === undefined) return;
  const positive = (name: string, value: number): void => {
    if (!(Number.isFinite(value) && value > 0)) fail(`scaling.${name} must be finite and above 0`, value);
  };
  if (scaling.kind !== 'linear' && scaling.kind !== 'llama3')
    fail('scaling.kind must be linear or llama3', (scaling as { kind: unknown }).kind);
  positive('factor', scaling.factor);
  if (scaling.kind === 'linear') return;
  positive('lowFrequencyFactor', scaling.lowFrequencyFactor);
  positive('originalPositions', scaling.originalPositions);
  if (!(scaling.highFrequencyFactor > scaling.lowFrequencyFactor))
    fail('scaling.highFrequencyFactor must be above lowFrequencyFactor', scaling.highFrequencyFactor);
  positive('highFrequencyFactor', scaling.highFrequencyFactor);
}

/** A number given at each run under a name (f64 in the engine); usable only as an attribute of ops. */
export interface ScalarInput {
  readonly kind: 'scalar';
  readonly name: string;
}
/** A scalar input or its name. */
export type ScalarName = ScalarInput | string;

/** A number given at each run. @throws INVALID_OPTION when the name is empty. */
export function scalarInput(name: string): ScalarInput {
  if (typeof name !== 'string' || name === '')
    throw new FerroError('INVALID_OPTION', `scalarInput: name must not be empty, got ${JSON.stringify(name)}`);
  return { kind: 'scalar', name };
}

/** The name of a scalar input. */
export function scalarName(scalar: ScalarName): string {
  return typeof scalar === 'string' ? scalar : scalar.name;
}

/** What an input leaf carries. */
export interface InputAttrs {
  readonly name: string;
}
/** What a constant leaf carries. */
export interface ConstantAttrs {
  readonly data: Float32Array | Int32Array;
}

function leaf<A>(name: string): OpDefinition<A> {
  const wrong = (): never => {
    throw new FerroError('BAD_PROGRAM', `${name}: a leaf of the graph is not lowered`);
  };
  return { name, infer: wrong, lower: wrong };
}

/** The leaf that reads a variable; its attributes are the variable itself. */
export const variableOp: OpDefinition<Variable> = leaf<Variable>('variable');
/** The leaf that reads an array given at each run. */
export const inputOp: OpDefinition<InputAttrs> = leaf<InputAttrs>('input');
/** The leaf that reads fixed data owned by the program. */
export const constantOp: OpDefinition<ConstantAttrs> = leaf<ConstantAttrs>('constant');

/** An array given at each run. `shape` may hold extents. @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION. */
export function input(name: string, shape: Shape, dtype: DType = 'f32'): Tensor {
  if (typeof name !== 'string' || name === '')
    throw new FerroError('INVALID_OPTION', `input: name must not be empty, got ${JSON.stringify(name)}`);
  checkShape(`input "${name}"`, shape);
  numel(shape);
  if (dtype !== 'f32' && dtype !== 'i32')
    throw new FerroError('INVALID_DTYPE', `input "${name}": dtype must be f32 or i32, got ${phrase(dtype)}`);
  return new Node(inputOp, [], { name }, [{ shape: [...shape], dtype }]).outputs[0];
}

/** Fixed data (copied). A Float32Array or an array of numbers gives f32, an Int32Array gives i32. @throws INVALID_SHAPE when the length is not the shape's product. */
export function constant(data: Float32Array | Int32Array | readonly number[], shape: readonly number[] = [data.length]): Tensor {
  checkShape('constant', shape);
  if (data.length !== maxNumel(shape)) {
    throw new FerroError('INVALID_SHAPE', `constant: shape ${shapeText(shape)} needs ${maxNumel(shape)} elements, got ${data.length}`);
  }
  const copy = data instanceof Int32Array ? data.slice() : Float32Array.from(data);
  return new Node(constantOp, [], { data: copy }, [{ shape: [...shape], dtype: copy instanceof Int32Array ? 'i32' : 'f32' }]).outputs[0];
}

/** The variable a tensor reads, if it is such a leaf. */
export function variableOf(tensor: Tensor): Variable | undefined {
  return tensor.node.op.name === variableOp.name ? (tensor.node.attrs as Variable) : undefined;
}
