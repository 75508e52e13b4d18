// The calls that wait for the engine's answer. Comlink itself never rejects a call whose worker is gone (GoogleChromeLabs/comlink#601),
// so every call is entered here, and an engine's end rejects all of them.

/** The calls in flight. `onBusy` hears when the first begins and when the last has ended. */
export class PendingCalls {
  readonly #rejecters = new Map<(error: Error) => void, string>();
  readonly #onBusy: (busy: boolean) => void;

  constructor(onBusy: (busy: boolean) => void) {
    this.#onBusy = onBusy;
  }

  get size(): number {
    return this.#rejecters.size;
  }

  /** Settles as `work` does, or rejects when `failAll` comes first. */
  track<T>(op: string, work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const settle = (done: () => void) => {
        if (!this.#rejecters.delete(fail)) return;
        if (this.#rejecters.size === 0) this.#onBusy(false);
        done();
      };
      const fail = (error: Error) => settle(() => reject(error));
      this.#rejecters.set(fail, op);
      if (this.#rejecters.size === 1) this.#onBusy(true);
      let working: Promise<T>;
      try {
        working = work();
      } catch (error) {
        // Thrown while sending, for example by an array that cannot be posted.
        fail(error as Error);
        return;
      }
      working.then((value) => settle(() => resolve(value)), fail);
    });
  }

  /** Rejects every call in flight, each with an error of its own. */
  failAll(makeError: (op: string) => Error): void {
    for (const [fail, op] of [...this.#rejecters]) fail(makeError(op));
  }
}
