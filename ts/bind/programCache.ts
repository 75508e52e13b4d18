// Compiled programs of one bound module by what they were compiled for. Bounded: the least recently used ones go, but never one that is in use.

import type { EngineHost, ProgramHandle } from '../engine';
import type { Program } from '../graph';

interface Entry {
  handle: Promise<ProgramHandle>;
  users: number;
}

/** A bounded cache of loaded programs. */
export class ProgramCache {
  readonly #entries = new Map<string, Entry>(); // in order of last use

  constructor(
    readonly host: EngineHost,
    readonly limit: number,
  ) {}

  /** How many programs it holds. */
  get size(): number {
    return this.#entries.size;
  }

  /** Runs `work` with the program of `key`, which is built and loaded if it is not here; it stays loaded until `work` ends. */
  async use<T>(key: string, build: () => Program, work: (handle: ProgramHandle) => Promise<T>): Promise<T> {
    const entry = this.#entries.get(key) ?? this.#load(build);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users += 1;
    try {
      const handle = await entry.handle;
      return await work(handle);
    } catch (error) {
      if (!(await settled(entry.handle))) this.#forget(key, entry);
      throw error;
    } finally {
      entry.users -= 1;
      await this.#shrink();
    }
  }

  /** Unloads everything. */
  async clear(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map((entry) => this.#unload(entry)));
  }

  #load(build: () => Program): Entry {
    return { handle: this.host.load(build()), users: 0 };
  }

  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }

  async #shrink(): Promise<void> {
    const idle = [...this.#entries].filter(([, entry]) => entry.users === 0);
    const surplus = idle.slice(0, Math.max(0, this.#entries.size - this.limit));
    for (const [key] of surplus) this.#entries.delete(key);
    await Promise.all(surplus.map(([, entry]) => this.#unload(entry)));
  }

  async #unload(entry: Entry): Promise<void> {
    if (!(await settled(entry.handle)) || this.host.closed) return;
    await this.host.unload(await entry.handle);
  }
}

/** Whether a promise is fulfilled (waits until it is decided). */
function settled(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
