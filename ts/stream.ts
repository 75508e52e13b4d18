// The object that train() and generate() return: an async iterable that can also be awaited for its result. It is not a queue: the work is
// pulled, so between two yields nothing runs, and `break` ends it after the current piece.
import { FerroError } from './errors';

/**
 * Iterate it for the pieces or await it for the result; nothing starts before one of the two. It can be consumed once: a second iteration
 * is a typed error (BUSY), awaiting after an iteration has ended gives the result of that iteration.
 */
export class Stream<T, R> implements AsyncIterable<T>, PromiseLike<R> {
  readonly #op: string;
  readonly #start: (ahead: boolean) => AsyncGenerator<T, R, void>;
  #iterating = false;
  #result: Promise<R> | undefined;
  #settle: { resolve: (value: R) => void; reject: (error: unknown) => void } | undefined;

  /**
   * `op` names the call in error messages; `start` makes the generator whose return value is the result. Its argument is true when the stream is
   * awaited: nobody looks at single pieces, so work may be done ahead of them.
   */
  constructor(op: string, start: (ahead: boolean) => AsyncGenerator<T, R, void>) {
    this.#op = op;
    this.#start = start;
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    if (this.#iterating || this.#result !== undefined) {
      throw new FerroError('BUSY', `${this.#op}: can be consumed once, got a second iteration`);
    }
    this.#iterating = true;
    const source = this.#start(false);
    const next = async (): Promise<IteratorResult<T>> => {
      try {
        const piece = await source.next();
        if (!piece.done) return piece;
        this.#settle?.resolve(piece.value);
        this.#result ??= Promise.resolve(piece.value);
        return { done: true, value: undefined };
      } catch (error) {
        this.#settle?.reject(error);
        throw error;
      }
    };
    const stop = async (): Promise<IteratorResult<T>> => {
      const ended = await source.return(undefined as R);
      if (ended.done && ended.value !== undefined) this.#settle?.resolve(ended.value);
      else this.#settle?.reject(new FerroError('ABORTED', `${this.#op}: iteration was broken off before its end`));
      return { done: true, value: undefined };
    };
    return { next, return: stop };
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is this class's purpose
  then<A = R, B = never>(
    onResolved?: ((value: R) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#result ??= this.#iterating
      ? new Promise<R>((resolve, reject) => {
          this.#settle = { resolve, reject };
        })
      : this.#drain();
    return this.#result.then(onResolved, onRejected);
  }

  /** Runs to the end without anybody looking at the pieces. */
  async #drain(): Promise<R> {
    const source = this.#start(true);
    for (;;) {
      const piece = await source.next();
      if (piece.done) return piece.value;
    }
  }
}
