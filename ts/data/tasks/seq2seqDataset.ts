// Sources and targets for an encoder-decoder: teacher forcing's batches. Rows in, batches out.
import { FerroError } from '../../errors';
import { sha256Hex } from '../../math/sha256';
import { readOptions, SEQ2SEQ_DATA_OPTIONS } from '../../options';
import type { Tokenizer } from '../../tokenizers';
import { type BatchTensors, type ExampleDataset, IGNORE_INDEX } from '../dataset';
import type { TextSource } from '../textFiles';
import { checkIndices, ExampleStore, emptyReport, filled, requireKept, roundLength, type TaskReport } from './examples';
import { fitText, type Overflow, requireTokenizer, type TemplateSettings, templateOf } from './pairs';
import { type RowFileOptions, readRowFiles } from './readRows';
import { asRows, Faults, type Row, type RowInput } from './row';
import { type Segment, SegmentEncoder, withoutBorder } from './segments';
import { type Template, withTask } from './template';

export interface Seq2SeqOptions extends TemplateSettings {
  /** Encodes the sources, and the targets where `targetTokenizer` is not given. */
  tokenizer: Tokenizer;
  targetTokenizer?: Tokenizer;
  /** Longest source in tokens; any by default. */
  maxSourceLength?: number;
  /** Longest target in tokens, its end counted; any by default. */
  maxTargetLength?: number;
  /** The id that a decoder begins with, and the one that ends a target; the target tokenizer's by default. Ids beyond its vocabulary are allowed. */
  bosId?: number;
  eosId?: number;
  /** Rows with a longer source or target: left out and counted ('skip', the default), the source's end cut ('truncate'), or an error. A target is never cut. */
  overflow?: Overflow;
  /** The order of an epoch keeps rows of near length together. False by default. */
  groupByLength?: boolean;
}

