// Rows of JSON: one object per line (JSONL), or one list of objects (a file that begins with "["), read piece by piece in memory of one row.
import { FerroError, show } from '../../errors';
import { LineSplitter, MAX_ROW, tooLong } from './lines';
import { Faults, inKeyOrder, Row } from './row';
import { scanJson } from './scanJson';

/** Reads the rows of one file from its text in pieces. */
export interface RowReader {
  push(text: string): void;
  /** All rows. @throws INVALID_DATA with the first fault and how many more there are */
  finish(): Row[];
}

/** Where a text stands in its file. */
interface Place {
  readonly line: number;
  readonly column: number;
}

/** The place of an offset in a text of which `from` stands at `start`. Reads only what lies between. */
function placeOf(text: string, offset: number, start: Place, from = 0): Place {
  const between = text.slice(from, offset);
  const last = between.lastIndexOf('\n');
  if (last < 0) return { line: start.line, column: start.column + between.length };
  let { line } = start;
  for (let end = between.indexOf('\n'); end >= 0; end = between.indexOf('\n', end + 1)) line++;
  return { line, column: between.length - last };
}

/** The row of one JSON value. @throws INVALID_DATA */
function jsonRow(text: string, layout: ReturnType<typeof scanJson>, file: string, start: Place): Row {
  const fault = (at: number, rule: string, got: string) => {
    const { line, column } = placeOf(text, at, start);
    return new FerroError('INVALID_DATA', `${file}:${line}:${column}: ${rule}, got ${got}`);
  };
  if ('rule' in layout) throw fault(layout.at, layout.rule, layout.got);
  const value: unknown = JSON.parse(text);
  if (layout.members === null) throw fault(text.search(/[^ \t\n\r]/), 'a row must be an object', show(value));
  // One way through the text for all places, however many members there are.
  let [place, from] = [start, 0];
  const places: number[] = [];
  for (const offset of layout.members.values()) {
    [place, from] = [placeOf(text, offset, place, from), offset];
    places.push(place.line, place.column);
  }
  const fields = value as Record<string, unknown>;
  return new Row(fields, file, start.line, inKeyOrder(fields, [...layout.members.keys()], places));
}

/** One object per line; lines of white space alone are passed over. */
class LinesOfJson implements RowReader {
  readonly #rows: Row[] = [];
  readonly #faults = new Faults();
  readonly #lines: LineSplitter;

  constructor(file: string) {
    this.#lines = new LineSplitter(file, (text, line) => {
      if (/^[ \t\r]*$/.test(text)) return;
      const row = this.#faults.try(() => jsonRow(text, scanJson(text), file, { line, column: 1 }));
      if (row !== undefined) this.#rows.push(row);
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
}

/**
 * One list of objects. Its items are cut at the commas between them, so that each is checked and read by itself. Behind an item that is no JSON it cannot be
 * told where the next begins: reading ends there.
 */
class ListOfJson implements RowReader {
  readonly #file: string;
  readonly #rows: Row[] = [];
  readonly #faults = new Faults();
  /** Text of the item so far, and where it begins. */
  #parts: string[] = [];
  #length = 0;
  #start: Place = { line: 1, column: 1 };
  /** How deep the next character lies: 0 before and behind the list. */
  #depth = 0;
  #ended = false;
  #inString = false;
  #escaped = false;
  /** Place of the next character. */
  #line = 1;
  #column = 1;

  constructor(file: string) {
    this.#file = file;
  }

  push(text: string): void {
    let from = 0; // where the part of the item begins that lies in this piece
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      const between = this.#depth === 0 || (this.#depth === 1 && !this.#inString && (code === COMMA || code === END_LIST));
      if (this.#depth === 1 && between) {
        this.#hold(text.slice(from, i));
        this.#item(code === END_LIST);
      }
      this.#step(code);
      if (code === LINE_FEED) {
        this.#line++;
        this.#column = 1;
      } else this.#column++;
      if (!between) continue;
      from = i + 1;
      this.#start = { line: this.#line, column: this.#column };
    }
    if (this.#depth > 0) this.#hold(text.slice(from));
  }

