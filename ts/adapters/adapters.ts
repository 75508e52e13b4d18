// The adapters of one bound module: made, loaded, switched, merged, removed. One of them or none is active; the module's own weights are never changed but by
// `merge`. Where folders come from and go to is the caller's business.
import type { BoundModule } from '../bind';
import { FerroError, show, throwIfAborted } from '../errors';
import type { FileData, OpenedAdapter, ReadableFolder } from '../io';
import { openAdapter } from '../io';
import { addBranch, Linear, replaceVariables } from '../nn';
import { ADAPTER_OPTIONS, readOptions } from '../options';
import { Adapter } from './adapter';
import { type AdapterOptions, type AdapterOrigin, type ChosenAdapter, chooseParts, partsOf } from './choose';

const NAME = /^[\w-]+$/;

/** The adapters of a module, by name. `adaptersOf(bound)` gives the one object there is for each bound module. */
export class Adapters {
  readonly #bound: BoundModule;
  readonly #all = new Map<string, Adapter>();
  #active: Adapter | null = null;
  #made = 0;
  readonly #keys = new WeakMap<Adapter, string>();
  origin: AdapterOrigin = { taskType: null, baseModel: null };

  constructor(bound: BoundModule) {
    this.#bound = bound;
  }

  /** All of them, in the order in which they were added. */
  get all(): ReadonlyMap<string, Adapter> {
    return this.#all;
  }

  /** The one that takes part now; null: the module as it is. */
  get active(): Adapter | null {
    return this.#active;
  }

  /** Makes an adapter that changes nothing yet (B is zero) and makes it the active one. @throws INVALID_OPTION, UNKNOWN_OPTION, OUT_OF_MEMORY, MODEL_CLOSED */
  async add(options: AdapterOptions = {}): Promise<Adapter> {
    this.#bound.assertOpen('addAdapter');
    const { name = 'default', seed, signal, ...values } = readOptions('addAdapter', options, ADAPTER_OPTIONS);
    this.#checkNew('addAdapter', name);
    const adapter = await this.#allocate(name, chooseParts(this.#bound, values, this.origin), signal);
    try {
      for (const { branch } of adapter.branches.values())
        await this.#bound.write(branch.a, branch.initialA(seed), 'addAdapter', { give: true });
      for (const [key, { copy }] of adapter.saved)
        await this.#bound.write(copy, await this.#plainValues(key), 'addAdapter', { give: true });
    } catch (error) {
      await this.#free(adapter);
      throw error;
    }
    return this.#enter(adapter);
  }

  /**
   * Reads an adapter from a folder in PEFT's layout and makes it the active one.
   * @throws ADAPTER_MISMATCH listing names and shapes that are not this model's; as `openAdapter`; ABORTED
   */
  async load(folder: ReadableFolder, { name = 'default', signal }: { name?: string; signal?: AbortSignal } = {}): Promise<Adapter> {
    this.#bound.assertOpen('loadAdapter');
    this.#checkNew('loadAdapter', name);
    throwIfAborted(signal, 'loadAdapter');
    const opened = await openAdapter(folder);
    try {
      const adapter = await this.#allocate(name, partsOf(this.#bound, opened), signal);
      try {
        await this.#read(adapter, opened, signal);
      } catch (error) {
        await this.#free(adapter);
        throw error;
      }
      return this.#enter(adapter);
    } finally {
      await opened.close();
    }
  }

