// Rows of the user's files for the tasks that learn from rows: read, renamed, and parted into what is trained on and what is evaluated on. What a row must hold is ts/data/tasks'.
import { type Row, type RowFormat, readRowFiles, splitExamples, type TaskReport } from '../../data';
import { FerroError } from '../../errors';
import { formatCount } from '../format';
import type { Output } from '../output';

/** Rows to train on and rows to evaluate on. */
interface Parts {
  train: Row[];
  evaluation: Row[];
}

/** The flags about rows. */
export interface RowFlags {
  columns?: readonly string[];
  header?: boolean;
  dataFormat?: RowFormat;
}

/** Names of columns in their order, or other names of fields. */
interface Names {
  columns?: readonly string[];
  /** Name in the file → name that the task knows. */
  renamed: ReadonlyMap<string, string>;
}

/** A single word with commas is a list (text,label), unless it is a name=field with a comma in the field's name. */
function listed(columns: readonly string[]): readonly string[] {
  if (columns.length !== 1) return columns;
  const parts = columns[0].split(',').map((part) => part.trim());
  const pairs = parts.filter((part) => part.includes('='));
  return pairs.length === 0 || pairs.length === parts.length ? parts : columns;
}

/** Reads --columns: all of them names, or all of them name=field. @throws INVALID_OPTION */
function readColumns(given: readonly string[] | undefined): Names {
  if (given === undefined) return { renamed: new Map() };
  const columns = listed(given);
  const pairs = columns.map((one) => one.split('='));
  if (pairs.every((pair) => pair.length === 1)) return { columns, renamed: new Map() };
  const fault = (got: unknown) =>
    new FerroError(
      'INVALID_OPTION',
      `--columns: must be names of columns in their order, or name=field for each, got ${JSON.stringify(got)}`,
    );
  const renamed = new Map<string, string>();
  for (const [name, field, ...more] of pairs) {
    if (!name || !field || more.length > 0 || renamed.has(field)) throw fault(columns);
    renamed.set(field, name);
  }
  return { renamed };
}

/** The rows of files. @throws as `readRowFiles`; INVALID_DATA for a row without a field that --columns names */
export async function loadRows(files: readonly string[], flags: RowFlags, defaultColumns: readonly string[]): Promise<Row[]> {
  const { columns, renamed } = readColumns(flags.columns);
  // Where fields are named by a header, there is one.
  const header = flags.header ?? (renamed.size > 0 ? true : undefined);
  const rows = await readRowFiles(files, { format: flags.dataFormat, columns, header, defaultColumns });
  return renamed.size === 0 ? rows : rows.map((row) => row.renamed(renamed));
}

/** Rows to train on and rows to evaluate on: those of --eval-data, else a share of the data drawn by the seed (files are often sorted), by a field where one is named. */
export async function loadParts(
  values: RowFlags & { evalData?: readonly string[]; evalFraction: number; splitBy?: string; seed: number },
  data: readonly string[],
  defaultColumns: readonly string[],
): Promise<Parts> {
  const { evalFraction, seed, splitBy } = values;
  const rows = await loadRows(data, values, defaultColumns);
  if (values.evalData !== undefined) return { train: rows, evaluation: await loadRows(values.evalData, values, defaultColumns) };
  const { train, validation } = splitExamples(rows, { evalFraction, seed, key: splitBy });
  if (train.length > 0) return { train, evaluation: validation };
  const got = `${formatCount(rows.length)} ${rows.length === 1 ? 'row' : 'rows'}, all of them in the part to evaluate on`;
  throw new FerroError('EMPTY_DATA', `train: "--eval-fraction" and "--split-by" must leave rows to train on, got ${got}`);
}

/** The row that samples are made of: the first that can be read, of those to evaluate on before those to train on. */
export function sampledRow(train: readonly Row[], evaluation: readonly Row[], canRead: (row: Row) => boolean): Row {
  return evaluation.find(canRead) ?? train.find(canRead) ?? train[0];
}

/** The data sets of both parts, null where nothing is evaluated, and what they tell about rows left out. @throws as `make` */
export function datasetsOf<D extends { readonly report: TaskReport }>(
  output: Output,
  { train, evaluation }: Parts,
  make: (rows: readonly Row[], training: boolean) => D,
): { dataset: D; evalDataset: D | null } {
  const dataset = make(train, true);
  noteReport(output, 'training data', dataset.report);
  const evalDataset = evaluation.length === 0 ? null : make(evaluation, false);
  if (evalDataset !== null) noteReport(output, 'evaluation data', evalDataset.report);
  return { dataset, evalDataset };
}

/** The number of rows that are evaluated on. */
export const heldCount = (held: { readonly report: TaskReport } | null): string => formatCount(held === null ? 0 : held.report.kept);

/** Every text in rows, those in lists and objects too (messages): what a tokenizer is made from. */
export function* textsOf(rows: readonly Row[]): Generator<string> {
  for (const { fields } of rows) yield* textsIn(fields);
}

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) yield* textsIn(item);
}

/** Tells what became of the rows where some were not taken as they are. */
export function noteReport(
  output: Output,
  which: string,
  { rows, kept, empty, tooLong, truncated, longest, firstTooLong }: TaskReport,
): void {
  const parts = [
    ...(empty > 0 ? [`${formatCount(empty)} empty`] : []),
    ...(tooLong > 0
      ? [`${formatCount(tooLong)} longer than the context (the longest: ${formatCount(longest)} tokens; the first: ${firstTooLong})`]
      : []),
  ];
  if (parts.length > 0)
    output.note(`warning: ${which}: ${formatCount(rows - kept)} of ${formatCount(rows)} rows left out: ${parts.join(', ')}`);
  if (truncated > 0) output.note(`warning: ${which}: ${formatCount(truncated)} of ${formatCount(rows)} rows cut to the context`);
}
