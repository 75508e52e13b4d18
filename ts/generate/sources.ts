// What a session has beside the rest when its model is an encoder-decoder: the sources of its rows. Each different source is run through the encoder once and its
// keys and values are kept for all steps; which rows share one is the caller's business.
import type { BoundModule } from '../bind';
import type { ProgramHandle, RunCall } from '../engine';
import { assign, copySequence, type Effect, Extent, type Tensor, type Variable } from '../graph';
import { type CausalCache, cacheVariables, type EncoderDecoder, type EncoderDecoderCache, type Source, sourceVariables } from '../models';
import type { CachePlace } from '../nn';

/** Tells the two kinds of model apart. */
export function isEncoderDecoder(module: object): module is EncoderDecoder {
  return 'readSource' in module;
}

/** Programs of sources, by name. */
export type SourceProgram = 'readSource' | 'placeSource';

/** The caches of an encoder-decoder for `rows` sequences, and the sources in them. */
export class SourceCaches {
  readonly cache: EncoderDecoderCache;
  /** Where a source is read; with one row that is the cache itself. */
  readonly single: EncoderDecoderCache;
  readonly #bound: BoundModule;
  readonly #module: EncoderDecoder;
  readonly #program: (name: SourceProgram) => Promise<ProgramHandle>;
  /** The source that `single` holds. */
  #read: Source | undefined;
  /** Positions of the longest source of the rows. */
  #used = 0;

  /** @param program gives a loaded program of `build` */
  constructor(bound: BoundModule, module: EncoderDecoder, rows: number, program: (name: SourceProgram) => Promise<ProgramHandle>) {
    this.#bound = bound;
    this.#module = module;
    this.#program = program;
    this.cache = module.makeCache(rows);
    this.single = rows === 1 ? this.cache : module.makeCache(1);
  }

  /** All variables. */
  get variables(): Variable[] {
    const caches = this.single === this.cache ? [this.cache] : [this.cache, this.single];
    return caches.flatMap((cache) => [...cacheVariables(cache), ...sourceVariables(cache), cache.sourceLengths]);
  }

  /** The extent `sourceUsed`: positions of one source alone, else of the longest of all rows. */
  extentsOf(source?: Source): Readonly<Record<string, number>> {
    return { sourceUsed: source?.positions ?? this.#used };
  }

  /** The source that was read last, as the input of a program that computes everything anew. */
  get whole(): { inputs: Record<string, Int32Array | Float32Array>; extents: Record<string, number> } {
    const { data, positions } = this.#read!;
    return { inputs: { source: data }, extents: { sourceTime: positions } };
  }

  /** Reads the sources of all rows; rows with the same object share one reading. */
  async readAll(sources: readonly Source[], signal: AbortSignal | undefined): Promise<void> {
    this.#used = Math.max(...sources.map(({ positions }) => positions));
    const lengths = Int32Array.from(sources, ({ positions }) => positions);
    const calls: RunCall[] = [];
    const different = [...new Set(sources)];
    for (const source of different) {
      calls.push(await this.#readCall(source));
      if (this.single === this.cache) continue;
      const handle = await this.#program('placeSource');
      sources.forEach((other, row) => {
        if (other === source) calls.push({ handle, extents: { row, sourceUsed: source.positions } });
      });
    }
    this.#read = undefined;
    await Promise.all([this.#bound.host.write(this.cache.sourceLengths, lengths), this.#bound.host.run(calls, { signal })]);
    this.#read = different.at(-1);
  }

  /** Sees to it that `single` holds a source: what a prompt of the decoder is read with. */
  async readAlone(source: Source, signal: AbortSignal | undefined): Promise<void> {
    if (this.#read === source) return;
    this.#read = undefined;
    await this.#bound.host.run(await this.#readCall(source), { signal });
    this.#read = source;
  }

  async #readCall(source: Source): Promise<RunCall> {
    return { handle: await this.#program('readSource'), inputs: { source: source.data }, extents: { sourceTime: source.positions } };
  }

  /** What the programs of sources do. */
  build(name: SourceProgram): { effects: Effect[] } {
    if (name === 'readSource') return { effects: this.#module.readSource(this.#source(), this.single) };
    const options = { row: new Extent('row', this.cache.sourceLengths.shape[0] - 1), rowsUsed: this.#sourceUsed() };
    const [from, to] = [this.single, this.cache].map(sourceVariables);
    return { effects: to.map((variable, i) => assign(variable, copySequence(variable, from[i], options))) };
  }

  /** Logits of the last of some new tokens. @param cache `cache` or `single` */
  forwardCached(ids: Tensor, cache: CausalCache, place: CachePlace): Tensor {
    return this.#module.forwardCached(ids, cache === this.cache ? this.cache : this.single, place, this.#sourceUsed());
  }

  /** The same without caches. */
  forwardLast(ids: Tensor): Tensor {
    return this.#module.forwardLast(this.#source(), ids);
  }

  #source(): Tensor {
    return this.#module.sourceInput('source', new Extent('sourceTime', this.#module.config.maxSourceLength));
  }

  #sourceUsed(): Extent {
    return new Extent('sourceUsed', this.#module.config.maxSourceLength);
  }
}
