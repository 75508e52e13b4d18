// Rows of a TSV file: fields between tabs, one row per line. Quotes and backslashes are ordinary characters; a text with a tab or a line break cannot be in
// such a file.
import { FerroError, show } from '../../errors';
import type { RowReader } from './jsonRows';
import { LineSplitter } from './lines';
import { Faults, inKeyOrder, Row } from './row';

/** A column of this name is passed over. */
export const IGNORED_COLUMN = '-';

/**
 * Names that the fields of rows have. A first line that consists of such names only, none twice, is taken for a header.
 */
export const FIELD_NAMES: readonly string[] = [
  'prompt',
  'completion',
  'instruction',
  'input',
  'output',
  'passage',
  'context',
  'question',
  'answer',
  'text',
  'sentence',
  'label',
  'source',
  'target',
  'chosen',
  'rejected',
  'task',
];

export interface TsvOptions {
  /** Names of the columns; '-' passes one over. A first line that says just these, or that is a header (see FIELD_NAMES), is no row. */
  readonly columns?: readonly string[];
  /** Names of the columns where there are neither `columns` nor a header. */
  readonly defaultColumns?: readonly string[];
  /** Whether the first line is a header. By default it is one if it consists of names in FIELD_NAMES, or says `columns`. */
  readonly header?: boolean;
}

/** Checks names of columns. @throws the error that `fail` makes */
function checkColumns(columns: readonly string[], fail: (rule: string, got: string) => FerroError): readonly string[] {
  const named = columns.filter((name) => name !== IGNORED_COLUMN);
  const first = new Map<string, number>();
  for (const [i, name] of named.entries()) if (!first.has(name)) first.set(name, i);
  const twice = named.find((name, i) => first.get(name) !== i);
  if (twice !== undefined) throw fail('a column must have a name of its own', show(twice));
  if (named.includes('')) throw fail('a column must have a name', '""');
  if (named.length === 0) throw fail('at least one column must have a name', show(columns));
  return columns;
}

const invalidOption = (rule: string, got: string) => new FerroError('INVALID_OPTION', `readRows: "columns": ${rule}, got ${got}`);

/** Reads one TSV file. Empty lines are passed over. */
export class TsvRowReader implements RowReader {
  readonly #file: string;
  readonly #options: TsvOptions;
  readonly #rows: Row[] = [];
  readonly #faults = new Faults();
  readonly #lines: LineSplitter;
  #columns: readonly string[] | undefined;

  /** @throws INVALID_OPTION for columns without a name or with one name twice */
  constructor(file: string, options: TsvOptions = {}) {
    this.#file = file;
    this.#options = options;
    for (const columns of [options.columns, options.defaultColumns]) if (columns !== undefined) checkColumns(columns, invalidOption);
    this.#lines = new LineSplitter(file, (line, number) => {
      if (line !== '') this.#line(line.split('\t'), number);
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

  #line(values: string[], number: number): void {
    if (this.#columns === undefined && this.#begin(values, number)) return;
    const columns = this.#columns!;
    if (values.length !== columns.length) {
      const behind = values.slice(0, columns.length).join('\t').length + (values.length > columns.length ? 2 : 1);
      const rule = `rows must have ${columns.length} ${columns.length === 1 ? 'field' : 'fields'} between tabs`;
      this.#faults.add(new FerroError('INVALID_DATA', `${this.#file}:${number}:${behind}: ${rule}, got ${values.length}`));
      return;
    }
    const members: [string, string][] = [];
    const places: number[] = [];
    let column = 1;
    for (const [i, value] of values.entries()) {
      if (columns[i] !== IGNORED_COLUMN) {
        members.push([columns[i], value]);
        places.push(number, column);
      }
      column += value.length + 1;
    }
    const fields = Object.fromEntries(members); // own properties, whatever the name
    const names = members.map(([name]) => name);
    this.#rows.push(new Row(fields, this.#file, number, inKeyOrder(fields, names, places)));
  }

  /** Settles the columns by the first line. @returns whether it is a header */
  #begin(values: readonly string[], number: number): boolean {
    const { columns, defaultColumns, header = this.#isHeader(values) } = this.#options;
    const fail = (rule: string, got: string) => new FerroError('INVALID_DATA', `${this.#file}:${number}:1: ${rule}, got ${got}`);
    if (header) this.#columns = columns ?? checkColumns(values, fail);
    else this.#columns = columns ?? defaultColumns;
    if (this.#columns !== undefined) return header;
    throw fail('the first line must be a header of known names, or "columns" be given', show(values));
  }

  #isHeader(values: readonly string[]): boolean {
    const { columns } = this.#options;
    if (columns !== undefined && columns.length === values.length && columns.every((name, i) => name === values[i])) return true;
    return values.every((value, i) => FIELD_NAMES.includes(value) && values.indexOf(value) === i);
  }
}
