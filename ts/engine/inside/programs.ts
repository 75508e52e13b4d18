// The programs that the outside has loaded. At most MAX_LOADED are held by the kernels at a time: the least recently used one makes room, and is
// loaded again from its words when it is next run.
import { FerroError } from '../../errors';
import type { WireProgram } from '../protocol';
import { endsEngine } from './failures';
import type { Kernels } from './kernels';
import type { RegionStore } from './regions';

/** More than any training run and its sampling use; enough to bound a program that compiles a new shape for every call. */
export const MAX_LOADED = 64;

/** A program as the kernels hold it. */
export interface LoadedProgram {
  program: number;
  /** The region of each binding: a variable's, or a buffer of the program's own. */
  regions: Uint32Array;
  /** The buffers among them. */
  owned: readonly number[];
  /** Bytes of the buffers. */
  bytes: number;
}

/** Programs by the outside's numbers. */
export class ProgramStore {
  readonly #kernels: Kernels;
  readonly #regions: RegionStore;
  readonly #known = new Map<number, WireProgram>();
  /** In order of use, the least recent first. */
  readonly #loaded = new Map<number, LoadedProgram>();
  #bytes = 0;

  constructor(kernels: Kernels, regions: RegionStore) {
    this.#kernels = kernels;
    this.#regions = regions;
  }

  /** Bytes of the buffers of loaded programs. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Loads a program. @throws FerroError OUT_OF_MEMORY; BAD_PROGRAM from the kernels */
  add(program: WireProgram): void {
    this.#known.set(program.id, program);
    try {
      this.use(program.id, 'load');
    } catch (error) {
      this.#known.delete(program.id);
      throw error;
    }
  }

  /** Frees a program. One that is not there is passed over. */
  remove(id: number): void {
    this.#evict(id);
    this.#known.delete(id);
  }

  /** Frees what the kernels hold of every program that uses one of these variables. */
  removeUsersOf(variables: ReadonlySet<number>): void {
    for (const [id, { bindings }] of this.#known) {
      if (bindings.some((binding) => 'variable' in binding && variables.has(binding.variable))) this.remove(id);
    }
  }

  /** The program, loaded; from now on the most recently used. */
  use(id: number, op: string): LoadedProgram {
    const loaded = this.#loaded.get(id);
    if (loaded !== undefined) {
      this.#loaded.delete(id);
      this.#loaded.set(id, loaded);
      return loaded;
    }
    const known = this.#known.get(id);
    if (known === undefined) throw new FerroError('INVALID_OPTION', `${op}: the program must be loaded, got number ${id}`);
    while (this.#loaded.size >= MAX_LOADED) this.#evictOldest();
    const fresh = this.#load(known, op);
    this.#loaded.set(id, fresh);
    this.#bytes += fresh.bytes;
    return fresh;
  }

  /** Makes room for `bytes` by evicting programs, if that helps. @throws FerroError OUT_OF_MEMORY */
  makeRoom(bytes: number, op: string): void {
    while (!this.#regions.hasRoom(bytes) && this.#loaded.size > 0) this.#evictOldest();
    this.#regions.requireRoom(bytes, op);
  }

  #load(program: WireProgram, op: string): LoadedProgram {
    const bytes = program.bindings.reduce((sum, binding) => sum + ('variable' in binding ? 0 : binding.sizeBytes), 0);
    // An eviction may shrink the arena, so what this program adds to it is asked for again after each.
    const needed = () => bytes + Math.max(0, program.arenaBytes - this.#kernels.arenaBytes());
    while (!this.#regions.hasRoom(needed()) && this.#loaded.size > 0) this.#evictOldest();
    this.#regions.requireRoom(needed(), op);
    const regions = new Uint32Array(program.bindings.length);
    const owned: number[] = [];
    try {
      program.bindings.forEach((binding, i) => {
        if ('variable' in binding) {
          regions[i] = this.#regions.get(binding.variable, op).region;
          return;
        }
        regions[i] = this.#regions.alloc(binding.sizeBytes);
        owned.push(regions[i]);
        if (binding.data !== undefined) this.#kernels.write(regions[i], binding.data);
      });
      return { program: this.#kernels.programLoad(program.words, regions), regions, owned, bytes };
    } catch (error) {
      if (!endsEngine(error)) this.#free(owned);
      throw error;
    }
  }

  #evictOldest(): void {
    const [oldest] = this.#loaded.keys();
    this.#evict(oldest);
  }

  #evict(id: number): void {
    const loaded = this.#loaded.get(id);
    if (loaded === undefined) return;
    this.#loaded.delete(id);
    this.#bytes -= loaded.bytes;
    this.#kernels.programFree(loaded.program);
    this.#free(loaded.owned);
  }

  #free(regions: readonly number[]): void {
    for (const region of regions) this.#kernels.regionFree(region);
  }
}
