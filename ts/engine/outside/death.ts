// Hears of the end of an engine's workers and decides what ended it. A thread that traps says so itself and also poisons the barrier, which
// makes the engine's worker fail a moment later or sooner: that second failure is a consequence, so a consequence waits for its cause.

/** How long a consequence waits for its cause, in milliseconds. */
const CAUSE_GRACE_MS = 250;

/** Calls `onDeath` once, with the first cause. */
export class DeathWatch {
  #over = false;
  #grace: ReturnType<typeof setTimeout> | undefined;
  readonly #onDeath: (cause: Error) => void;

  constructor(onDeath: (cause: Error) => void) {
    this.#onDeath = onDeath;
  }

  /** Something ended. With `secondary` it is known to follow from another failure, which is given a moment to arrive. */
  report(cause: Error, secondary = false): void {
    if (this.#over) return;
    if (!secondary) {
      this.#finish(cause);
      return;
    }
    this.#grace ??= setTimeout(() => this.#finish(cause), CAUSE_GRACE_MS);
  }

  /** From here on an end is expected and nobody is told. */
  stop(): void {
    this.#over = true;
    clearTimeout(this.#grace);
  }

  #finish(cause: Error): void {
    if (this.#over) return;
    this.stop();
    this.#onDeath(cause);
  }
}
