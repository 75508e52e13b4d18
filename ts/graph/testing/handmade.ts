// For tests: programs written instruction by instruction, without a graph. What `compile` would never make (a trap, endless work, wrong sizes) can be
// made here. It repeats the format of docs/architecture.md section 2 on purpose, independently of the encoder, and checks nothing.
import { type Dim, dimExtents, dimFactor, dimMax, type Extent, type Shape } from '../dims';
import { OPCODES, type OpcodeName } from '../opcodes';
import { type Binding, DTYPE_CODES, NONE, PROGRAM_MAGIC, PROGRAM_VERSION, type Program, type ProgramPort } from '../program';
import type { DType, Variable } from '../tensor';

const bits = new DataView(new ArrayBuffer(4));

function f32Bits(value: number): number {
  bits.setFloat32(0, value);
  return bits.getUint32(0);
}

/** A program under construction. Operands are numbers that the methods return; every instruction is a stage of its own. */
export class Handmade {
  readonly #name: string;
  readonly #extents: readonly Extent[];
  readonly #scalars: readonly string[];
  readonly #bindings: Binding[] = [];
  readonly #banks: number[] = [];
  readonly #operands: number[][] = [];
  readonly #slots: number[][] = [];
  readonly #instructions: number[][] = [];
  readonly #inputs: ProgramPort[] = [];
  readonly #outputs: ProgramPort[] = [];

  constructor(name: string, options: { extents?: readonly Extent[]; scalars?: readonly string[] } = {}) {
    this.#name = name;
    this.#extents = options.extents ?? [];
    this.#scalars = options.scalars ?? [];
  }

  /** An operand that is a variable. */
  variable(variable: Variable): number {
    const sizeBytes = variable.shape.reduce((product, dim) => product * dim, 4);
    return this.#bind({ kind: 'variable', variable, written: true }, sizeBytes, variable.dtype);
  }

  /** An operand that a run gives. */
  input(name: string, shape: Shape, dtype: DType = 'f32'): number {
    this.#inputs.push({ name, binding: this.#bindings.length, shape, dtype });
    return this.#buffer(shape, dtype);
  }

  /** An operand that a run gives back. */
  output(name: string, shape: Shape, dtype: DType = 'f32'): number {
    this.#outputs.push({ name, binding: this.#bindings.length, shape, dtype });
    return this.#buffer(shape, dtype);
  }

  /** An operand that is part of the program. */
  constant(data: Float32Array | Int32Array): number {
    return this.#bind({ kind: 'buffer', sizeBytes: data.byteLength, data }, data.byteLength, data instanceof Int32Array ? 'i32' : 'f32');
  }

  /** An operand in an arena bank of its own. */
  arena(elements: number): number {
    this.#banks.push(elements * 4);
    return this.#operands.push([0, this.#banks.length - 1, 0, elements * 4, DTYPE_CODES.f32]) - 1;
  }

  /** Adds an instruction. `params`: numbers, or the name of a scalar where the opcode wants one. */
  add(
    opcode: OpcodeName,
    operands: readonly (number | undefined)[],
    dims: readonly Dim[],
    params: readonly (number | string)[] = [],
  ): this {
    const { code, params: specs } = OPCODES[opcode];
    const encoded = params.map((value, i) => {
      if (typeof value === 'string') return this.#scalars.indexOf(value);
      return specs[i].type === 'f32' ? f32Bits(value) : value >>> 0;
    });
    const slots = dims.map((dim) => this.#slot(dim));
    this.#instructions.push([code, operands.length, slots.length, encoded.length, ...operands.map((o) => o ?? NONE), ...slots, ...encoded]);
    return this;
  }

  /** The finished program. */
  program(): Program {
    const bindingBytes = this.#operands.filter(([space]) => space === 1).map(([, , , sizeBytes]) => sizeBytes);
    const body = [
      ...this.#extents.map(({ max }) => max),
      ...this.#slots.flat(),
      ...this.#banks,
      ...bindingBytes,
      ...this.#operands.flat(),
      ...this.#instructions.flat(),
      ...this.#instructions.flatMap((_, i) => [i, 1]),
    ];
    const counts = [
      this.#extents,
      this.#scalars,
      this.#slots,
      this.#banks,
      this.#bindings,
      this.#operands,
      this.#instructions,
      this.#instructions,
    ];
    const header = [PROGRAM_MAGIC, PROGRAM_VERSION, ...counts.map((list) => list.length)];
    const arenaBytes = this.#banks.reduce((sum, bytes) => sum + bytes, 0);
    return {
      name: this.#name,
      words: Uint32Array.from([...header, header.length + 1 + body.length, ...body]),
      extents: this.#extents.map(({ name, max }) => ({ name, max })),
      scalars: [...this.#scalars],
      bindings: this.#bindings,
      inputs: this.#inputs,
      outputs: this.#outputs,
      plan: {
        arenaBytes,
        bankBytes: this.#banks,
        ioBytes: 0,
        flops: 0,
        instructions: this.#instructions.length,
        stages: this.#instructions.length,
      },
    };
  }

  #buffer(shape: Shape, dtype: DType): number {
    const sizeBytes = shape.reduce<number>((product, dim) => product * dimMax(dim), 4);
    return this.#bind({ kind: 'buffer', sizeBytes }, sizeBytes, dtype);
  }

  #bind(binding: Binding, sizeBytes: number, dtype: DType): number {
    this.#bindings.push(binding);
    return this.#operands.push([1, this.#bindings.length - 1, 0, sizeBytes, DTYPE_CODES[dtype]]) - 1;
  }

  #slot(dim: Dim): number {
    const indices = dimExtents(dim).map((extent) => this.#extents.indexOf(extent));
    return this.#slots.push([dimFactor(dim), ...[0, 1, 2].map((i) => indices[i] ?? NONE)]) - 1;
  }
}
