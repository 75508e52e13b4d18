// An optimizer's state for one bound module: its variables and how many updates were done. Exported and imported whole, for checkpoints; how it lies
// in a file is in ts/io.

import type { BoundModule } from '../bind';
import { FerroError } from '../errors';
import type { Variable } from '../graph';
import type { TensorSource } from '../io';
import type { OptimizerState as SavedOptimizer } from '../io/trainingState';
import type { Optimizer, OptimizerState } from '../optim';

/** Elements read at a time: 4 MiB. */
const PIECE_ELEMENTS = 1 << 20;

/** The optimizer's variables. Allocated when a parameter is first trained (or imported), kept while it is frozen. */
export class OptimizerVariables {
  /** Updates done so far: the clock of the bias corrections. */
  updates = 0;
  readonly #byParameter = new Map<string, OptimizerState>();
  readonly #owners = new Map<string, Variable>();

  constructor(
    readonly bound: BoundModule,
    readonly optimizer: Optimizer,
  ) {}

  /** The states of parameters by name, made and allocated where there are none. */
  async of(parameters: readonly (readonly [name: string, parameter: Variable])[]): Promise<Map<string, OptimizerState>> {
    const states = new Map<string, OptimizerState>();
    const made = new Map<string, OptimizerState>();
    for (const [name, parameter] of parameters) {
      const known = await this.#known(name, parameter);
      if (known === undefined) made.set(name, this.optimizer.stateFor(name, parameter));
      states.set(name, known ?? made.get(name)!);
    }
    await this.bound.allocate([...made.values()].flatMap((state) => Object.values(state)));
    for (const [name, state] of made) this.#byParameter.set(name, state);
    for (const [name, parameter] of parameters) this.#owners.set(name, parameter);
    return states;
  }

  /** The state of a parameter; what an earlier one of its name had (an adapter that was removed) is freed. */
  async #known(name: string, parameter: Variable): Promise<OptimizerState | undefined> {
    const known = this.#byParameter.get(name);
    if (known === undefined || this.#owners.get(name) === parameter) return known;
    this.#byParameter.delete(name);
    await this.bound.release(Object.values(known));
    return undefined;
  }

  /** Frees the states of parameters that are no more (an adapter that was removed). */
  async forget(gone: (parameter: Variable) => boolean): Promise<void> {
    for (const [name, owner] of [...this.#owners]) {
      if (!gone(owner)) continue;
      const state = this.#byParameter.get(name) ?? {};
      this.#owners.delete(name);
      this.#byParameter.delete(name);
      await this.bound.release(Object.values(state));
    }
  }

  /** All variables, named `optimizer.<slot>.<parameter>`. */
  get variables(): Variable[] {
    return [...this.#byParameter.values()].flatMap((state) => Object.values(state));
  }

  /** Everything, its values read from the engine piece by piece when they are written. */
  export(): SavedOptimizer<TensorSource> {
    const slots = new Map<string, Map<string, TensorSource>>();
    for (const [parameter, state] of this.#byParameter) {
      for (const [slot, variable] of Object.entries(state)) {
        const values = slots.get(slot) ?? new Map<string, TensorSource>();
        slots.set(slot, values.set(parameter, this.#source(variable)));
      }
    }
    return { kind: this.optimizer.kind, step: this.updates, slots };
  }

  #source(variable: Variable): TensorSource {
    const { bound } = this;
    return {
      dtype: 'F32',
      shape: variable.shape,
      async *pieces() {
        for (let start = 0; start < variable.size; start += PIECE_ELEMENTS) {
          const end = Math.min(start + PIECE_ELEMENTS, variable.size);
          const { buffer, byteOffset, byteLength } = await bound.read(variable, 'optimizer.export', { start, end });
          yield new Uint8Array(buffer, byteOffset, byteLength);
        }
      },
    };
  }

  /**
   * Puts back what `export` gave, read again from a file. All is checked before anything is written.
   * @throws CHECKPOINT_MISMATCH for another optimizer's state, or naming tensors that are missing, left over or of another shape
   */
  async import(saved: SavedOptimizer): Promise<void> {
    if (saved.kind !== this.optimizer.kind) throw mismatch(`be of the optimizer ${this.optimizer.kind}`, saved.kind);
    const wanted = this.#wanted(saved);
    for (const [slot, values] of saved.slots) {
      for (const [name, { shape, data }] of values) {
        const variable = wanted.get(name)?.[slot];
        if (variable === undefined) throw mismatch('hold only tensors of this model and optimizer', `${slot}/${name}`);
        const fits = data instanceof Float32Array && data.length === variable.size && shape.join() === variable.shape.join();
        if (!fits) throw mismatch(`hold ${slot}/${name} as f32 [${variable.shape}]`, `[${shape}]`);
      }
    }
    for (const [name, state] of wanted) {
      for (const slot of Object.keys(state)) {
        if (!saved.slots.get(slot)?.has(name)) throw mismatch('be complete', `none for ${slot}/${name}`);
      }
    }
    const states = await this.of(Array.from(wanted.keys(), (name) => [name, this.bound.trainedParameters.get(name)!.variable] as const));
    for (const [name, state] of states) {
      for (const [slot, variable] of Object.entries(state)) {
        await this.bound.write(variable, saved.slots.get(slot)!.get(name)!.data, 'optimizer.import');
      }
    }
    this.updates = saved.step;
  }

  /** Frees everything. */
  async close(): Promise<void> {
    const { variables } = this;
    this.#byParameter.clear();
    this.#owners.clear();
    await this.bound.release(variables);
  }

  /** The states that must come: of every parameter that the saved one mentions or that has one here. Nothing is allocated. */
  #wanted(saved: SavedOptimizer): Map<string, OptimizerState> {
    const wanted = new Map<string, OptimizerState>();
    const mentioned = new Set([...saved.slots.values()].flatMap((values) => [...values.keys()]));
    for (const [name, { variable }] of this.bound.trainedParameters) {
      const known = this.#owners.get(name) === variable ? this.#byParameter.get(name) : undefined;
      if (known !== undefined || mentioned.has(name)) wanted.set(name, known ?? this.optimizer.stateFor(name, variable));
    }
    return wanted;
  }
}

function mismatch(rule: string, got: string): FerroError {
  return new FerroError('CHECKPOINT_MISMATCH', `optimizer: the saved state must ${rule}, got ${got}`);
}