  /** Replaces the values of an adapter by those of a folder that the same adapter was saved to. @throws CHECKPOINT_MISMATCH for another one; as `load` */
  async restore(adapter: Adapter, folder: ReadableFolder, signal?: AbortSignal): Promise<void> {
    const opened = await openAdapter(folder);
    try {
      const { config, parts } = partsOf(this.#bound, opened);
      const shape = (layers: Adapter['parts']['layers']) =>
        Array.from(layers, ([path, { ranks }]) => `${path} ${ranks.rank} ${ranks.alpha}`)
          .sort()
          .join();
      const same =
        shape(parts.layers) === shape(adapter.parts.layers) &&
        [...parts.saved.keys()].sort().join() === [...adapter.saved.keys()].sort().join();
      if (!same || config.dropout !== adapter.config.dropout || config.useRslora !== adapter.config.useRslora)
        throw new FerroError(
          'CHECKPOINT_MISMATCH',
          `${folder.label}: the adapter must be the one that is trained ("${adapter.name}"), got another`,
        );
      await this.#read(adapter, opened, signal);
    } finally {
      await opened.close();
    }
  }

  /** Makes an adapter the active one; null: none, the module as it is. Programs are compiled again where they are next needed. @throws INVALID_OPTION */
  set(name: string | null): void {
    this.#bound.assertOpen('setAdapter');
    this.#activate(name === null ? null : this.get('setAdapter', name));
  }

  /** Runs `work` with no adapter active, then puts the active one back, unless it was removed or another one was chosen meanwhile. */
  async without<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#active;
    this.#activate(null);
    try {
      return await work();
    } finally {
      if (before !== null && this.#active === null && this.#all.get(before.name) === before) this.#activate(before);
    }
  }

  /** Frees an adapter; an active one is switched off first. @throws INVALID_OPTION without one of the name */
  async remove(name: string): Promise<void> {
    await this.#free(this.#takeOut(this.get('removeAdapter', name)));
  }

  /**
   * Adds an adapter's products to the module's own weights (f32, each element rounded once), puts its whole modules in their place, and removes it.
   * @throws INVALID_OPTION without one of the name; QUANTIZED_MODEL where a layer's weight is not f32: nothing was changed; MODEL_CLOSED
   */
  async merge(name: string): Promise<void> {
    this.#bound.assertOpen('mergeAdapter');
    const adapter = this.get('mergeAdapter', name);
    const { parameters } = this.#bound;
    const weights = Array.from(adapter.branches, ([path, part]) => ({ ...part, weight: parameters.get(`${path}.weight`)! }));
    const coarse = [...weights.map(({ weight }) => weight), ...Array.from(adapter.saved.keys(), (key) => parameters.get(key)!)].find(
      ({ variable }) => variable.dtype !== 'f32',
    );
    if (coarse !== undefined)
      throw new FerroError(
        'QUANTIZED_MODEL',
        `mergeAdapter: weights must be f32 to be added to, got "${coarse.name}" of ${coarse.variable.dtype}`,
      );
    this.#takeOut(adapter); // at once: nobody merges it a second time or removes it meanwhile
    for (const { layer, branch, weight } of weights) {
      const [values, a, b] = (await Promise.all([weight.data(), this.#read32(branch.a), this.#read32(branch.b)])) as Float32Array[];
      const [rows, columns] = [layer.outFeatures, layer.inFeatures];
      addBranch(values, a, b, { rows, columns, rank: branch.rank, factor: branch.scale, transposed: layer instanceof Linear });
      await weight.set(values, { give: true });
    }
    for (const [key, { copy }] of adapter.saved) await parameters.get(key)!.set(await this.#read32(copy), { give: true });
    await this.#free(adapter);
  }

  /** Leaves the list, switched off; its memory stays. */
  #takeOut(adapter: Adapter): Adapter {
    if (this.#active === adapter) this.#activate(null);
    this.#all.delete(adapter.name);
    return adapter;
  }

  /** The adapter of a name. @throws INVALID_OPTION naming those there are */
  get(op: string, name: string): Adapter {
    const adapter = this.#all.get(name);
    if (adapter !== undefined) return adapter;
    const names = [...this.#all.keys()].map((one) => `"${one}"`).join(', ');
    throw new FerroError('INVALID_OPTION', `${op}: the adapter must be one of the model's (${names || 'it has none'}), got ${show(name)}`);
  }

  /** PEFT's files of an adapter. */
  files(name: string): Map<string, FileData> {
    this.#bound.assertOpen('saveAdapter');
    return this.get('saveAdapter', name).files();
  }

  #checkNew(op: string, name: string): void {
    if (!NAME.test(name)) throw new FerroError('INVALID_OPTION', `${op}: "name" must be letters, digits, _ and -, got ${show(name)}`);
    if (this.#all.has(name))
      throw new FerroError('INVALID_OPTION', `${op}: "name" must be new, got ${show(name)} again (removeAdapter frees it)`);
  }

  async #allocate(name: string, { config, parts }: ChosenAdapter, signal: AbortSignal | undefined): Promise<Adapter> {
    const adapter = new Adapter(this.#bound, name, config, parts);
    await this.#bound.allocate(adapter.variables, signal);
    return adapter;
  }

  async #free(adapter: Adapter): Promise<void> {
    if (!this.#bound.closed) await this.#bound.release(adapter.variables);
  }

  async #read(adapter: Adapter, opened: OpenedAdapter, signal: AbortSignal | undefined): Promise<void> {
    for (const [path, { branch }] of adapter.branches) {
      throwIfAborted(signal, 'loadAdapter');
      await this.#bound.write(branch.a, await opened.readA(path), 'loadAdapter', { give: true });
      await this.#bound.write(branch.b, await opened.readB(path), 'loadAdapter', { give: true });
    }
    for (const [key, { copy }] of adapter.saved) await this.#bound.write(copy, await opened.readSaved(key), 'loadAdapter', { give: true });
  }

  #enter(adapter: Adapter): Adapter {
    // Two calls may have asked for one name at the same time.
    if (this.#all.has(adapter.name)) {
      void this.#free(adapter).catch(() => undefined);
      this.#checkNew('addAdapter', adapter.name);
    }
    this.#all.set(adapter.name, adapter);
    this.#made += 1;
    this.#keys.set(adapter, `${adapter.name}#${this.#made}`);
    this.#activate(adapter);
    return adapter;
  }

  #activate(adapter: Adapter | null): void {
    const { module } = this.#bound;
    if (this.#active !== null) {
      for (const { layer } of this.#active.branches.values()) layer.lora = undefined;
      replaceVariables(module, new Map(Array.from(this.#active.saved.values(), ({ base, copy }) => [copy, base])));
    }
    this.#active = adapter;
    if (adapter === null) {
      this.#bound.setVariant(undefined);
      return;
    }
    for (const { layer, branch } of adapter.branches.values()) layer.lora = branch;
    replaceVariables(module, new Map(Array.from(adapter.saved.values(), ({ base, copy }) => [base, copy])));
    this.#bound.setVariant({ key: this.#keys.get(adapter)!, parameters: adapter.parameters });
  }

  async #read32(variable: Adapter['variables'][number]): Promise<Float32Array> {
    return (await this.#bound.read(variable, 'mergeAdapter')) as Float32Array;
  }

  /** A parameter of the module as f32 in the layout of a plain module. */
  async #plainValues(name: string): Promise<Float32Array> {
    const parameter = this.#bound.parameters.get(name)!;
    const values = (await parameter.data()) as Float32Array;
    const [rows, columns] = parameter.shape;
    const owner = this.#bound.module.namedModules().get(name.slice(0, Math.max(0, name.lastIndexOf('.'))));
    if (parameter.variable.dtype !== 'q8' || !(owner instanceof Linear)) return values;
    return Float32Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
  }
}

const known = new WeakMap<BoundModule, Adapters>();

/**
 * The adapters of a module bound with `engine.bind` (a GPT has them as methods of its own).
 * @example
 * await adaptersOf(bound).add({ rank: 8, targetModules: ['hidden'] });
 */
export function adaptersOf(bound: BoundModule): Adapters {
  const adapters = known.get(bound) ?? new Adapters(bound);
  known.set(bound, adapters);
  return adapters;
}
