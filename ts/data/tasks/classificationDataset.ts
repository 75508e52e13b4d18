// Texts with one label each, for a classifier on a language model. Rows in, batches out; the classifier itself is elsewhere.
import { FerroError, show } from '../../errors';
import { sha256Hex } from '../../math/sha256';
import { CLASSIFICATION_DATA_OPTIONS, readOptions } from '../../options';
import type { Tokenizer } from '../../tokenizers';
import type { BatchTensors, ExampleDataset } from '../dataset';
import type { TextSource } from '../textFiles';
import { checkIndices, ExampleStore, emptyReport, filled, requireKept, roundLength, type TaskReport } from './examples';
import { fitText, type Overflow, requireTextOptions, type TemplateSettings, templateOf } from './pairs';
import { type RowFileOptions, readRowFiles } from './readRows';
import { asRows, Faults, type Row, type RowInput } from './row';
import { SegmentEncoder, withoutBorder } from './segments';
import { labelOf } from './shapes';
import { type Template, withTask } from './template';

export interface ClassificationOptions extends TemplateSettings {
  tokenizer: Tokenizer;
  /** Longest text in tokens. */
  blockSize: number;
  /** The labels in the order of their classes. By default those of the rows: integers in ascending order, else sorted by their characters. */
  labels?: readonly string[];
  /** Texts that are longer: left out and counted ('skip', the default), cut at their end ('truncate'), or an error. */
  overflow?: Overflow;
  /** The order of an epoch keeps rows of near length together. False by default. */
  groupByLength?: boolean;
}

/** Labels in ascending order: as numbers where all are integers, else by their characters. */
function sortLabels(labels: Iterable<string>): string[] {
  const list = [...new Set(labels)];
  const numbers = list.every((label) => /^-?(?:0|[1-9][0-9]{0,14})$/.test(label));
  return list.sort((a, b) => (numbers ? Number(a) - Number(b) : a < b ? -1 : 1));
}

/** The labels of rows in the order of their classes, as a data set made of these rows has them. @throws INVALID_DATA for rows without a label */
export function labelsOf(rows: readonly RowInput[]): string[] {
  const faults = new Faults();
  const labels = asRows('labelsOf', rows).map((row) => faults.try(() => labelOf(row)));
  faults.throwIfAny();
  return sortLabels(labels.filter((label) => label !== undefined));
}

/**
 * Rows { text, label } (or any that the template reads) as batches { inputIds i32 [B, T], lengths i32 [B], labels i32 [B] }: `lengths` are the tokens of each
 * text, padding stands at the end, labels are indices into `labels`. A label is a text, an integer or a truth value. Immutable.
 */
export class ClassificationDataset implements ExampleDataset {
  readonly length: number;
  readonly report: Readonly<TaskReport>;
  /** The labels in the order of their classes: give them to the data set that is evaluated. */
  readonly labels: readonly string[];
  readonly template: Template;
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
  readonly lengths?: readonly number[];
  readonly #store: ExampleStore;
  readonly #classes: readonly number[];
  readonly #blockSize: number;
  readonly #padId: number;
  readonly #settings: unknown;
  #hash: Promise<string> | undefined;

  /**
   * @throws INVALID_DATA for rows without text or label and for labels that are not among `labels` (unseen in training), with the first place and how many more;
   *   EMPTY_DATA if no row is kept; UNKNOWN_CHARACTER; INVALID_OPTION, UNKNOWN_OPTION
   */
  constructor(rows: readonly RowInput[], options: ClassificationOptions) {
    const op = 'ClassificationDataset';
    const { tokenizer, blockSize, overflow, groupByLength, ...rest } = readOptions(op, options, CLASSIFICATION_DATA_OPTIONS);
    requireTextOptions(op, tokenizer, blockSize);
    const list = asRows(op, rows);
    const faults = new Faults();
    const given = list.map((row) => faults.try(() => labelOf(row)));
    this.labels = Object.freeze(rest.labels === undefined ? sortLabels(given.filter((label) => label !== undefined)) : [...rest.labels]);
    const classOf = new Map(this.labels.map((label, i) => [label, i]));
    if (classOf.size !== this.labels.length)
      throw new FerroError('INVALID_OPTION', `${op}: "labels" must be different, got ${show(this.labels)}`);
    this.template = templateOf(op, rest as TemplateSettings);
    this.vocabSize = Math.max(tokenizer.vocabSize, ...this.template.allTaskIds(tokenizer).map((id) => id + 1));
    const store = new ExampleStore(this.vocabSize);
    const classes: number[] = [];
    const report = emptyReport(list.length);
    const encoder = new SegmentEncoder(tokenizer, []);
    const encode = (row: Row) => {
      const { ids } = encoder.encode(withoutBorder(this.template.promptSegments(row, tokenizer)));
      return withTask(ids, this.template.taskIds(row, tokenizer), tokenizer.bosId);
    };
    for (const [i, row] of list.entries()) {
      const label = given[i];
      if (label === undefined) continue; // a fault already
      faults.try(() => {
        const index = classOf.get(label);
        if (index === undefined)
          throw row.fault('label', `labels must be among those seen in training (${show(this.labels)})`, show(label));
        const ids = fitText(op, encode(row), blockSize, overflow, row, report);
        if (ids === null) return;
        report.kept++;
        report.tokens += ids.length;
        store.push(ids);
        classes.push(index);
      }, row);
    }
    faults.throwIfAny();
    requireKept(op, report);
    report.examples = report.countedTokens = report.kept;
    this.length = report.kept;
    this.report = Object.freeze(report);
    this.tokenizer = tokenizer;
    if (groupByLength) this.lengths = classes.map((_, i) => store.lengthOf(i));
    this.#store = store;
    this.#classes = classes;
    this.#blockSize = blockSize;
    this.#padId = tokenizer.padId ?? 0;
    this.#settings = ['classification', blockSize, groupByLength, this.labels, classes, this.#padId];
  }

  /** The rows of one or many files: columns text and label where a TSV file does not say otherwise. @throws as readRowFiles and the constructor */
  static async fromFiles(
    sources: TextSource | Iterable<TextSource>,
    options: ClassificationOptions,
    reading: RowFileOptions = {},
  ): Promise<ClassificationDataset> {
    return new ClassificationDataset(await readRowFiles(sources, { defaultColumns: ['text', 'label'], ...reading }), options);
  }

  /** How many kept rows have each label, in the order of `labels`: the largest share is the majority baseline. */
  get counts(): readonly number[] {
    const counts = this.labels.map(() => 0);
    for (const index of this.#classes) counts[index]++;
    return counts;
  }

  batch(indices: readonly number[]): BatchTensors {
    checkIndices('ClassificationDataset.batch', indices, this.length);
    const lengths = Int32Array.from(indices, (index) => this.#store.lengthOf(index));
    const T = roundLength(
      lengths.reduce((most, length) => Math.max(most, length), 0),
      this.#blockSize,
    );
    const inputIds = filled(indices.length, T, this.#padId);
    for (const [b, index] of indices.entries()) this.#store.copyIds(index, inputIds.data, b * T);
    const labels = Int32Array.from(indices, (index) => this.#classes[index]);
    return { inputIds, lengths: { data: lengths, shape: [indices.length] }, labels: { data: labels, shape: [indices.length] } };
  }

  hash(): Promise<string> {
    this.#hash ??= this.#store.hash().then((ids) => sha256Hex(JSON.stringify([this.#settings, ids])));
    return this.#hash;
  }
}
