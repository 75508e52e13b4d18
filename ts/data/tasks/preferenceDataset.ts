// Preferences: a prompt with a completion that was chosen and one that was rejected. Rows in, batches out; the log-probabilities of the frozen model are given
// to it (setReferences), it computes none.
import { FerroError, show } from '../../errors';
import { sha256Hex } from '../../math/sha256';
import { PREFERENCE_DATA_OPTIONS, readOptions } from '../../options';
import type { Tokenizer } from '../../tokenizers';
import { type BatchTensors, type ExampleDataset, type HostTensor, IGNORE_INDEX } from '../dataset';
import type { TextSource } from '../textFiles';
import { checkIndices, ExampleStore, emptyReport, filled, requireKept, roundLength, type TaskReport, writePredictions } from './examples';
import { type Overflow, PairEncoder, requireTextOptions, type TemplateSettings } from './pairs';
import { type RowFileOptions, readRowFiles } from './readRows';
import { asRows, Faults, Row, type RowInput } from './row';
import type { Encoded } from './segments';
import { messagesOf, textOf } from './shapes';
import type { Template } from './template';

export interface PreferenceOptions extends TemplateSettings {
  tokenizer: Tokenizer;
  /** Places in the model's context: n tokens take n − 1. */
  blockSize: number;
  /** What ends a completion; see SftOptions. */
  endOfText?: number | string;
  /** Rows of which either text is longer than the context: left out and counted ('skip', the default), cut at the front of the prompt, or an error. */
  overflow?: Overflow;
  groupByLength?: boolean;
}

/** Log-probabilities of the frozen model, one per row, summed over the tokens that are learned. */
export interface PreferenceReferences {
  readonly chosen: Float32Array;
  readonly rejected: Float32Array;
}

type Side = 'chosen' | 'rejected';

/**
 * Rows { prompt, chosen, rejected }: texts, or lists of messages (`prompt` may then be missing: chosen and rejected are whole conversations; only the last turn of
 * each is learned). Batches { chosenIds, chosenLabels, rejectedIds, rejectedLabels } i32 [B, T] as SftDataset's inputIds and labels, and { chosenReference,
 * rejectedReference } f32 [B] once these are given. Nothing else of it changes.
 */
export class PreferenceDataset implements ExampleDataset {
  readonly length: number;
  readonly report: Readonly<TaskReport>;
  readonly template: Template;
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
  readonly lengths?: readonly number[];
  #references: PreferenceReferences | null = null;
  readonly #stores: Readonly<Record<Side, ExampleStore>>;
  readonly #blockSize: number;
  readonly #padId: number;
  readonly #settings: unknown;

  /**
   * @throws INVALID_DATA for rows without the fields they need, with the first place and how many more; EMPTY_DATA if no row is kept; UNKNOWN_CHARACTER;
   *   INVALID_OPTION, UNKNOWN_OPTION
   */
  constructor(rows: readonly RowInput[], options: PreferenceOptions) {
    const op = 'PreferenceDataset';
    const { tokenizer, blockSize, overflow, groupByLength, ...rest } = readOptions(op, options, PREFERENCE_DATA_OPTIONS);
    requireTextOptions(op, tokenizer, blockSize);
    const list = asRows(op, rows);
    const encoder = new PairEncoder(op, { ...(rest as TemplateSettings), endOfText: options.endOfText, tokenizer, blockSize, overflow });
    const stores = { chosen: new ExampleStore(encoder.vocabSize), rejected: new ExampleStore(encoder.vocabSize) };
    const report = emptyReport(list.length);
    const faults = new Faults();
    for (const row of list) {
      faults.try(() => {
        // Both sides are judged by a report of their own: a row is kept or left out as a whole.
        const tries = { ...emptyReport(0), longest: report.longest, firstTooLong: report.firstTooLong };
        const encode = (side: Side) => {
          const segments = encoder.template.segments(pairOf(row, side), tokenizer);
          return encoder.fit(lastTurn(encoder.encode(segments, row)), row, tries);
        };
        const [chosen, rejected] = [encode('chosen'), encode('rejected')];
        report.longest = tries.longest;
        report.firstTooLong = tries.firstTooLong;
        if (tries.empty > 0) report.empty++;
        else if (chosen === null || rejected === null) report.tooLong++;
        else {
          report.kept++;
          if (tries.truncated > 0) report.truncated++;
          for (const [side, { ids, counted }] of [['chosen', chosen] as const, ['rejected', rejected] as const]) {
            stores[side].push(ids, counted);
            report.tokens += ids.length;
            report.countedTokens += counted.reduce((sum, mark, t) => sum + (t > 0 ? mark : 0), 0);
          }
        }
      }, row);
    }
    faults.throwIfAny();
    requireKept(op, report);
    report.examples = report.kept;
    this.length = report.kept;
    this.report = Object.freeze(report);
    this.template = encoder.template;
    this.tokenizer = tokenizer;
    this.vocabSize = encoder.vocabSize;
    if (groupByLength) this.lengths = Array.from({ length: this.length }, (_, i) => longer(stores, i));
    this.#stores = stores;
    this.#blockSize = blockSize;
    this.#padId = tokenizer.padId ?? 0;
    this.#settings = ['preference', blockSize, groupByLength, this.#padId];
  }

