// What the tasks that write texts have in common: the template of a run or of a saved model, the scores of what the model writes, and how these are told.
import { type Row, Template } from '../../data';
import { FerroError } from '../../errors';
import { evaluateTexts, type TextEvaluation, type TextExample, type TextGenerator } from '../../index';
import type { TaskDescription, TaskName } from '../../io';
import { parseJson } from '../../json';
import type { TextMetric, TextScores } from '../../metrics';
import { snakeCase } from '../../options';
import type { Tokenizer } from '../../tokenizers';
import { formatCount, formatScore } from '../format';
import type { ReportTable } from '../report';
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

/** Tasks of the same prompts. */
const COMPLETIONS: readonly TaskName[] = ['sft', 'dpo'];

/** How rows become prompts: what was given, else what the saved model was trained with. */
export function describeTask(task: TaskName, given: TemplateFlags, saved: TaskDescription | null): TaskDescription {
  const before = saved !== null && (saved.task === task || (COMPLETIONS.includes(task) && COMPLETIONS.includes(saved.task))) ? saved : null;
  const template = typeof given.template === 'string' ? unescapeFlag(given.template) : before?.template;
  const taskPrefix = given.taskPrefix === undefined ? before?.taskPrefix : unescapeFlag(given.taskPrefix);
  const taskTokens = given.taskTokens ?? before?.taskTokens;
  const endOfText = typeof given.endOfText === 'string' ? unescapeFlag(given.endOfText) : (given.endOfText ?? before?.endOfText);
  return Object.fromEntries(
    Object.entries({ task, template, taskPrefix, taskTokens, endOfText }).filter(([, value]) => value !== undefined),
  ) as unknown as TaskDescription;
}

/** The template that a description stands for. @throws INVALID_OPTION */
export function templateOf({ template, taskPrefix, taskTokens }: TaskDescription): Template {
  return new Template(template ?? 'plain', { taskPrefix, taskTokens });
}

/** Fields before the answer's in a template of one's own. */
function promptFields(template: string): string[] {
  const names = [...template.matchAll(/\{\{|\}\}|\{([^{}\n]+)\}/g)].flatMap(([, name]) => (name === undefined ? [] : [name]));
  const end = names.findIndex((name) => ['completion', 'output', 'answer', 'target', 'label'].includes(name));
  return [...new Set(end < 0 ? names : names.slice(0, end))];
}

/**
 * The row that a prompt of the command line stands for: a JSON object is one; a text is the prompt, the instruction of `alpaca`, or the field of a template that has one.
 * @throws INVALID_OPTION for a text where the template has several fields
 */
export function promptRow({ task, template = 'plain' }: TaskDescription, prompt: string): Record<string, unknown> {
  if (/^\s*\{/.test(prompt)) {
    try {
      const row: unknown = parseJson(prompt);
      if (typeof row === 'object' && row !== null) return row as Record<string, unknown>;
    } catch {
      // A text that begins with a brace.
    }
  }
  if (template === 'alpaca') return { instruction: prompt };
  const fields = template.includes('{') ? promptFields(template) : [];
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

/** A note where texts ran into the limit. */
export function unfinishedNote(unfinished: number, all: number): string {
  return unfinished === 0 ? '' : ` (${formatCount(unfinished)} of ${formatCount(all)} texts ran into --max-new-tokens)`;
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

/** The text that a row's answer is: what is learned last, without what ends it. */
export function answerOf(template: Template, row: Row, tokenizer: Tokenizer): string {
  const segments = template.segments(row, tokenizer);
  let end = segments.length;
  const isText = (i: number) => segments[i].counted && !segments[i].end && !(template.name === 'chatml' && segments[i].own);
  while (end > 0 && !isText(end - 1)) end--;
  let start = end;
  while (start > 0 && isText(start - 1)) start--;
  return segments
    .slice(start, end)
    .map(({ text }) => text)
    .join('');
}
