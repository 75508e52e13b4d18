// A parameter as users hold it: a named variable together with the engine that has its numbers.

import type { ElementRange, Numbers, WriteOptions } from '../engine';
import { FerroError } from '../errors';
import { dequantizeQ8, isFrozenType, unpackQ8, type Variable } from '../graph';

/** What a parameter needs from the bound module it belongs to. */
export interface ParameterHome {
  read(variable: Variable, op: string, range?: ElementRange): Promise<Numbers>;
  write(variable: Variable, data: Numbers, op: string, options?: WriteOptions): Promise<void>;
  readGradient(variable: Variable, op: string): Promise<Float32Array | null>;
}

/** One parameter of a bound module. */
export class Parameter {
  readonly #home: ParameterHome;
  /** The variable it stands for, for programs of one's own. */
  readonly variable: Variable;

  constructor(
    home: ParameterHome,
    /** Path of fields, for example `transformer.h.0.attn.c_attn.weight`. */
    readonly name: string,
    variable: Variable,
  ) {
    this.#home = home;
    this.variable = variable;
  }

  /** Sizes, outermost axis first. */
  get shape(): readonly number[] {
    return this.variable.shape;
  }

  /** The number of elements. */
  get size(): number {
    return this.variable.size;
  }

  /** False freezes it: training neither computes its gradient nor changes it. Read at the next training step. */
  get trainable(): boolean {
    return this.variable.trainable;
  }

  /** @throws QUANTIZED_MODEL for weights in int8 blocks or bf16, which are frozen */
  set trainable(value: boolean) {
    if (value && isFrozenType(this.variable.dtype))
      throw new FerroError(
        'QUANTIZED_MODEL',
        `parameter.trainable: weights in int8 blocks or bf16 are frozen, got true for "${this.name}"`,
      );
    this.variable.trainable = value;
  }

  /**
   * A copy of its numbers, row-major; those of bf16 weights are f32. Weights in int8 blocks come whole, as the f32 numbers [rows, columns] that they stand for.
   * @param range only the elements `start` to `end` − 1
   * @throws INVALID_SHAPE for a range outside it; MODEL_CLOSED, ENGINE_CLOSED, ENGINE_DIED
   */
  async data(range?: ElementRange): Promise<Numbers> {
    if (this.variable.dtype !== 'q8') return this.#home.read(this.variable, 'parameter.data', range);
    if (range !== undefined)
      throw new FerroError('QUANTIZED_MODEL', `parameter.data: weights in int8 blocks are read whole, got a range of "${this.name}"`);
    const words = (await this.#home.read(this.variable, 'parameter.data')) as Int32Array;
    const [rows, columns] = this.shape;
    return dequantizeQ8(unpackQ8(words, rows, columns));
  }

  /**
   * A copy of the last training step's gradient of the mean loss, before clipping; null before the first step and when frozen.
   * @throws MODEL_CLOSED, ENGINE_CLOSED, ENGINE_DIED
   */
  grad(): Promise<Float32Array | null> {
    return this.#home.readGradient(this.variable, 'parameter.grad');
  }

  /**
   * Replaces its numbers (copied); bf16 weights are rounded to the nearest, ties to even.
   * @param options.start replaces only as many as there are in `data`, from that element on
   * @param options.give moves the array to the engine instead of copying it
   * @throws QUANTIZED_MODEL for weights in int8 blocks; INVALID_DTYPE unless the array is of its dtype, INVALID_SHAPE unless it has `size` elements (or fits from `start` on); MODEL_CLOSED,
   *   ENGINE_CLOSED, ENGINE_DIED
   */
  async set(data: Numbers, options?: WriteOptions): Promise<void> {
    if (this.variable.dtype === 'q8')
      throw new FerroError('QUANTIZED_MODEL', `parameter.set: weights in int8 blocks are set by loading a model, got "${this.name}"`);
    return this.#home.write(this.variable, data, 'parameter.set', options);
  }
}
