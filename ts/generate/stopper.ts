// Stop strings: a text is passed on piece by piece, but never a stop string or the beginning of one that may still be completed.

/** Watches a text that comes in pieces. */
export class Stopper {
  readonly #strings: readonly string[];
  #held = '';
  #stopped = false;

  constructor(strings: readonly string[]) {
    this.#strings = strings;
  }

  /** True once a stop string has come. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** What of the text so far may be shown now. */
  push(piece: string): string {
    if (this.#stopped) return '';
    const text = this.#held + piece;
    const found = this.#strings.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#stopped = true;
      this.#held = '';
      return text.slice(0, Math.min(...found));
    }
    const hold = this.#longestBeginning(text);
    this.#held = text.slice(text.length - hold);
    return text.slice(0, text.length - hold);
  }

  /** The text held back, when no more comes. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #longestBeginning(text: string): number {
    let longest = 0;
    for (const stop of this.#strings) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (stop.startsWith(text.slice(text.length - n))) longest = n;
      }
    }
    return longest;
  }
}
