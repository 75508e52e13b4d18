// A parameter as users hold it: a named variable together with the engine that has its numbers.

import type { ElementRange, Numbers, WriteOptions } from '../engine';
import type { Variable } from '../graph';

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

  set trainable(value: boolean) {
    this.variable.trainable = value;
  }

  /**
   * A copy of its numbers, row-major.
   * @param range only the elements `start` to `end` − 1
   * @throws INVALID_SHAPE for a range outside it; MODEL_CLOSED, ENGINE_CLOSED, ENGINE_DIED
   */
  data(range?: ElementRange): Promise<Numbers> {
    return this.#home.read(this.variable, 'parameter.data', range);
  }

  /**
   * A copy of the last training step's gradient of the mean loss, before clipping; null before the first step and when frozen.
   * @throws MODEL_CLOSED, ENGINE_CLOSED, ENGINE_DIED
   */
  grad(): Promise<Float32Array | null> {
    return this.#home.readGradient(this.variable, 'parameter.grad');
  }

  /**
   * Replaces its numbers (copied).
   * @param options.start replaces only as many as there are in `data`, from that element on
   * @param options.give moves the array to the engine instead of copying it
   * @throws INVALID_DTYPE unless the array is of its dtype, INVALID_SHAPE unless it has `size` elements (or fits from `start` on); MODEL_CLOSED,
   *   ENGINE_CLOSED, ENGINE_DIED
   */
  set(data: Numbers, options?: WriteOptions): Promise<void> {
    return this.#home.write(this.variable, data, 'parameter.set', options);
  }
}
