// A module bound to an engine: its variables have memory there, its forward can be run, its parameters read and set. It trains nothing (ts/train) and
// generates nothing (ts/generate); both keep what they allocate here, so that one close() frees it all.

import type { ElementRange, EngineHost, Numbers, Outputs, ProgramHandle, WriteOptions } from '../engine';
import { FerroError, show, throwIfAborted } from '../errors';
import { compile, type Program, Tensor, type Variable } from '../graph';
import { type Batch, batchInputs, batchSignature, type HostTensor, type Module, nameModules } from '../nn';
import { Parameter, type ParameterHome } from './parameter';
import { ProgramCache } from './programCache';

/** What `forward` takes: tensors in the order of the module's own arguments, or one record of them. */
export type ForwardInputs = HostTensor | readonly HostTensor[] | Batch;

type Returned<M extends Module> = ReturnType<M['forward']>;

/** What `forward` gives: a tensor where the module returns one, a record of them where it returns named activations. */
export type ForwardOutputs<M extends Module> =
  Returned<M> extends Tensor ? HostTensor : Returned<M> extends object ? { [K in keyof Returned<M>]: HostTensor } : HostTensor | Batch;

/** Options of `bind`. */
export interface BindOptions {
  /** Seed of the initial values: an integer from 0 to 2^53 − 1. Default 42. */
  seed?: number;
  signal?: AbortSignal;
  /** The values come from elsewhere: variables are zero at first, without drawing random numbers that nobody will see. */
  empty?: boolean;
}

/** What stands beside a module's own parameters for a time: an adapter. */
export interface Variant {
  /** Names the graph that the module builds now; never used again for another one. */
  readonly key: string;
  /** What a training step trains instead of the module's own parameters. */
  readonly parameters: ReadonlyMap<string, Parameter>;
}

// One program per shape of the inputs. Ragged ends and a handful of prompt lengths fit; a thousand shapes do not pile up.
const MAX_PROGRAMS = 32;

/**
 * Gives a module's variables memory and initial values in an engine.
 * @throws INVALID_OPTION for something that is no module; WRONG_ENGINE when a variable lives in another engine; OUT_OF_MEMORY; ENGINE_CLOSED
 */
export async function bind<M extends Module>(host: EngineHost, module: M, options: BindOptions = {}): Promise<BoundModule<M>> {
  throwIfAborted(options.signal, 'bind');
  const seed = options.seed ?? 42;
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new FerroError('INVALID_OPTION', `bind: "seed" must be an integer from 0 to 2^53 - 1, got ${show(options.seed)}`);
  }
  const variables = nameModules(module);
  const bound = new BoundModule(host, module, variables, seed);
  // A variable that another bound module on this engine has brought here is shared, not allocated twice; its owner frees it.
  await bound.allocate(
    [...variables.values()].filter((variable) => !host.owns(variable)),
    options.signal,
    options.empty,
  );
  return bound;
}

