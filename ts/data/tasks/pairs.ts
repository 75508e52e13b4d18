// Prompt and completion of a row as ids that fit the context: what supervised and preference data sets share.
import { FerroError, show } from '../../errors';
import type { Tokenizer } from '../../tokenizers';
import type { TaskReport } from './examples';
import type { Row } from './row';
import { type Encoded, type Segment, SegmentEncoder } from './segments';
import { Template, type TemplateName, type TemplateParts, withTask } from './template';

/** What becomes of a row that is longer than the context. */
export type Overflow = 'skip' | 'truncate' | 'error';

/** Options of every data set of texts with templates. */
export interface TemplateSettings {
  /** How a row becomes prompt and completion. 'plain' by default. */
  template?: TemplateName | (string & {}) | TemplateParts | Template;
  /** Text in front of what is read; not with a Template object, which has its own. */
  taskPrefix?: string;
  /** Special tokens (or ids) in front of every row; not with a Template object. */
  taskTokens?: readonly (string | number)[];
}

/** The template of the options. @throws INVALID_OPTION */
export function templateOf(op: string, options: TemplateSettings): Template {
  const { template = 'plain', taskPrefix = '', taskTokens } = options;
  if (!(template instanceof Template)) return new Template(template, { taskPrefix, taskTokens });
  if (taskPrefix === '' && taskTokens === undefined) return template;
  throw new FerroError('INVALID_OPTION', `${op}: "taskPrefix" and "taskTokens" must be given to the Template itself, got a Template`);
}

/** The ids that end a completion. @throws INVALID_OPTION where neither tokenizer nor options have any */
export function endIds(op: string, tokenizer: Tokenizer, endOfText: number | string | undefined): number[] {
  if (typeof endOfText === 'number') return [endOfText];
  if (endOfText !== undefined) return Array.from(tokenizer.encode(endOfText));
  if (tokenizer.eosId !== null) return [tokenizer.eosId];
  throw new FerroError(
    'INVALID_OPTION',
    `${op}: "endOfText" must be given (an id, a text such as "\\n", or "" for none) for a tokenizer without an end-of-text token, got none`,
  );
}

/** Encodes rows and fits them into `blockSize` places. */
export class PairEncoder {
  readonly template: Template;
  readonly #op: string;
  readonly #tokenizer: Tokenizer;
  readonly #encoder: SegmentEncoder;
  readonly #end: readonly number[];
  readonly #blockSize: number;
  readonly #overflow: Overflow;
  /** Ids are below it. */
  readonly vocabSize: number;

  constructor(
    op: string,
    options: TemplateSettings & { tokenizer: Tokenizer; blockSize: number; endOfText?: number | string; overflow: Overflow },
  ) {
    const { tokenizer } = options;
    this.#op = op;
    this.#tokenizer = tokenizer;
    this.#blockSize = options.blockSize;
    this.#overflow = options.overflow;
    this.template = templateOf(op, options);
    this.#end = endIds(op, tokenizer, options.endOfText);
    this.#encoder = new SegmentEncoder(tokenizer, this.#end);
    this.vocabSize = Math.max(tokenizer.vocabSize, ...[...this.template.allTaskIds(tokenizer), ...this.#end].map((id) => id + 1));
  }

  /**
   * The ids of a row's segments. An empty prompt begins with the beginning-of-text token, or else the end-of-text id, if there is one: the first token that is learned
   * needs one before it.
   */
  encode(segments: readonly Segment[], row: Row): Encoded {
    const encoded = this.#encoder.encode(segments);
    const ids = withTask(encoded.ids, this.template.taskIds(row, this.#tokenizer), this.#tokenizer.bosId);
    const counted =
      ids === encoded.ids ? encoded.counted : [...new Array<number>(ids.length - encoded.ids.length).fill(0), ...encoded.counted];
    if (counted[0] !== 1) return { ids, counted };
    const begin = this.#tokenizer.bosId ?? (this.#end.length === 1 ? this.#end[0] : null);
    return begin === null ? { ids, counted } : { ids: [begin, ...ids], counted: [0, ...counted] };
  }

  /**
   * Fits a row: n ids take n − 1 places. Cutting takes from the front of what stands before the first learned token (behind a beginning-of-text token).
   * @returns null for a row that is left out; the report says why
   * @throws INVALID_DATA with overflow 'error'
   */
  fit({ ids, counted }: Encoded, row: Row, report: TaskReport): Encoded | null {
    const first = counted.indexOf(1, 1);
    if (first < 0) {
      report.empty++;
      return null;
    }
    report.longest = Math.max(report.longest, ids.length);
    const excess = ids.length - 1 - this.#blockSize;
    if (excess <= 0) return { ids, counted };
    if (this.#overflow === 'error') {
      throw row.fault(undefined, `${this.#op}: a row must have at most blockSize + 1 = ${this.#blockSize + 1} tokens`, show(ids.length));
    }
    const head = ids[0] === this.#tokenizer.bosId ? 1 : 0;
    if (this.#overflow === 'skip' || head + excess >= first) {
      report.tooLong++;
      report.firstTooLong ??= row.place();
      return null;
    }
    report.truncated++;
    const cut = (list: readonly number[]) => [...list.slice(0, head), ...list.slice(head + excess)];
    return { ids: cut(ids), counted: cut(counted) };
  }
}

/** Checks what the options table only knows as optional. @throws INVALID_OPTION */
export function requireTextOptions(
  op: string,
  tokenizer: Tokenizer | undefined,
  blockSize: number | undefined,
): asserts blockSize is number {
  requireTokenizer(op, 'tokenizer', tokenizer);
  if (blockSize === undefined) throw new FerroError('INVALID_OPTION', `${op}: "blockSize" must be given, got none`);
}

/** @throws INVALID_OPTION unless it can encode */
export function requireTokenizer(op: string, name: string, tokenizer: Tokenizer | undefined): void {
  if (typeof tokenizer?.encode === 'function') return;
  throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be a tokenizer, got ${show(tokenizer)}`);
}

/** Fits a text into `most` tokens, cutting its end. @returns null where it is left out. @throws INVALID_DATA with overflow 'error' */
export function fitText(
  op: string,
  ids: readonly number[],
  most: number,
  overflow: Overflow,
  row: Row,
  report: TaskReport,
): readonly number[] | null {
  report.longest = Math.max(report.longest, ids.length);
  if (ids.length === 0) {
    report.empty++;
    return null;
  }
  if (ids.length <= most) return ids;
  if (overflow === 'error') throw row.fault(undefined, `${op}: a text must have at most ${most} tokens`, show(ids.length));
  if (overflow === 'skip') {
    report.tooLong++;
    report.firstTooLong ??= row.place();
    return null;
  }
  report.truncated++;
  return ids.slice(0, most);
}
