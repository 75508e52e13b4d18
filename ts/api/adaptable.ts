// What models as users hold them have in common: parameters, adapters, an end. Which layers, files and graphs adapters are is ts/adapters'.
import { type Adapter, type AdapterOptions, type Adapters, adaptersOf } from '../adapters';
import type { BoundModule, Parameter } from '../bind';
import { FerroError, throwIfAborted } from '../errors';
import { type FileData, toBlobs } from '../io';
import { writeFolder } from '../io/node';
import { ADAPTER_FOLDER_OPTIONS, readOptions } from '../options';
import { type PretrainedSource, sourceFolder } from './sources';

/** How an adapter is read. */
export interface LoadAdapterOptions {
  /** What it is called here. Default 'default'. */
  name?: string;
  signal?: AbortSignal;
}

/** How an adapter is written. */
export interface SaveAdapterOptions {
  /** Which one. Default: the active one. */
  name?: string;
  signal?: AbortSignal;
}

/**
 * A model that low-rank adapters (LoRA; Hu et al. 2021) can be put on. While one is active, training changes it alone: the model's own weights are frozen, without
 * gradients or moments, and the Trainer's checkpoints hold the adapter. Generation, evaluation and the loss use it too.
 */
export abstract class AdaptableModel {
  abstract readonly bound: BoundModule;

  /** Parameters by Hugging Face's names (a Transformer's by torch's): shape, trainable, `data()`, `grad()`, `set()`. */
  get parameters(): ReadonlyMap<string, Parameter> {
    return this.bound.parameters;
  }

  /** True after `close()`. */
  get closed(): boolean {
    return this.bound.closed;
  }

  /** Frees the model's memory in the engine. Twice is fine. */
  close(): Promise<void> {
    return this.bound.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected get adapterSet(): Adapters {
    return adaptersOf(this.bound);
  }

  /** The adapters by name. */
  get adapters(): ReadonlyMap<string, Adapter> {
    return this.adapterSet.all;
  }

  /** The one that takes part now; null: none. */
  get activeAdapter(): string | null {
    return this.adapterSet.active?.name ?? null;
  }

  /**
   * Makes an adapter, which changes nothing before it is trained, and makes it the active one.
   * @throws INVALID_OPTION for a target that is no layer of the model, with the nearest ones; UNKNOWN_OPTION; OUT_OF_MEMORY; MODEL_CLOSED
   */
  addAdapter(options: AdapterOptions = {}): Promise<Adapter> {
    return this.adapterSet.add(options);
  }

  /**
   * Reads an adapter from a folder in PEFT's layout, or a run that trained one, and makes it the active one.
   * @param source a folder's path (Node), a URL, a list of Files, or a directory handle
   * @throws ADAPTER_MISMATCH listing names and shapes that are not this model's; NOT_SUPPORTED for adapters of another kind; INVALID_OPTION, UNKNOWN_OPTION, INVALID_CHECKPOINT, FILE_NOT_FOUND, ABORTED
   */
  async loadAdapter(source: PretrainedSource, options: LoadAdapterOptions = {}): Promise<Adapter> {
    this.bound.assertOpen('loadAdapter');
    const { name, signal } = readOptions('loadAdapter', options, ADAPTER_FOLDER_OPTIONS);
    return this.adapterSet.load(await sourceFolder('loadAdapter', source, signal), { name, signal });
  }

  /**
   * Switches to another adapter, or with null to the model's own weights, without loading anything. A text that is being written then ends with BUSY: the next one is
   * the new adapter's.
   * @throws INVALID_OPTION for a name it does not have
   */
  setAdapter(name: string | null): void {
    this.adapterSet.set(name);
  }

  /** Writes an adapter's folder as PEFT reads it, whole or not at all. Node only. @throws INVALID_OPTION without one, FILE_ERROR, ABORTED */
  async saveAdapter(folder: string, options: SaveAdapterOptions = {}): Promise<void> {
    const { name, signal } = readOptions('saveAdapter', options, ADAPTER_FOLDER_OPTIONS);
    await writeFolder(folder, this.#files('saveAdapter', name), { signal });
  }

  /** The same files as Blobs by name. */
  async adapterToFiles(options: SaveAdapterOptions = {}): Promise<Map<string, Blob>> {
    const { name, signal } = readOptions('adapterToFiles', options, ADAPTER_FOLDER_OPTIONS);
    throwIfAborted(signal, 'adapterToFiles');
    const files = await toBlobs(this.#files('adapterToFiles', name));
    throwIfAborted(signal, 'adapterToFiles');
    return files;
  }

  /**
   * Adds an adapter to the model's own weights, W + alpha/rank·B·A, each element rounded once, and removes it.
   * @throws INVALID_OPTION without one, QUANTIZED_MODEL for weights that are not f32
   */
  async mergeAdapter(name?: string): Promise<void> {
    return this.adapterSet.merge(name ?? this.#activeName('mergeAdapter'));
  }

  /** Frees an adapter. @throws INVALID_OPTION without one */
  async removeAdapter(name?: string): Promise<void> {
    return this.adapterSet.remove(name ?? this.#activeName('removeAdapter'));
  }

  /** What would leave the active adapter out in silence is refused. @throws ADAPTER_ACTIVE */
  protected assertNoAdapter(op: string): void {
    const { active } = this.adapterSet;
    if (active !== null)
      throw new FerroError('ADAPTER_ACTIVE', `${op}: the model's own weights are written without an adapter, got "${active.name}" active`);
  }

  #files(op: string, name: string | undefined): Map<string, FileData> {
    return this.adapterSet.files(name ?? this.#activeName(op));
  }

  #activeName(op: string): string {
    const { activeAdapter } = this;
    if (activeAdapter === null) throw new FerroError('INVALID_OPTION', `${op}: a name must be given where no adapter is active, got none`);
    return activeAdapter;
  }
}
