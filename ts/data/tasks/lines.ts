// Cuts a text that comes in pieces into lines: LF or CR LF, a byte order mark at the beginning left out, in memory of one line. Not a reader of rows.
import { FerroError } from '../../errors';

/** Longest row in UTF-16 units: what a row needs is bounded, whatever the file. */
export const MAX_ROW = 1 << 24;

/** The error of a row that is longer. */
export function tooLong(name: string, line: number): FerroError {
  return new FerroError('INVALID_DATA', `${name}:${line}:1: a row must have at most ${MAX_ROW} characters, got more`);
}

/** Gives the lines of one file, without their ends, each with its number from 1 on. */
export class LineSplitter {
  readonly #name: string;
  readonly #each: (line: string, number: number) => void;
  #held: string[] = [];
  #heldLength = 0;
  #number = 0;

  constructor(name: string, each: (line: string, number: number) => void) {
    this.#name = name;
    this.#each = each;
  }

  /** The next piece of the text. @throws INVALID_DATA for a line of more than 2^24 characters */
  push(text: string): void {
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.#hold(text.slice(start, end));
      this.#give();
      start = end + 1;
    }
    if (start < text.length) this.#hold(text.slice(start));
  }

  /** Ends the file; the last line need not have an end. */
  finish(): void {
    if (this.#heldLength > 0) this.#give();
  }

  #hold(part: string): void {
    this.#heldLength += part.length;
    if (this.#heldLength > MAX_ROW) throw tooLong(this.#name, this.#number + 1);
    this.#held.push(part);
  }

  #give(): void {
    let line = this.#held.length === 1 ? this.#held[0] : this.#held.join('');
    this.#held = [];
    this.#heldLength = 0;
    this.#number++;
    if (this.#number === 1 && line.charCodeAt(0) === 0xfeff) line = line.slice(1);
    this.#each(line.endsWith('\r') ? line.slice(0, -1) : line, this.#number);
  }
}
