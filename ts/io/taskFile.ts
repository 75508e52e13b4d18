// ferroformer.json of a model's folder: which task the model was trained for and how its texts were put together, so that evaluating and generating can do the same. It says
// nothing about the architecture or the weights (config.json does), and a folder without it is complete.
import { FerroError, show } from '../errors';
import type { Pooling } from '../nn';
import { parseJsonObject, type ReadableFolder, readFolderText } from './files';

/** The file's name. */
export const TASK_FILE = 'ferroformer.json';

/** Version of the file's form. */
const TASK_VERSION = 1;

/** The tasks that a model can be trained for. */
export const TASKS = ['lm', 'sft', 'classify', 'seq2seq', 'dpo'] as const;
export type TaskName = (typeof TASKS)[number];

/** What the file says. */
export interface TaskDescription {
  task: TaskName;
  /** How a row becomes a prompt (or a source), where it is not the text itself. */
  template?: string;
  /** Text before every prompt or source. */
  taskPrefix?: string;
  /** Special tokens (or ids) before everything. */
  taskTokens?: readonly (string | number)[];
  /** What ends a completion, where it is not the tokenizer's end-of-text token: an id, a text, '' for nothing. */
  endOfText?: string | number;
  /** A classifier's labels and pooling, where the folder has no config.json that says them: an adapter's, whose base may be a language model. */
  labels?: readonly string[];
  pooling?: Pooling;
}

/** The file's text. */
export function taskToFile({ task, template, taskPrefix, taskTokens, endOfText, labels, pooling }: TaskDescription): string {
  const texts = { template, task_prefix: taskPrefix, task_tokens: taskTokens, end_of_text: endOfText };
  const fields = { version: TASK_VERSION, task, ...texts, labels, pooling };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

/** What a file says. @throws INVALID_FILE, NOT_BUILT for a task of a later version */
export function taskFromFile(name: string, text: string): TaskDescription {
  const fields = parseJsonObject(name, text);
  const invalid = (key: string, rule: string) =>
    new FerroError('INVALID_FILE', `${name}: "${key}" must be ${rule}, got ${fields.has(key) ? show(fields.get(key)) : 'none'}`);
  const isId = (value: unknown) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  const isText = (value: unknown) => typeof value === 'string';
  const isTokens = (value: unknown) => Array.isArray(value) && value.every((one) => isText(one) || isId(one));
  if (fields.get('version') !== TASK_VERSION) throw new FerroError('NOT_BUILT', invalid('version', String(TASK_VERSION)).message);
  const task = TASKS.find((one) => one === fields.get('task'));
  if (task === undefined) throw invalid('task', `one of ${TASKS.map((one) => `"${one}"`).join(', ')}`);
  const found: Record<string, unknown> = { task };
  const optional = (name: keyof TaskDescription, key: string, accepts: (value: unknown) => boolean, rule: string): void => {
    const value = fields.get(key);
    if (value === undefined) return;
    if (!accepts(value)) throw invalid(key, rule);
    found[name] = value;
  };
  optional('template', 'template', isText, 'a text');
  optional('taskPrefix', 'task_prefix', isText, 'a text');
  optional('taskTokens', 'task_tokens', isTokens, 'a list of texts and token ids');
  optional('endOfText', 'end_of_text', (value) => isText(value) || isId(value), 'a text or a token id');
  optional('labels', 'labels', (value) => Array.isArray(value) && value.every(isText), 'a list of texts');
  optional('pooling', 'pooling', (value) => value === 'last' || value === 'mean', '"last" or "mean"');
  return found as unknown as TaskDescription;
}

/** What the folder says about its task; null where it says nothing. @throws INVALID_FILE, NOT_BUILT */
export async function readTask(folder: ReadableFolder): Promise<TaskDescription | null> {
  const text = await readFolderText(folder, TASK_FILE);
  return text === null ? null : taskFromFile(`${folder.label}/${TASK_FILE}`, text);
}