/** A module with memory in an engine. Made by `bind`. */
export class BoundModule<M extends Module = Module> implements ParameterHome {
  /** Parameters by name, in the order of the module's fields. */
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly #owned = new Set<Variable>();
  readonly #handles = new Set<ProgramHandle>();
  readonly #programs: ProgramCache;
  #gradients: { of: ReadonlyMap<Variable, Variable>; count: Variable } | undefined;
  #variant: Variant | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    readonly host: EngineHost,
    readonly module: M,
    variables: ReadonlyMap<string, Variable>,
    readonly seed: number,
  ) {
    const parameters = [...variables].filter(([, variable]) => !variable.derived);
    this.parameters = new Map(parameters.map(([name, variable]) => [name, new Parameter(this, name, variable)]));
    this.#programs = new ProgramCache(host, MAX_PROGRAMS);
  }

  /** True once `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** @throws MODEL_CLOSED after `close()` */
  assertOpen(op: string): void {
    if (this.closed) throw new FerroError('MODEL_CLOSED', `${op}: the model must be open, got one that was closed`);
  }

  /** What a training step may train: the module's parameters, or those of the variant in their place. */
  get trainedParameters(): ReadonlyMap<string, Parameter> {
    return this.#variant?.parameters ?? this.parameters;
  }

  /** Names the graph that the module builds now ('': its own). Programs compiled under another name are not its programs. */
  get variantKey(): string {
    return this.#variant?.key ?? '';
  }

  /** Names what the module computes with now, its graph and the values of its parameters: another text once they have been written, trained or replaced. */
  get weightsKey(): string {
    const variables = [this.parameters, ...(this.#variant === undefined ? [] : [this.#variant.parameters])].flatMap((each) => [
      ...each.values(),
    ]);
    return `${this.variantKey} ${this.host.lastChange(variables.map(({ variable }) => variable))}`;
  }

  /** Says that the module builds another graph from now on; undefined: its own. Memory is the caller's business. */
  setVariant(variant: Variant | undefined): void {
    this.#variant = variant;
  }

  /**
   * Runs the module's `forward` in evaluation mode (no dropout) on numbers. Compiled once per shape of the inputs.
   *
   * A tensor or an array of tensors is passed as the arguments of `forward`; a record of tensors as its single argument. A tensor that `forward`
   * returns comes back as { data, shape }; a record of tensors (named activations) as a record of these.
   * @throws INVALID_SHAPE, INVALID_DTYPE for inputs that do not fit; MODEL_CLOSED; what running a program throws
   */
  async forward(inputs: ForwardInputs, options: { signal?: AbortSignal } = {}): Promise<ForwardOutputs<M>> {
    const { batch, record } = nameInputs(inputs);
    const build = (symbols: Record<string, Tensor>) => {
      const forward = this.module.forward as (...args: unknown[]) => unknown;
      return nameOutputs(record ? forward.call(this.module, symbols) : forward.call(this.module, ...Object.values(symbols)));
    };
    const results = await this.evaluate(record ? 'forward by name' : 'forward', build, batch, options);
    return (SINGLE in results ? results[SINGLE] : results) as ForwardOutputs<M>;
  }

  /**
   * Runs any graph over this module's variables in evaluation mode. Compiled once per `key` and shape of the inputs.
   * @param key names what `build` builds: the same key must mean the same graph
   */
  async evaluate(
    key: string,
    build: (inputs: Record<string, Tensor>) => Record<string, Tensor>,
    inputs: Batch,
    options: { signal?: AbortSignal } = {},
  ): Promise<Record<string, HostTensor>> {
    this.assertOpen(key);
    const symbols = batchInputs(inputs); // checks them too
    const compileNow = () => compile({ name: key, outputs: this.trace(false, () => build(symbols)), effects: [] });
    return this.#programs.use(`${this.variantKey}\n${key}\n${batchSignature(inputs)}`, compileNow, async (handle) => {
      const [outputs] = await this.host.run({ handle, inputs: programInputs(handle.program, inputs) }, options);
      return hostTensors(handle.program, outputs);
    });
  }

  /**
   * Builds graph with the module in training or evaluation mode, all paths named; the mode is put back afterwards.
   * @param options.gradientCheckpointing switches it on for all parts of the module; otherwise each is as it was set
   */
  trace<T>(training: boolean, build: () => T, options: { gradientCheckpointing?: boolean } = {}): T {
    nameModules(this.module);
    const modules = [...this.module.namedModules().values()];
    const before = modules.map(({ training, gradientCheckpointing }) => ({ training, gradientCheckpointing }));
    this.module.train(training);
    if (options.gradientCheckpointing) this.module.enableGradientCheckpointing();
    try {
      return build();
    } finally {
      modules.forEach((module, i) => {
        Object.assign(module, before[i]);
      });
    }
  }

  /** Gives variables memory here, freed by `close` (or before, by `release`). */
  async allocate(variables: readonly Variable[], signal?: AbortSignal, empty?: boolean): Promise<void> {
    this.assertOpen('allocate');
    if (variables.length === 0) return;
    await this.host.allocate(variables, { seed: this.seed, signal, empty });
    for (const variable of variables) this.#owned.add(variable);
    // Closed while it was allocating: close() could not know of these.
    if (this.closed) await this.#releaseOwned(variables);
    this.assertOpen('allocate');
  }

  /** Whether a variable has memory for this module's sake: its parameters, and what `allocate` gave memory and `release` has not freed. */
  has(variable: Variable): boolean {
    return this.#owned.has(variable) || [...this.parameters.values()].some((parameter) => parameter.variable === variable);
  }

  /** Frees variables that `allocate` gave memory. */
  async release(variables: readonly Variable[]): Promise<void> {
    await this.#releaseOwned(variables);
  }

  /**
   * Says that the module's variables in `replaced` have become others, which `allocate` gave memory and whoever calls this has filled. The old ones are freed, and what
   * was compiled for them here; programs that others hold refuse to run (UNBOUND_VARIABLE).
   */
  async replace(replaced: ReadonlyMap<Variable, Variable>): Promise<void> {
    const parameters = this.parameters as Map<string, Parameter>;
    for (const [name, { variable }] of parameters) {
      const other = replaced.get(variable);
      if (other !== undefined) parameters.set(name, new Parameter(this, name, other));
    }
    await this.#programs.clear();
    await this.release([...replaced.keys()]);
  }

  /** Loads a program for as long as it is needed: until `unload` or `close`. */
  async load(program: Program): Promise<ProgramHandle> {
    this.assertOpen(program.name);
    const handle = await this.host.load(program);
    this.#handles.add(handle);
    if (this.closed) await this.unload(handle);
    this.assertOpen(program.name);
    return handle;
  }

  /** Unloads a program that `load` loaded. */
  async unload(handle: ProgramHandle): Promise<void> {
    if (this.#handles.delete(handle) && !this.host.closed) await this.host.unload(handle);
  }

  /** Where `parameter.grad()` finds gradients from now on: sums, to be divided by the count. */
  setGradients(gradients: { of: ReadonlyMap<Variable, Variable>; count: Variable }): void {
    this.#gradients = gradients;
  }

  /** Takes back what `setGradients` was told, unless another's gradients have been told since. */
  dropGradients(of: ReadonlyMap<Variable, Variable>): void {
    if (this.#gradients?.of === of) this.#gradients = undefined;
  }

  async read(variable: Variable, op: string, range?: ElementRange): Promise<Numbers> {
    this.assertOpen(op);
    return this.host.read(variable, range);
  }

  async write(variable: Variable, data: Numbers, op: string, options?: WriteOptions): Promise<void> {
    this.assertOpen(op);
    await this.host.write(variable, data, options);
  }

  async readGradient(variable: Variable, op: string): Promise<Float32Array | null> {
    this.assertOpen(op);
    const gradient = this.#gradients?.of.get(variable);
    if (gradient === undefined || this.#gradients === undefined) return null;
    const [count, data] = await Promise.all([this.host.read(this.#gradients.count), this.host.read(gradient)]);
    return count[0] === 0 ? new Float32Array(data.length) : Float32Array.from(data, (g) => g / count[0]);
  }

  /** Frees everything of this module in the engine: parameters, gradients, optimizer state, caches, programs. Twice is fine. */
  close(): Promise<void> {
    this.#closing ??= this.#free();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #free(): Promise<void> {
    this.#gradients = undefined;
    if (this.host.closed) return; // its memory went with it
    await this.#programs.clear();
    for (const handle of [...this.#handles]) await this.unload(handle);
    await this.#releaseOwned([...this.#owned]);
  }

  async #releaseOwned(variables: readonly Variable[]): Promise<void> {
    const ours = variables.filter((variable) => this.#owned.delete(variable));
    if (ours.length > 0 && !this.host.closed) await this.host.release(ours);
  }
}

/** The arrays of a batch that a program reads; it may read fewer than there are (a loss that ignores a part of its batch). */
export function programInputs(program: Program, batch: Batch): Record<string, Numbers> {
  return Object.fromEntries(program.inputs.map(({ name }) => [name, batch[name].data]));
}

/** The numbers of `all` that a program reads. */
export function programScalars(program: Program, all: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(program.scalars.map((name) => [name, all[name]]));
}

const SINGLE = '(value)'; // the name of a lone output

function isHostTensor(value: unknown): value is HostTensor {
  return typeof value === 'object' && value !== null && 'data' in value && 'shape' in value && ArrayBuffer.isView(value.data);
}

function nameInputs(inputs: ForwardInputs): { batch: Batch; record: boolean } {
  if (isHostTensor(inputs)) return { batch: { input0: inputs }, record: false };
  if (Array.isArray(inputs))
    return { batch: Object.fromEntries(inputs.map((tensor, i) => [`input${i}`, tensor as HostTensor])), record: false };
  if (typeof inputs === 'object' && inputs !== null) return { batch: inputs as Batch, record: true };
  throw new FerroError('INVALID_OPTION', `forward: the input must be { data, shape }, an array or a record of these, got ${show(inputs)}`);
}

function nameOutputs(value: unknown): Record<string, Tensor> {
  if (value instanceof Tensor) return { [SINGLE]: value };
  const record = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const entries = Object.entries(record);
  if (entries.length === 0 || !entries.every(([, tensor]) => tensor instanceof Tensor)) {
    throw new FerroError('INVALID_SHAPE', `forward: the module must return a tensor or a record of tensors, got ${typeof value}`);
  }
  return record as Record<string, Tensor>;
}

function hostTensors(program: Program, outputs: Outputs): Record<string, HostTensor> {
  return Object.fromEntries(program.outputs.map(({ name, shape }) => [name, { data: outputs[name], shape: shape as readonly number[] }]));
}
