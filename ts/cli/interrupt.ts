// Ctrl-C: the first one asks the command to stop at the next whole step and save, the second one quits at once.

import { EXIT } from './exit';

/** Watches for SIGINT from `watch()` to `stop()`. */
export class Interrupt {
  #requested = false;
  readonly #onFirst: () => void;
  readonly #handler = (): void => {
    if (this.#requested) process.exit(EXIT.interrupted);
    this.#requested = true;
    this.#onFirst();
  };

  /** `onFirst` runs once, inside the signal handler. */
  constructor(onFirst: () => void) {
    this.#onFirst = onFirst;
  }

  /** True once an interrupt has come. */
  get requested(): boolean {
    return this.#requested;
  }

  watch(): this {
    process.on('SIGINT', this.#handler);
    return this;
  }

  stop(): void {
    process.off('SIGINT', this.#handler);
  }
}