  finish(): Row[] {
    if (!this.#ended) this.#stop({ line: this.#line, column: this.#column }, 'a list must end with "]"', 'the end');
    this.#faults.throwIfAny();
    return this.#rows;
  }

  /** What a character changes. A bracket too many stays in its item, where it is found at fault. */
  #step(code: number): void {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (code === BACKSLASH) this.#escaped = true;
      else if (code === QUOTE) this.#inString = false;
    } else if (this.#depth === 0) this.#outside(code);
    else if (code === QUOTE) this.#inString = true;
    else if (code === BEGIN_LIST || code === BEGIN_OBJECT) this.#depth++;
    else if (code === END_LIST && this.#depth === 1) {
      this.#depth = 0;
      this.#ended = true;
    } else if ((code === END_LIST || code === END_OBJECT) && this.#depth > 1) this.#depth--;
  }

  #outside(code: number): void {
    if (!this.#ended && code === BEGIN_LIST) this.#depth = 1;
    else if (!isSpace(code)) {
      this.#stop({ line: this.#line, column: this.#column }, 'nothing must follow the list', JSON.stringify(String.fromCharCode(code)));
    }
  }

  #hold(part: string): void {
    this.#length += part.length;
    if (this.#length > MAX_ROW) throw tooLong(this.#file, this.#start.line);
    if (part !== '') this.#parts.push(part);
  }

  #item(last: boolean): void {
    const whole = this.#parts.join('');
    this.#parts = [];
    this.#length = 0;
    const lead = whole.search(/[^ \t\n\r]/);
    if (lead < 0) {
      if (last && this.#rows.length === 0) return; // an empty list
      this.#stop({ line: this.#line, column: this.#column }, 'a JSON value must begin here', last ? '"]"' : '","');
    }
    const text = whole.slice(lead);
    const layout = scanJson(text);
    const row = this.#faults.try(() => jsonRow(text, layout, this.#file, placeOf(whole, lead, this.#start)));
    if ('rule' in layout) this.#faults.throwIfAny();
    if (row !== undefined) this.#rows.push(row);
  }

  /** A fault behind which nothing can be read. */
  #stop({ line, column }: Place, rule: string, got: string): void {
    this.#faults.add(new FerroError('INVALID_DATA', `${this.#file}:${line}:${column}: ${rule}, got ${got}`));
    this.#faults.throwIfAny();
  }
}

const [LINE_FEED, QUOTE, COMMA, BEGIN_LIST, BACKSLASH, END_LIST, BEGIN_OBJECT, END_OBJECT] = Array.from('\n",[\\]{}', (c) =>
  c.charCodeAt(0),
);
const isSpace = (code: number): boolean => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

/** Rows of a JSONL file, or of a JSON file with one list: its first character that is no white space tells which. */
export class JsonRowReader implements RowReader {
  readonly #file: string;
  #reader: RowReader | undefined;
  /** White space before anything else. */
  #space = '';
  #begun = false;

  constructor(file: string) {
    this.#file = file;
  }

  push(text: string): void {
    if (this.#reader !== undefined) {
      this.#reader.push(text);
      return;
    }
    if (text === '') return;
    const piece = this.#begun || text.charCodeAt(0) !== 0xfeff ? text : text.slice(1);
    this.#begun = true;
    this.#space += piece;
    const first = this.#space.search(/[^ \t\n\r]/);
    if (first < 0) {
      if (this.#space.length > MAX_ROW) throw tooLong(this.#file, 1);
      return;
    }
    const held = this.#space;
    this.#space = '';
    this.#reader = held[first] === '[' ? new ListOfJson(this.#file) : new LinesOfJson(this.#file);
    this.#reader.push(held);
  }

  finish(): Row[] {
    return this.#reader?.finish() ?? [];
  }
}
