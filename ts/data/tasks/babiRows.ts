// Rows of the bAbI tasks' own format (Weston et al. 2015): numbered sentences of a story, questions among them with answer and supporting facts behind tabs;
// number 1 begins a new story. Each question becomes one row: the story up to it as passage, question, answer.
import { FerroError, show } from '../../errors';
import type { RowReader } from './jsonRows';
import { LineSplitter } from './lines';
import { Faults, Row } from './row';

/** Reads one bAbI file into rows { passage, question, answer, support }: sentences joined by spaces, `support` the numbers as they are written. */
export class BabiRowReader implements RowReader {
  readonly #file: string;
  readonly #rows: Row[] = [];
  readonly #faults = new Faults();
  readonly #lines: LineSplitter;
  #passage = '';
  #number = 0;

  constructor(file: string) {
    this.#file = file;
    this.#lines = new LineSplitter(file, (line, number) => {
      if (!/^[ \t\r]*$/.test(line)) this.#faults.try(() => this.#line(line, number));
    });
  }

  push(text: string): void {
    this.#lines.push(text);
  }

  finish(): Row[] {
    this.#lines.finish();
    this.#faults.throwIfAny();
    return this.#rows;
  }

  #line(line: string, at: number): void {
    const digits = /^[0-9]{1,9}(?= )/.exec(line)?.[0];
    if (digits === undefined) throw this.#fault(at, 1, 'a line must begin with its number in the story and a space', show(line));
    const number = Number(digits);
    if (number === 1) this.#passage = '';
    else if (number !== this.#number + 1) {
      const expected = this.#number;
      this.#number = number; // one fault, not one for each line that follows
      throw this.#fault(at, 1, `numbers must go on with ${expected + 1} or begin again with 1`, digits);
    }
    this.#number = number;
    const [said, ...rest] = line.slice(digits.length + 1).split('\t');
    const text = said.trim();
    if (rest.length === 0) {
      this.#passage += this.#passage === '' ? text : ` ${text}`;
      return;
    }
    const answerAt = digits.length + said.length + 3;
    const answer = rest[0].trim();
    if (answer === '') throw this.#fault(at, answerAt, 'a question must have an answer', show(rest[0]));
    if (rest.length > 2)
      throw this.#fault(at, answerAt + rest[0].length + rest[1].length + 2, 'a question must have at most 3 fields', `${rest.length + 1}`);
    const fields = { passage: this.#passage, question: text, answer, support: rest[1] ?? '' };
    this.#rows.push(new Row(fields, this.#file, at, [at, 1, at, digits.length + 2, at, answerAt, at, answerAt + rest[0].length + 1]));
  }

  #fault(line: number, column: number, rule: string, got: string): FerroError {
    return new FerroError('INVALID_DATA', `${this.#file}:${line}:${column}: ${rule}, got ${got}`);
  }
}
