// The engine's side of generation for one model: its KV cache in persistent variables and the three programs that write the next token (prefill, decode
// from the cache, and the uncached forward). It keeps no text and follows no context rule.
import type { BoundModule } from '../bind';
import type { ProgramHandle } from '../engine';
import { assign, compile, Extent, input, lastRow, reshape, sample, type Tensor, Variable } from '../graph';
import { seedWords } from '../math';
import { type CausalCache, type CausalLM, cacheVariables } from '../models';
import type { Sampling } from './options';

/** Tokens decoded in one message when nobody looks at the single ones. */
const CHUNK = 64;

/** One sequence being written. Sessions are reused: `GenerationSessions` keeps one per model. */
export class GenerationSession {
  readonly #bound: BoundModule<CausalLM>;
  readonly #cache: CausalCache;
  readonly #token = new Variable({ name: 'generate.token', shape: [1, 1], dtype: 'i32', trainable: false, init: { kind: 'zeros' } });
  readonly #time: Extent;
  readonly #position: Extent;
  readonly #keysUsed: Extent;
  #prefill: ProgramHandle | undefined;
  #decode: ProgramHandle | undefined;
  #uncached: ProgramHandle | undefined;

  readonly #drawable: number;

  private constructor(bound: BoundModule<CausalLM>, drawable: number) {
    this.#drawable = drawable;
    const { blockSize } = bound.module.config;
    this.#bound = bound;
    this.#cache = bound.module.makeCache(1);
    this.#time = new Extent('time', blockSize);
    this.#position = new Extent('position', blockSize);
    this.#keysUsed = new Extent('keysUsed', blockSize);
  }

  /** Allocates the cache. Only ids below `drawable` are ever drawn (a vocabulary may be padded). @throws OUT_OF_MEMORY, MODEL_CLOSED */
  static async open(bound: BoundModule<CausalLM>, drawable: number): Promise<GenerationSession> {
    const session = new GenerationSession(bound, drawable);
    await bound.allocate([...cacheVariables(session.#cache), session.#token]);
    return session;
  }

  /** Reads a whole context from position 0 on and draws the token after it. */
  async prefill(context: Int32Array, sampling: Sampling, draw: number): Promise<number> {
    this.#prefill ??= await this.#load('prefill', () => this.#cachedProgram(input('inputIds', [1, this.#time], 'i32')));
    const extents = { time: context.length, position: 0, keysUsed: context.length };
    return this.#run(this.#prefill, { inputs: { inputIds: context }, extents }, sampling, draw);
  }

  /** Draws the token after a context whose last token was the last one drawn, `length` tokens in all. */
  async decode(length: number, sampling: Sampling, draw: number): Promise<number> {
    const handle = await this.#decoder();
    return this.#run(handle, { extents: { position: length - 1, keysUsed: length } }, sampling, draw);
  }

  /** The same, up to `count` tokens (at most CHUNK) in one message; ends early after a token of `stopIds`. */
  async decodeMany(length: number, count: number, sampling: Sampling, draw: number, stopIds: readonly number[]): Promise<number[]> {
    const handle = await this.#decoder();
    const ids: number[] = [];
    const runs = Array.from({ length: Math.min(count, CHUNK) }, (_, i) => ({
      extents: { position: length - 1 + i, keysUsed: length + i },
      scalars: scalars(sampling, draw + i),
    }));
    await this.#bound.host.runSequence(handle, runs, {
      emit: 'next',
      stopValues: stopIds,
      signal: sampling.signal,
      onValue: (value) => void ids.push(value[0]),
    });
    return ids;
  }

  /** Reads a whole context without the cache and draws the token after it. */
  async uncached(context: Int32Array, sampling: Sampling, draw: number): Promise<number> {
    this.#uncached ??= await this.#load('generate uncached', () => {
      const module = this.#bound.module;
      const logits = module.head(lastRow(module.hidden(input('inputIds', [1, this.#time], 'i32'))));
      return { next: this.#sample(logits) };
    });
    return this.#run(this.#uncached, { inputs: { inputIds: context }, extents: { time: context.length } }, sampling, draw);
  }

  /** Frees cache and programs (closing the model does it too). */
  async close(): Promise<void> {
    for (const handle of [this.#prefill, this.#decode, this.#uncached]) if (handle !== undefined) await this.#bound.unload(handle);
    await this.#bound.release([...cacheVariables(this.#cache), this.#token]);
  }

  async #decoder(): Promise<ProgramHandle> {
    this.#decode ??= await this.#load('decode', () => this.#cachedProgram(this.#token.tensor));
    return this.#decode;
  }

  async #run(
    handle: ProgramHandle,
    call: { inputs?: Record<string, Int32Array>; extents: Record<string, number> },
    sampling: Sampling,
    draw: number,
  ): Promise<number> {
    const [{ next }] = await this.#bound.host.run({ handle, ...call, scalars: scalars(sampling, draw) }, { signal: sampling.signal });
    return next[0];
  }

  /** Logits of the last new token behind the cache, and the token drawn from them, which the next decode step reads. */
  #cachedProgram(ids: Tensor): { next: Tensor } {
    return {
      next: this.#sample(this.#bound.module.forwardCached(ids, this.#cache, { position: this.#position, keysUsed: this.#keysUsed })),
    };
  }

  #sample(logits: Tensor): Tensor {
    return sample(reshape(logits, [1, this.#bound.module.config.vocabSize]), {}, this.#drawable);
  }

  #load(name: string, build: () => { next: Tensor }): Promise<ProgramHandle> {
    const { next } = this.#bound.trace(false, build);
    const effects = name === 'generate uncached' ? [] : [assign(this.#token, reshape(next, [1, 1]))];
    return this.#bound.load(compile({ name, outputs: { next }, effects }));
  }
}

function scalars({ temperature, topK, topP, seed }: Sampling, draw: number): Record<string, number> {
  const [seedLo, seedHi] = seedWords(seed);
  return { temperature, topK, topP, seedLo, seedHi, draw };
}

/** The sessions of one model: one is kept for reuse, more are made while several generations run at once. */
export class GenerationSessions {
  #idle: GenerationSession | undefined;

  constructor(
    readonly bound: BoundModule<CausalLM>,
    readonly drawable: number,
  ) {}

  /** Runs `work` with a session of its own. */
  async *use<T, R>(work: (session: GenerationSession) => AsyncGenerator<T, R, void>): AsyncGenerator<T, R, void> {
    this.bound.assertOpen('generate');
    const session = this.#idle ?? (await GenerationSession.open(this.bound, this.drawable));
    this.#idle = undefined;
    try {
      return yield* work(session);
    } finally {
      if (this.#idle === undefined && !this.bound.closed) this.#idle = session;
      else await session.close();
    }
  }
}
