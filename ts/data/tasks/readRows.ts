// Reading rows: from a text, or from files piece by piece. The formats are in jsonRows.ts, tsvRows.ts and babiRows.ts; what a row must hold is the business of
// the data set that is made of it.
import { FerroError, show, throwIfAborted } from '../../errors';
import { checkNames, namesOf } from '../../options';
import { type ReadOptions, readPieces, type TextSource, textSources } from '../textFiles';
import { BabiRowReader } from './babiRows';
import { JsonRowReader, type RowReader } from './jsonRows';
import type { Row } from './row';
import { type TsvOptions, TsvRowReader } from './tsvRows';

/** jsonl: an object per line, or one JSON list of objects; tsv: fields between tabs; babi: stories of the bAbI tasks. */
export type RowFormat = 'jsonl' | 'tsv' | 'babi';

export interface RowOptions extends TsvOptions {
  format: RowFormat;
  /** The file, for messages. 'data' by default. */
  name?: string;
}

export interface RowFileOptions extends TsvOptions, ReadOptions {
  /** By default by the ending of each name: .jsonl, .ndjson and .json are jsonl, .tsv and .txt are tsv, .babi is babi. */
  format?: RowFormat;
}

const TSV_OPTIONS: Record<keyof TsvOptions, true> = { columns: true, defaultColumns: true, header: true };
const ROW_OPTIONS = namesOf<RowOptions>({ ...TSV_OPTIONS, format: true, name: true });
const FILE_OPTIONS = namesOf<RowFileOptions>({ ...TSV_OPTIONS, format: true, signal: true, onProgress: true });

const ENDINGS: Readonly<Record<string, RowFormat>> = {
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json: 'jsonl',
  tsv: 'tsv',
  txt: 'tsv',
  babi: 'babi',
};

function openReader(format: RowFormat, file: string, options: TsvOptions): RowReader {
  switch (format) {
    case 'jsonl':
      return new JsonRowReader(file);
    case 'tsv':
      return new TsvRowReader(file, options);
    case 'babi':
      return new BabiRowReader(file);
    default:
      throw new FerroError('INVALID_OPTION', `readRows: "format" must be one of "jsonl", "tsv", "babi", got ${show(format)}`);
  }
}

function formatOf(name: string): RowFormat {
  const ending = /\.([^./\\]+)$/.exec(name)?.[1].toLowerCase() ?? '';
  if (Object.hasOwn(ENDINGS, ending)) return ENDINGS[ending];
  throw new FerroError(
    'INVALID_OPTION',
    `readRows: "format" must be given (on the command line "--data-format") for a name that does not end in .jsonl, .json, .tsv, .txt or .babi, got ${show(name)}`,
  );
}

function requireRows(rows: Row[], name: string): Row[] {
  if (rows.length === 0) throw new FerroError('EMPTY_DATA', `${name}: the file must have at least one row, got none`);
  return rows;
}

/**
 * The rows of a text. A byte order mark at its beginning and CR before LF are left out, empty lines are passed over; a lone surrogate (JSON can name one) is
 * kept, tokenizers read it as U+FFFD. Faulty rows are collected: the error tells the first as `name:line:column: rule, got value`, and how many more.
 * @throws INVALID_DATA, EMPTY_DATA without a row, INVALID_OPTION, UNKNOWN_OPTION
 */
export function readRows(text: string, options: RowOptions): Row[] {
  checkNames('readRows', options, ROW_OPTIONS);
  const { format, name = 'data', ...rest } = options;
  if (typeof text !== 'string') throw new FerroError('INVALID_OPTION', `readRows: the text must be a string, got ${show(text)}`);
  const reader = openReader(format, name, rest);
  reader.push(text);
  return requireRows(reader.finish(), name);
}

/** The rows of a text in the bAbI tasks' format: { passage, question, answer, support }. @throws as readRows */
export function readBabi(text: string, options: { name?: string } = {}): Row[] {
  checkNames('readBabi', options, ['name']);
  return readRows(text, { ...options, format: 'babi' });
}

/**
 * The rows of one or many files, in order, read piece by piece: paths (Node) or File and Blob objects.
 * @throws INVALID_DATA, EMPTY_DATA (also for one file without a row), NOT_UTF8 naming file and offset, FILE_NOT_FOUND, FILE_ERROR, INVALID_OPTION, UNKNOWN_OPTION, ABORTED
 */
export async function readRowFiles(sources: TextSource | Iterable<TextSource>, options: RowFileOptions = {}): Promise<Row[]> {
  checkNames('readRowFiles', options, FILE_OPTIONS);
  throwIfAborted(options.signal, 'readRowFiles');
  const rows: Row[] = [];
  let current: { index: number; name: string; reader: RowReader } | undefined;
  const finish = () => {
    if (current === undefined) return;
    for (const row of requireRows(current.reader.finish(), current.name)) rows.push(row);
  };
  for await (const { name, index, text } of readPieces(textSources(sources), options)) {
    if (index !== current?.index) {
      finish();
      current = { index, name, reader: openReader(options.format ?? formatOf(name), name, options) };
    }
    current.reader.push(text);
  }
  finish();
  return rows;
}
