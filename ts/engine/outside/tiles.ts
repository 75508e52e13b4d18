// What engines of this process have measured about register tiles, in memory only: the second engine of a module need not measure again. A file could
// go to another machine; this cannot.
import type { TileChoice } from '../protocol';

/** The choice for one module: `undefined` until an engine has measured. */
export class TileChoices {
  choice: TileChoice | undefined;

  static readonly #byName = new Map<string, TileChoices>();
  static readonly #byModule = new WeakMap<WebAssembly.Module, TileChoices>();

  /** The one of a module: by its file's hash, or by the module itself where the file is the caller's own ('custom'). */
  static of(module: WebAssembly.Module, hash: string, vectorBits: number): TileChoices {
    if (hash === 'custom') return found(TileChoices.#byModule, module);
    return found(TileChoices.#byName, `${hash} ${vectorBits}`);
  }
}

function found<K>(map: { get(key: K): TileChoices | undefined; set(key: K, value: TileChoices): unknown }, key: K): TileChoices {
  const known = map.get(key) ?? new TileChoices();
  map.set(key, known);
  return known;
}