  /** The rows of one or many files: columns prompt, chosen and rejected where a TSV file does not say otherwise. @throws as readRowFiles and the constructor */
  static async fromFiles(
    sources: TextSource | Iterable<TextSource>,
    options: PreferenceOptions,
    reading: RowFileOptions = {},
  ): Promise<PreferenceDataset> {
    return new PreferenceDataset(await readRowFiles(sources, { defaultColumns: ['prompt', 'chosen', 'rejected'], ...reading }), options);
  }

  /** What is read of a row before either completion, as a row for `template.promptIds` and `template.promptText`. @throws INVALID_DATA */
  promptRow(row: RowInput): Row {
    const [given] = asRows('promptRow', [row]);
    return pairOf(given, 'chosen');
  }

  /** The frozen model's log-probabilities; null until they are given. */
  get references(): PreferenceReferences | null {
    return this.#references;
  }

  /** Takes the frozen model's log-probabilities: one finite number per example and side. @throws INVALID_OPTION */
  setReferences(references: PreferenceReferences): void {
    for (const side of ['chosen', 'rejected'] as const) {
      const values: unknown = references[side];
      if (values instanceof Float32Array && values.length === this.length && values.every(Number.isFinite)) continue;
      const finite =
        values instanceof Float32Array ? `${values.length}, of which ${values.filter(Number.isFinite).length} are finite` : show(values);
      throw new FerroError(
        'INVALID_OPTION',
        `setReferences: "${side}" must be a Float32Array of ${this.length} finite numbers, got ${finite}`,
      );
    }
    this.#references = { chosen: references.chosen.slice(), rejected: references.rejected.slice() };
  }

  /** Both texts of the rows at `indices`, padded at the end to one T. */
  batch(indices: readonly number[]): BatchTensors {
    checkIndices('PreferenceDataset.batch', indices, this.length);
    const B = indices.length;
    const T = roundLength(
      indices.reduce((most, index) => Math.max(most, longer(this.#stores, index)), 0),
      this.#blockSize,
    );
    const side = (store: ExampleStore) => {
      const [ids, labels] = [filled(B, T, this.#padId), filled(B, T, IGNORE_INDEX)];
      for (const [b, index] of indices.entries()) writePredictions(store, index, ids.data, labels.data, b * T);
      return { ids, labels };
    };
    const [chosen, rejected] = [side(this.#stores.chosen), side(this.#stores.rejected)];
    const tensors = { chosenIds: chosen.ids, chosenLabels: chosen.labels, rejectedIds: rejected.ids, rejectedLabels: rejected.labels };
    const references = this.#references;
    if (references === null) return tensors;
    const reference = (values: Float32Array): HostTensor => ({ data: Float32Array.from(indices, (index) => values[index]), shape: [B] });
    return { ...tensors, chosenReference: reference(references.chosen), rejectedReference: reference(references.rejected) };
  }

  /** Of texts and settings; references follow from the frozen model. */
  async hash(): Promise<string> {
    return sha256Hex(JSON.stringify([this.#settings, await this.#stores.chosen.hash(), await this.#stores.rejected.hash()]));
  }
}

/** The places that the longer text of an example takes. */
function longer(stores: Readonly<Record<Side, ExampleStore>>, index: number): number {
  return Math.max(stores.chosen.lengthOf(index), stores.rejected.lengthOf(index)) - 1;
}

/** One side of a row as a row that templates know. @throws INVALID_DATA */
function pairOf(row: Row, side: Side): Row {
  if (!Array.isArray(row.get(side))) {
    const fields = { ...row.fields, prompt: textOf(row, 'prompt'), completion: textOf(row, side) };
    return new Row(fields, row.file, row.line);
  }
  const before = row.get('prompt') === undefined ? [] : messagesOf(row, 'prompt');
  const messages = [...before, ...messagesOf(row, side)];
  const last = messages.at(-1)?.role;
  if (last !== 'assistant') throw row.fault(side, `"${side}" must end with a message of the assistant`, show(last));
  return new Row({ messages }, row.file, row.line);
}

/** Only the last stretch of learned tokens is learned: earlier turns of a conversation are read. */
function lastTurn({ ids, counted }: Encoded): Encoded {
  const from = counted.lastIndexOf(0, counted.lastIndexOf(1)) + 1;
  return { ids, counted: counted.map((mark, t) => (t < from ? 0 : mark)) };
}
