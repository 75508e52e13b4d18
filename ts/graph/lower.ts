// From nodes to instructions: asks every node's op to lower itself, and keeps which buffer holds which tensor.
import { FerroError } from '../errors';
import { dimMax, maxNumel, type Shape, shapeEquals, shapeText } from './dims';
import { type BindingSource, Buffer, type Instruction, isWhole, makeInstruction } from './ir';
import type { LowerContext, Storage, View } from './op';
import { BANK_LIMIT_BYTES, DTYPE_BYTES } from './program';
import { q8Bytes } from './q8';
import {
  bf16Bytes,
  type ConstantAttrs,
  constantOp,
  type InputAttrs,
  inputOp,
  isFrozenType,
  type Node,
  type StorageType,
  type Tensor,
  type Variable,
  variableOp,
} from './tensor';

/** Bytes of a tensor at the maximum extents. */
export function tensorBytes(shape: Shape, dtype: StorageType): number {
  if (!isFrozenType(dtype)) return maxNumel(shape) * DTYPE_BYTES[dtype];
  return (dtype === 'q8' ? q8Bytes : bf16Bytes)(dimMax(shape[0]), dimMax(shape[1]));
}

/** A graph being lowered. */
export class Lowering {
  readonly instructions: Instruction[] = [];
  readonly #views = new Map<Tensor, View>();
  readonly #variables = new Map<Variable, Buffer>();
  readonly #inputs = new Map<string, Buffer>();
  readonly #versions = new Map<Variable, number>();

  /** Lowers nodes given in order of creation. */
  lower(nodes: readonly Node[]): void {
    for (const node of nodes) {
      if (node.op === variableOp || node.op === inputOp || node.op === constantOp) this.#leaf(node);
      else node.op.lower(this.#context(node));
    }
  }

  /** The buffer of a tensor already lowered. */
  view(tensor: Tensor): View {
    const view = this.#views.get(tensor);
    if (view === undefined)
      throw new FerroError('BAD_PROGRAM', `${tensor.node.op.name}: every output must be lowered, got none for output ${tensor.output}`);
    return view;
  }

  /** A variable's buffer as it is after all writes so far. */
  current(variable: Variable): View {
    return this.#variableView(variable, this.#versions.get(variable) ?? 0);
  }

  /** A variable's buffer as it is after one more write. */
  write(variable: Variable): View {
    const version = (this.#versions.get(variable) ?? 0) + 1;
    this.#versions.set(variable, version);
    return this.#variableView(variable, version);
  }

  /** A new buffer of a binding. */
  bind(source: BindingSource, shape: Shape, dtype: StorageType, label: string): View {
    return this.#whole(new Buffer(checkBytes(label, shape, dtype), label, source), dtype);
  }

  /** A new arena buffer. */
  temporary(shape: Shape, dtype: StorageType, label: string): View {
    return this.#whole(new Buffer(checkBytes(label, shape, dtype), label), dtype);
  }

  /** The inputs used, by name. */
  get inputs(): ReadonlyMap<string, Buffer> {
    return this.#inputs;
  }

  emit(...args: Parameters<typeof makeInstruction>): Instruction {
    const instruction = makeInstruction(...args);
    this.instructions.push(instruction);
    return instruction;
  }

  #whole(storage: Storage, dtype: StorageType, version = 0): View {
    return { storage, offset: 0, bytes: storage.bytes, dtype, version };
  }

  #variableView(variable: Variable, version: number): View {
    let buffer = this.#variables.get(variable);
    if (buffer === undefined) {
      const label = `variable "${variable.name}"`;
      buffer = new Buffer(checkBytes(label, variable.shape, variable.dtype), label, { kind: 'variable', variable });
      this.#variables.set(variable, buffer);
    }
    return this.#whole(buffer, variable.dtype, version);
  }

  #leaf(node: Node): void {
    const [tensor] = node.outputs;
    const { shape, dtype } = tensor;
    if (node.op === variableOp) {
      this.#views.set(tensor, this.#variableView(node.attrs as Variable, 0));
    } else if (node.op === constantOp) {
      this.#views.set(tensor, this.bind({ kind: 'constant', data: (node.attrs as ConstantAttrs).data }, shape, dtype, 'constant'));
    } else {
      const { name } = node.attrs as InputAttrs;
      let buffer = this.#inputs.get(name);
      if (buffer === undefined) {
        const label = `input "${name}"`;
        buffer = new Buffer(checkBytes(label, shape, dtype), label, { kind: 'input', name, shape, dtype });
        this.#inputs.set(name, buffer);
      }
      const first = buffer.source as BindingSource & { kind: 'input' };
      if (!shapeEquals(first.shape, shape) || first.dtype !== dtype) {
        const got = `${first.dtype}${shapeText(first.shape)} and ${tensor}`;
        throw new FerroError('INVALID_SHAPE', `compile: inputs named "${name}" must have one shape and dtype, got ${got}`);
      }
      this.#views.set(tensor, this.#whole(buffer, dtype));
    }
  }

  #context(node: Node): LowerContext<unknown> {
    return {
      attrs: node.attrs,
      inputs: node.inputs,
      outputs: node.outputs,
      view: (tensor) => this.view(tensor),
      out: (index = 0) => {
        const tensor = node.outputs[index];
        const view = this.#views.get(tensor) ?? this.temporary(tensor.shape, tensor.dtype, node.op.name);
        this.#views.set(tensor, view);
        return view;
      },
      temporary: (shape, dtype = 'f32') => this.temporary(shape, dtype, `${node.op.name} temporary`),
      alias: (index, view) => {
        this.#views.set(node.outputs[index], view);
      },
      write: (variable) => this.write(variable),
      reserveLead: (view, bytes) => {
        if (view.storage.place !== 'arena' || !isWhole(view)) return false;
        view.storage.lead = Math.max(view.storage.lead, bytes);
        return true;
      },
      emit: (...args) => {
        this.emit(...args).recomputed = node.recomputed;
      },
    };
  }
}

function checkBytes(label: string, shape: Shape, dtype: StorageType): number {
  const bytes = tensorBytes(shape, dtype);
  if (bytes > BANK_LIMIT_BYTES) {
    throw new FerroError(
      'OUT_OF_MEMORY',
      `compile: one buffer must stay below 1 GiB, got ${bytes} bytes for ${dtype}${shapeText(shape)} of ${label}`,
    );
  }
  return bytes;
}
