// What the tasks that write texts have in common: the template of a run or of a saved model, the scores of what the model writes, and how these are told.
import { type Row, Template } from '../../data';
import { FerroError, show } from '../../errors';
import { evaluateTexts, type TextEvaluation, type TextExample, type TextGenerator } from '../../index';
import type { TaskDescription, TaskName } from '../../io';
import { parseJson } from '../../json';
import type { TextMetric, TextScores } from '../../metrics';
import { snakeCase } from '../../options';
import { ByteTokenizer, type Tokenizer } from '../../tokenizers';
import { formatCount, formatScore } from '../format';
import type { ReportTable } from '../report';
import type { Measured } from './measured';
import type { Conclusion } from './task';

/** The flags about templates. */
export interface TemplateFlags {
  template?: unknown;
  taskPrefix?: string;
  taskTokens?: readonly (string | number)[];
  endOfText?: string | number;
}

/** `\n`, `\t` and `\\` in a flag's text as the characters they stand for: a shell hands on the backslash. */
export function unescapeFlag(text: string): string {
  return text.replace(/\\([nt\\])/g, (_, letter: string) => ({ n: '\n', t: '\t', '\\': '\\' })[letter]!);
}

/** A flag's text as the token id that its digits are, or as a text. */
function textOrId(value: string | number): string | number {
  if (typeof value === 'number') return value;
  return /^(?:0|[1-9][0-9]{0,8})$/.test(value) ? Number(value) : unescapeFlag(value);
}

/** Tasks of the same prompts. */
const COMPLETIONS: readonly TaskName[] = ['sft', 'dpo'];

/** How rows become prompts: what was given, else what the saved model was trained with. @throws INVALID_OPTION for a template that is no text (of a configuration file) */
export function describeTask(task: TaskName, given: TemplateFlags, saved: TaskDescription | null): TaskDescription {
  if (given.template !== undefined && typeof given.template !== 'string')
    throw new FerroError('INVALID_OPTION', `"--template" must be a name or a text with {fields}, got ${show(given.template)}`);
  const before = saved !== null && (saved.task === task || (COMPLETIONS.includes(task) && COMPLETIONS.includes(saved.task))) ? saved : null;
  const template = typeof given.template === 'string' ? unescapeFlag(given.template) : before?.template;
  const taskPrefix = given.taskPrefix === undefined ? before?.taskPrefix : unescapeFlag(given.taskPrefix);
  const taskTokens = given.taskTokens?.map(textOrId) ?? before?.taskTokens;
  const endOfText = given.endOfText === undefined ? before?.endOfText : textOrId(given.endOfText);
  return Object.fromEntries(
    Object.entries({ task, template, taskPrefix, taskTokens, endOfText }).filter(([, value]) => value !== undefined),
  ) as unknown as TaskDescription;
}

/** The template that a description stands for. @throws INVALID_OPTION */
export function templateOf({ template, taskPrefix, taskTokens }: TaskDescription): Template {
  return new Template(template ?? 'plain', { taskPrefix, taskTokens });
}

/**
 * The row that a prompt of the command line stands for: a JSON object is one; a text is the prompt, the instruction of `alpaca`, or the field of a template that has one.
 * @throws INVALID_OPTION for a text where the template has several fields
 */
