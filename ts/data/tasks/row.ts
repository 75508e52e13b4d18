// One row of task data: named values and where they stand in their file, so that whoever finds fault with one can say the line and the column. And the
// collector of faults: reading goes on behind a faulty row, and one error tells the first and how many there are.
import { FerroError, show } from '../../errors';

/** A row of a file, or an object given by the program. Immutable. */
export class Row {
  /** The values by name: texts in a TSV file, any JSON value in a JSON file. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The file's name; '' for an object given by the program. */
  readonly file: string;
  /** Line on which the row begins, from 1; for objects their number, from 1. */
  readonly line: number;
  /** Line and column of each value, in the order of Object.keys(fields). */
  readonly #places: readonly number[];

  constructor(fields: Readonly<Record<string, unknown>>, file: string, line: number, places: readonly number[] = []) {
    this.fields = fields;
    this.file = file;
    this.line = line;
    this.#places = places;
  }

  /** The value of that name; undefined where the row has none. */
  get(name: string): unknown {
    return Object.hasOwn(this.fields, name) ? this.fields[name] : undefined;
  }

  /**
   * The same row with other names; values that are not named keep theirs.
   * @param names name in the file → name in the result
   * @throws INVALID_DATA for a name that the row does not have, or one that it would have twice
   */
  renamed(names: ReadonlyMap<string, string>): Row {
    for (const name of names.keys()) {
      if (!Object.hasOwn(this.fields, name)) throw this.fault(undefined, `the row must have ${show(name)}`, show(Object.keys(this.fields)));
    }
    const members = new Map<string, unknown>();
    for (const [name, value] of Object.entries(this.fields)) {
      const other = names.get(name) ?? name;
      if (members.has(other)) throw this.fault(name, `the row must have ${show(other)} once`, show(Object.keys(this.fields)));
      members.set(other, value);
    }
    const fields = Object.fromEntries(members); // own properties, whatever the name
    return new Row(fields, this.file, this.line, inKeyOrder(fields, [...members.keys()], this.#places));
  }

  /** `file:line:column` of a value (in characters, UTF-16 units, from 1), or of the row; `row 3` for an object given by the program. */
  place(name?: string): string {
    if (this.file === '') return `row ${this.line}`;
    const at = name === undefined ? -1 : Object.keys(this.fields).indexOf(name);
    const line = this.#places[2 * at] ?? this.line;
    return `${this.file}:${line}:${this.#places[2 * at + 1] ?? 1}`;
  }

  /** The error that a value breaks a rule. */
  fault(name: string | undefined, rule: string, got: string): FerroError {
    return new FerroError('INVALID_DATA', `${this.place(name)}: ${rule}, got ${got}`);
  }
}

/** Places (line and column of each name) in the order of Object.keys(fields), which puts names that are integers first. */
export function inKeyOrder(fields: object, names: readonly string[], places: readonly number[]): readonly number[] {
  const keys = Object.keys(fields);
  if (keys.every((name, i) => names[i] === name)) return places;
  const at = new Map(names.map((name, i) => [name, i]));
  return keys.flatMap((name) => places.slice(2 * at.get(name)!, 2 * at.get(name)! + 2));
}

/** What the constructors of data sets take: rows of a file, or plain objects. */
export type RowInput = Row | Readonly<Record<string, unknown>>;

/** Rows from what a program gives. @throws INVALID_OPTION unless it is a list of rows or plain objects; EMPTY_DATA for an empty one */
export function asRows(op: string, rows: readonly RowInput[]): Row[] {
  if (!Array.isArray(rows)) throw new FerroError('INVALID_OPTION', `${op}: rows must be a list, got ${show(rows)}`);
  if (rows.length === 0) throw new FerroError('EMPTY_DATA', `${op}: the data must have at least one row, got none`);
  return rows.map((row: unknown, i) => {
    if (row instanceof Row) return row;
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return new Row(row as Record<string, unknown>, '', i + 1);
    throw new FerroError('INVALID_OPTION', `${op}: each row must be a Row or an object, got ${show(row)} for row ${i + 1}`);
  });
}

/** Collects faults of rows; the first is the one that is told. */
export class Faults {
  #first: FerroError | undefined;
  #count = 0;

  add(fault: FerroError): void {
    this.#first ??= fault;
    this.#count++;
  }

  /**
   * Runs work on one row; INVALID_DATA is collected, anything else thrown, a character that the tokenizer lacks with the row's place.
   * @returns undefined where the row has a fault
   */
  try<T>(work: () => T, row?: Row): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof FerroError)) throw error;
      if (error.code === 'UNKNOWN_CHARACTER' && row !== undefined) {
        throw new FerroError(error.code, `${row.place()}: ${error.message}`, { cause: error });
      }
      if (error.code !== 'INVALID_DATA') throw error;
      this.add(error);
      return undefined;
    }
  }

  /** @throws INVALID_DATA with the first fault and how many more there are, if there are any */
  throwIfAny(): void {
    const more = this.#count - 1;
    if (this.#first === undefined) return;
    if (more === 0) throw this.#first;
    const message = `${this.#first.message} (and ${more} more ${more === 1 ? 'row' : 'rows'} with errors)`;
    throw new FerroError('INVALID_DATA', message, { cause: this.#first });
  }
}
