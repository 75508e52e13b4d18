// Supervised pairs for a causal language model: the prompt is read, the completion and the end of text are learned. Padded or packed. Rows in, batches out; no
// files (see fromFiles for those) and no model.
import { sha256Hex } from '../../math/sha256';
import { readOptions, SFT_DATA_OPTIONS } from '../../options';
import type { Tokenizer } from '../../tokenizers';
import { type BatchTensors, type ExampleDataset, IGNORE_INDEX } from '../dataset';
import type { TextSource } from '../textFiles';
import { checkIndices, ExampleStore, emptyReport, filled, requireKept, roundLength, type TaskReport, writePredictions } from './examples';
import { packLengths } from './packing';
import { type Overflow, PairEncoder, requireTextOptions, type TemplateSettings } from './pairs';
import { type RowFileOptions, readRowFiles } from './readRows';
import { asRows, Faults, type RowInput } from './row';
import type { Template } from './template';

export interface SftOptions extends TemplateSettings {
  tokenizer: Tokenizer;
  /** Places in the model's context: a row of n tokens takes n − 1. */
  blockSize: number;
  /** What ends a completion and is learned with it: an id, a text, or '' for nothing. The tokenizer's end-of-text token by default. */
  endOfText?: number | string;
  /** Rows longer than the context: left out and counted ('skip', the default), cut at the front of the prompt ('truncate'), or an error. */
  overflow?: Overflow;
  /** Several rows in one sequence, which see nothing of each other. False by default. */
  packing?: boolean;
  /** The order of an epoch keeps rows of near length together. False by default. */
  groupByLength?: boolean;
}

/**
 * Rows of any shape (prompt and completion; instruction, input and output; question, passage and answer; source and target; text and label; messages; text alone)
 * as batches { inputIds, labels } i32 [B, T], packed also { starts, positions } i32 [B, T]: place t of row b sees starts[b, t] … t and is the positions[b, t]-th
 * of its own document. labels[b, t] is the token after inputIds[b, t] where it is learned, else −100. Prompt and completion are encoded apart, so that a prompt has
 * the same ids in training and in generation (`template.promptIds`). Immutable.
 */
export class SftDataset implements ExampleDataset {
  readonly length: number;
  readonly report: Readonly<TaskReport>;
  readonly template: Template;
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
  readonly packed: boolean;
  /** Places of each example, where the order of an epoch is to keep near lengths together. */
  readonly lengths?: readonly number[];
  readonly #store: ExampleStore;
  /** Sequences of each example. */
  readonly #examples: readonly (readonly number[])[];
  readonly #blockSize: number;
  /** T of every packed batch. */
  readonly #packedLength: number;
  readonly #padId: number;
  readonly #settings: unknown;
  #hash: Promise<string> | undefined;

  /**
   * @throws INVALID_DATA for rows without the fields they need, with the first place and how many more; EMPTY_DATA if no row is kept; UNKNOWN_CHARACTER;
   *   INVALID_OPTION, UNKNOWN_OPTION
   */
  constructor(rows: readonly RowInput[], options: SftOptions) {
    const op = 'SftDataset';
    const { tokenizer, blockSize, overflow, packing, groupByLength, ...rest } = readOptions(op, options, SFT_DATA_OPTIONS);
    requireTextOptions(op, tokenizer, blockSize);
    const list = asRows(op, rows);
    const encoder = new PairEncoder(op, { ...(rest as TemplateSettings), endOfText: options.endOfText, tokenizer, blockSize, overflow });
    const store = new ExampleStore(encoder.vocabSize);
    const report = emptyReport(list.length);
    const faults = new Faults();
    for (const row of list) {
      faults.try(() => {
        const segments = encoder.template.segments(row, tokenizer);
        if (!segments.some(({ counted, text }) => counted && text !== '')) {
          report.empty++;
          return;
        }
        const kept = encoder.fit(encoder.encode(segments, row), row, report);
        if (kept === null) return;
        report.kept++;
        report.tokens += kept.ids.length;
        report.countedTokens += kept.counted.reduce((sum, mark, t) => sum + (t > 0 ? mark : 0), 0);
        store.push(kept.ids, kept.counted);
      }, row);
    }
    faults.throwIfAny();
    requireKept(op, report);
    const places = Array.from({ length: store.count }, (_, i) => store.lengthOf(i) - 1);
    this.#examples = packing ? packLengths(places, blockSize) : places.map((_, i) => [i]);
    const used = this.#examples.map((sequences) => sequences.reduce((sum, i) => sum + places[i], 0));
    report.examples = this.#examples.length;
    this.length = this.#examples.length;
    this.report = Object.freeze(report);
    this.template = encoder.template;
    this.tokenizer = tokenizer;
    this.vocabSize = encoder.vocabSize;
    this.packed = packing;
    if (groupByLength) this.lengths = used;
    this.#store = store;
    this.#blockSize = blockSize;
    this.#packedLength = roundLength(
      used.reduce((most, length) => Math.max(most, length), 0),
      blockSize,
    );
    this.#padId = tokenizer.padId ?? 0;
    this.#settings = ['sft', blockSize, packing, groupByLength, this.#padId];
  }

  /** The rows of one or many JSONL, TSV or bAbI files; see readRowFiles. @throws as readRowFiles and the constructor */
  static async fromFiles(
    sources: TextSource | Iterable<TextSource>,
    options: SftOptions,
    reading: RowFileOptions = {},
  ): Promise<SftDataset> {
    return new SftDataset(await readRowFiles(sources, { defaultColumns: ['prompt', 'completion'], ...reading }), options);
  }

  /** The examples at `indices`; T is the longest one's length, rounded up (see roundLength), in a packed data set the same for all batches. */
  batch(indices: readonly number[]): BatchTensors {
    checkIndices('SftDataset.batch', indices, this.length);
    return this.packed ? this.#packedBatch(indices) : this.#paddedBatch(indices);
  }

  hash(): Promise<string> {
    this.#hash ??= this.#store.hash().then((ids) => sha256Hex(JSON.stringify([this.#settings, ids])));
    return this.#hash;
  }

  #paddedBatch(indices: readonly number[]): BatchTensors {
    const longest = indices.reduce((most, index) => Math.max(most, this.#store.lengthOf(index) - 1), 0);
    const T = roundLength(longest, this.#blockSize);
    const inputIds = filled(indices.length, T, this.#padId);
    const labels = filled(indices.length, T, IGNORE_INDEX);
    for (const [b, index] of indices.entries()) writePredictions(this.#store, index, inputIds.data, labels.data, b * T);
    return { inputIds, labels };
  }

  #packedBatch(indices: readonly number[]): BatchTensors {
    const T = this.#packedLength;
    const [inputIds, labels] = [filled(indices.length, T, this.#padId), filled(indices.length, T, IGNORE_INDEX)];
    const [starts, positions] = [filled(indices.length, T, 0), filled(indices.length, T, 0)];
    for (const [b, index] of indices.entries()) {
      let at = 0;
      for (const sequence of this.#examples[index]) {
        const end = writePredictions(this.#store, sequence, inputIds.data, labels.data, b * T + at) - b * T;
        for (let t = at; t < end; t++) {
          starts.data[b * T + t] = at;
          positions.data[b * T + t] = t - at;
        }
        at = end;
      }
      // Padding: each place is a document of its own, so that it sees a key and nothing else.
      for (let t = at; t < T; t++) starts.data[b * T + t] = t;
    }
    return { inputIds, labels, starts, positions };
  }
}