export function promptRow({ task }: TaskDescription, template: Template, prompt: string): Record<string, unknown> {
  if (/^\s*\{/.test(prompt)) {
    try {
      const row: unknown = parseJson(prompt);
      if (typeof row === 'object' && row !== null) return row as Record<string, unknown>;
    } catch {
      // A text that begins with a brace.
    }
  }
  if (template.name === 'alpaca') return { instruction: prompt };
  const fields = template.promptFields;
  if (fields.length > 1)
    throw new FerroError(
      'INVALID_OPTION',
      `generate: with a template of several fields "--prompt" must be a JSON object with ${fields.map((name) => JSON.stringify(name)).join(', ')}, got ${JSON.stringify(prompt)}`,
    );
  const plain = task === 'classify' ? 'text' : task === 'seq2seq' ? 'source' : 'prompt';
  return { [fields[0] ?? plain]: prompt };
}

/** The scores of texts as the log and --json have them: numbers alone. */
export function plainScores({ signatures: _, ...scores }: TextScores): Record<string, number> {
  return scores as Record<string, number>;
}

/** Rows with an answer as prompts and right texts. */
export interface PromptedRows<P> {
  examples: TextExample<P>[];
  /** The prompts as people read them, one for each example. */
  shown: string[];
}

/** Scores of a model on rows, for a line, a table and --predictions. */
export async function scoreTexts<P>(
  model: TextGenerator<NoInfer<P>>,
  { examples, shown }: PromptedRows<P>,
  metrics: readonly TextMetric[],
  generation: Record<string, unknown>,
): Promise<TextEvaluation<P> & { records: Record<string, unknown>[] }> {
  const evaluation = await evaluateTexts(model, examples, { metrics, generation });
  const records = evaluation.predictions.map(({ prediction, references, finishReason }, i) => ({
    prompt: shown[i],
    prediction,
    references,
    finish_reason: finishReason,
  }));
  return { ...evaluation, records };
}

/** How scores are shown in the report. */
export function scoreTable(scores: Record<string, number>): ReportTable {
  return {
    title: 'Scores on the evaluation data',
    head: ['score', 'value'],
    rows: Object.entries(scores).map(([name, value]) => [snakeCase(name).replaceAll('_', ' '), formatScore(value)]),
  };
}

/** Scores as one line: "bleu 12.30, chrf 40.10". */
export function scoreLine(scores: Record<string, number>): string {
  return Object.entries(scores)
    .map(([name, value]) => `${snakeCase(name).replaceAll('_', ' ')} ${formatScore(value)}`)
    .join(', ');
}

/** The scores of a loss and of what was written after it, for machines and for people. */
export function measuredTexts<P>(
  found: { task: TaskName; rows: number } & Record<string, unknown>,
  line: string,
  { scores, unfinished, records }: TextEvaluation<P> & { records: Record<string, unknown>[] },
): Measured {
  const notes = [
    ...(unfinished === 0 ? [] : [`${formatCount(unfinished)} of ${formatCount(records.length)} texts ran into --max-new-tokens`]),
    ...(records.length === found.rows ? [] : [`scores of ${formatCount(records.length)} rows`]),
  ];
  return {
    result: { ...found, ...scores, scored: records.length, unfinished },
    text: `${line}\n${scoreLine(plainScores(scores))}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`,
    predictions: records,
  };
}

/** Templates ask a tokenizer for its special tokens alone: this one has none. */
const READER = new ByteTokenizer();

/** What a model reads of rows, and the answers, as texts for a new tokenizer. Rows at fault are passed over while there are others: the data set names and counts them. */
export function* renderedTexts(template: Template, rows: readonly Row[], which: 'prompt' | 'answer' | 'all'): Generator<string> {
  let fault: FerroError | undefined;
  let some = false;
  for (const row of rows) {
    try {
      yield rendered(template, row, which);
      some = true;
    } catch (error) {
      if (!(error instanceof FerroError && error.code === 'INVALID_DATA')) throw error;
      fault ??= error;
    }
  }
  if (!some && fault !== undefined) throw fault;
}

function rendered(template: Template, row: Row, which: 'prompt' | 'answer' | 'all'): string {
  if (which === 'prompt') return template.promptText(row, READER, { border: false });
  if (which === 'answer') return answerOf(template, row, READER, { border: false });
  return joined(template.segments(row, READER));
}

const joined = (segments: readonly { text: string }[]) => segments.map(({ text }) => text).join('');

/** The texts that a vocabulary of characters must be able to write: rows in their template, and what the template and the end of a text say besides. */
export function* writtenTexts(
  { template: name, endOfText }: TaskDescription,
  rows: readonly Row[],
  template: Template,
  which: 'prompt' | 'all',
): Generator<string> {
  if (name === 'chatml') yield 'system\nuser\nassistant\n'; // between its special tokens, which READER does not have
  if (typeof endOfText === 'string') yield endOfText;
  yield* renderedTexts(template, rows, which);
}

/** A conclusion of scores alone. */
export function conclusionOf(scores: Record<string, number>): Conclusion {
  return { scores, tables: [scoreTable(scores)] };
}

/** Tokens that a written answer may have: twice those of the longest right one, and some. */
export function answerLimit(texts: readonly string[], tokenizer: Tokenizer, most: number): number {
  const longest = texts.reduce((length, text) => Math.max(length, tokenizer.encode(text).length), 0);
  return Math.min(most, 2 * longest + 8);
}

/**
 * The text that a row's answer is: what is learned last, without what ends it. '' where the row does not end with it, as a conversation whose last word is the user's.
 * @param options border: false leaves out the template's blanks in front of it
 */
export function answerOf(template: Template, row: Row, tokenizer: Tokenizer, { border = true }: { border?: boolean } = {}): string {
  const segments = template.segments(row, tokenizer);
  if (segments.at(-1)?.counted !== true) return '';
  let end = segments.length;
  const isText = (i: number) => segments[i].counted && !segments[i].end && !(template.name === 'chatml' && segments[i].own);
  while (end > 0 && !isText(end - 1)) end--;
  let start = end;
  while (start > 0 && isText(start - 1)) start--;
  const written = segments.slice(start, end);
  const alone = joined(written.filter((segment) => !segment.border));
  return border && alone !== '' ? joined(written) : alone;
}
