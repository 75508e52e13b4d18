// An optimizer's state for one bound module: its variables by name and how many updates were done. Exported and imported whole, for checkpoints.

import type { BoundModule } from '../bind';
import type { Numbers } from '../engine';
import { FerroError } from '../errors';
import type { Variable } from '../graph';
import type { Optimizer, OptimizerState } from '../optim';

/** Everything needed to go on bit for bit, beside the parameters. */
export interface SavedOptimizer {
  /** Updates done. */
  updates: number;
  /** Numbers and shapes by variable name: `optimizer.m.<parameter>` and so on. */
  tensors: Map<string, { data: Float32Array; shape: readonly number[] }>;
}

/** The optimizer's variables. Allocated when a parameter is first trained (or imported), kept while it is frozen. */
export class OptimizerVariables {
  /** Updates done so far: the clock of the bias corrections. */
  updates = 0;
  readonly #byParameter = new Map<string, OptimizerState>();

  constructor(
    readonly bound: BoundModule,
    readonly optimizer: Optimizer,
  ) {}

  /** The state of one parameter, made and allocated if there is none. */
  async of(name: string, parameter: Variable): Promise<OptimizerState> {
    const known = this.#byParameter.get(name);
    if (known !== undefined) return known;
    const state = this.optimizer.stateFor(name, parameter);
    await this.bound.allocate(Object.values(state));
    this.#byParameter.set(name, state);
    return state;
  }

  /** All variables by their names. */
  variables(): Map<string, Variable> {
    return new Map(
      [...this.#byParameter.values()].flatMap((state) => Object.values(state).map((variable) => [variable.name, variable] as const)),
    );
  }

  /** Copies of everything. */
  async export(): Promise<SavedOptimizer> {
    const entries = await Promise.all(
      Array.from(
        this.variables(),
        async ([name, variable]) =>
          [name, { data: f32(await this.bound.read(variable, 'optimizer.export')), shape: variable.shape }] as const,
      ),
    );
    return { updates: this.updates, tensors: new Map(entries) };
  }

  /**
   * Puts back what `export` gave. All is checked before anything is written.
   * @throws CHECKPOINT_MISMATCH naming tensors that are missing, left over or of another shape
   */
  async import(saved: SavedOptimizer): Promise<void> {
    if (!Number.isSafeInteger(saved.updates) || saved.updates < 0) {
      throw new FerroError('INVALID_CHECKPOINT', `optimizer.import: "updates" must be an integer from 0 on, got ${String(saved.updates)}`);
    }
    const wanted = this.#expected(saved);
    const names = new Map<string, string>(); // tensor name → parameter name
    for (const [parameter, variables] of wanted) for (const variable of variables) names.set(variable.name, parameter);
    const unknown = [...saved.tensors.keys()].filter((name) => !names.has(name));
    if (unknown.length > 0) throw mismatch('only tensors of this model and optimizer', unknown);
    const wrong = [...wanted.values()].flat().filter((variable) => !fits(variable, saved.tensors.get(variable.name)));
    if (wrong.length > 0)
      throw mismatch(
        'every tensor in its shape',
        wrong.map(({ name, shape }) => `${name} [${shape}]`),
      );

    for (const parameter of wanted.keys()) await this.of(parameter, this.bound.parameters.get(parameter)!.variable);
    const variables = this.variables();
    for (const [name, { data }] of saved.tensors) await this.bound.write(variables.get(name)!, data, 'optimizer.import');
    this.updates = saved.updates;
  }

  /** Frees everything. */
  async close(): Promise<void> {
    const variables = [...this.variables().values()];
    this.#byParameter.clear();
    await this.bound.release(variables);
  }

  /** For each parameter that the saved state mentions, or that has a state here, the variables it must have. */
  #expected(saved: SavedOptimizer): Map<string, Variable[]> {
    const expected = new Map<string, Variable[]>();
    for (const [name, { variable }] of this.bound.parameters) {
      const variables = Object.values(this.#byParameter.get(name) ?? this.optimizer.stateFor(name, variable));
      if (this.#byParameter.has(name) || variables.some((v) => saved.tensors.has(v.name))) expected.set(name, variables);
    }
    return expected;
  }
}

function fits(variable: Variable, saved: { data: Float32Array; shape: readonly number[] } | undefined): boolean {
  return saved !== undefined && saved.data.length === variable.size && saved.shape.join() === variable.shape.join();
}

function f32(numbers: Numbers): Float32Array {
  return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
}

function mismatch(rule: string, got: readonly string[]): FerroError {
  return new FerroError(
    'CHECKPOINT_MISMATCH',
    `optimizer.import: the state must hold ${rule}, got wrong or missing ${got.slice(0, 5).join(', ')}`,
  );
}