/** The id of a role. @throws INVALID_OPTION where neither options nor tokenizer have one */
function roleId(op: string, name: 'bosId' | 'eosId', given: number | undefined, tokenizer: Tokenizer): number {
  const id = given ?? tokenizer[name];
  if (id !== null) return id;
  throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be given for a target tokenizer without such a token, got none`);
}

/**
 * Rows { source, target } (or any that the template reads: its prompt is the source, its completion the target) as batches { inputIds, inputMask i32 [B, S]
 * (1 for tokens, 0 for padding), decoderInputIds, labels i32 [B, T] }: for target y1 … yn the decoder reads bosId, y1 … yn and learns y1 … yn, eosId; −100 on
 * padding. Immutable.
 */
export class Seq2SeqDataset implements ExampleDataset {
  readonly length: number;
  readonly report: Readonly<TaskReport>;
  readonly template: Template;
  readonly tokenizer: Tokenizer;
  readonly targetTokenizer: Tokenizer;
  readonly bosId: number;
  readonly eosId: number;
  readonly lengths?: readonly number[];
  readonly #encoder: SegmentEncoder;
  readonly #sources: ExampleStore;
  readonly #targets: ExampleStore;
  readonly #maxSource: number;
  readonly #maxTarget: number;
  readonly #padIds: readonly [number, number];
  readonly #settings: unknown;
  #hash: Promise<string> | undefined;

  /**
   * @throws INVALID_DATA for rows without the fields they need, with the first place and how many more; EMPTY_DATA if no row is kept; UNKNOWN_CHARACTER;
   *   INVALID_OPTION, UNKNOWN_OPTION
   */
  constructor(rows: readonly RowInput[], options: Seq2SeqOptions) {
    const op = 'Seq2SeqDataset';
    const { tokenizer, targetTokenizer = tokenizer, overflow, groupByLength, ...rest } = readOptions(op, options, SEQ2SEQ_DATA_OPTIONS);
    requireTokenizer(op, 'tokenizer', tokenizer);
    requireTokenizer(op, 'targetTokenizer', targetTokenizer);
    const { maxSourceLength = Number.POSITIVE_INFINITY, maxTargetLength = Number.POSITIVE_INFINITY } = rest;
    this.tokenizer = tokenizer;
    this.targetTokenizer = targetTokenizer;
    this.template = templateOf(op, rest as TemplateSettings);
    this.bosId = roleId(op, 'bosId', rest.bosId, targetTokenizer);
    this.eosId = roleId(op, 'eosId', rest.eosId, targetTokenizer);
    this.#encoder = new SegmentEncoder(tokenizer, []);
    this.#maxSource = maxSourceLength;
    this.#maxTarget = maxTargetLength;
    this.#padIds = [tokenizer.padId ?? 0, targetTokenizer.padId ?? 0];
    this.#sources = new ExampleStore(Math.max(tokenizer.vocabSize, ...this.template.allTaskIds(tokenizer).map((id) => id + 1)));
    this.#targets = new ExampleStore(Math.max(targetTokenizer.vocabSize, this.bosId + 1, this.eosId + 1));
    this.report = Object.freeze(this.#read(asRows(op, rows), op, overflow));
    this.length = this.report.kept;
    if (groupByLength) this.lengths = Array.from({ length: this.length }, (_, i) => this.#sources.lengthOf(i) + this.#targets.lengthOf(i));
    this.#settings = ['seq2seq', this.bosId, this.eosId, maxSourceLength, maxTargetLength, groupByLength, this.#padIds];
  }

  /** The rows of one or many files: columns source and target where a TSV file does not say otherwise. @throws as readRowFiles and the constructor */
  static async fromFiles(
    sources: TextSource | Iterable<TextSource>,
    options: Seq2SeqOptions,
    reading: RowFileOptions = {},
  ): Promise<Seq2SeqDataset> {
    return new Seq2SeqDataset(await readRowFiles(sources, { defaultColumns: ['source', 'target'], ...reading }), options);
  }

  /** The ids of a source as in training, to generate from; the row need not have a target. @throws INVALID_DATA, UNKNOWN_CHARACTER */
  sourceIds(row: RowInput): Int32Array {
    const [given] = asRows('sourceIds', [row]);
    return Int32Array.from(this.#source(this.template.promptSegments(given, this.tokenizer), given));
  }

  batch(indices: readonly number[]): BatchTensors {
    checkIndices('Seq2SeqDataset.batch', indices, this.length);
    const longest = (store: ExampleStore) => indices.reduce((most, index) => Math.max(most, store.lengthOf(index)), 0);
    const B = indices.length;
    const S = roundLength(longest(this.#sources), this.#maxSource);
    const T = roundLength(longest(this.#targets) + 1, this.#maxTarget);
    const [inputIds, inputMask] = [filled(B, S, this.#padIds[0]), filled(B, S, 0)];
    const [decoderInputIds, labels] = [filled(B, T, this.#padIds[1]), filled(B, T, IGNORE_INDEX)];
    for (const [b, index] of indices.entries()) {
      const n = this.#targets.lengthOf(index);
      this.#sources.copyIds(index, inputIds.data, b * S);
      inputMask.data.fill(1, b * S, b * S + this.#sources.lengthOf(index));
      decoderInputIds.data[b * T] = this.bosId;
      this.#targets.copyIds(index, decoderInputIds.data, b * T + 1);
      this.#targets.copyIds(index, labels.data, b * T);
      labels.data[b * T + n] = this.eosId;
    }
    return { inputIds, inputMask, decoderInputIds, labels };
  }

  hash(): Promise<string> {
    this.#hash ??= Promise.all([this.#sources.hash(), this.#targets.hash()]).then((ids) =>
      sha256Hex(JSON.stringify([this.#settings, ids])),
    );
    return this.#hash;
  }

  #source(segments: readonly Segment[], row: Row): readonly number[] {
    const { ids } = this.#encoder.encode(withoutBorder(segments));
    return withTask(ids, this.template.taskIds(row, this.tokenizer), this.tokenizer.bosId);
  }

  #read(rows: readonly Row[], op: string, overflow: Overflow): TaskReport {
    const report = emptyReport(rows.length);
    const faults = new Faults();
    for (const row of rows) faults.try(() => this.#add(row, op, overflow, report), row);
    faults.throwIfAny();
    requireKept(op, report);
    report.examples = report.kept;
    return report;
  }

  #add(row: Row, op: string, overflow: Overflow, report: TaskReport): void {
    const segments = withoutBorder(this.template.segments(row, this.tokenizer));
    const answer = segments.filter(({ counted, end }) => counted && !end);
    const target = this.targetTokenizer.encode(answer.map(({ text }) => text).join(''));
    const source = this.#source(
      segments.filter(({ counted }) => !counted),
      row,
    );
    if (source.length === 0 || target.length === 0) {
      report.empty++;
      return;
    }
    // A target that is too long is never cut, whatever happens to sources.
    const fits = fitText(op, Array.from(target), this.#maxTarget - 1, overflow === 'truncate' ? 'skip' : overflow, row, report) !== null;
    const kept = fits ? fitText(op, source, this.#maxSource, overflow, row, report) : null;
    if (kept === null) return;
    this.#sources.push(kept);
    this.#targets.push(target, new Uint8Array(target.length).fill(1));
    report.kept++;
    report.tokens += kept.length + target.length + 1;
    report.countedTokens += target.length + 1;
  }
}
