// Templates: how a row becomes prompt and completion. Three named ones (the table at the end of this file) and templates of one's own with {fields}. A template
// gives segments; segments.ts makes ids of them.
import { FerroError, show } from '../../errors';
import { checkNames, namesOf } from '../../options';
import type { Tokenizer } from '../../tokenizers';
import { asRows, type Row, type RowInput } from './row';
import { type Segment, SegmentEncoder, specialTokens, withoutBorder } from './segments';
import { ANSWER_NAMES, type Chat, labelOf, type Message, type Pair, shapeOf, textOf } from './shapes';

export type TemplateName = 'plain' | 'alpaca' | 'chatml';

/** A template of one's own in two parts: texts with {field}; {{ and }} are braces. */
export interface TemplateParts {
  readonly prompt: string;
  readonly completion: string;
}

export interface TemplateOptions {
  /** Text in front of what is read: the prompt (plain and templates of one's own), the instruction (alpaca), the first user message (chatml). */
  taskPrefix?: string;
  /**
   * Tokens in front of it all (behind a beginning-of-text token): special tokens of the tokenizer by their text, or ids. With a list for each of several tasks,
   * a row's field `task` says which.
   */
  taskTokens?: TaskTokens | Readonly<Record<string, TaskTokens>>;
}

/** Special tokens by their text, or ids. */
type TaskTokens = readonly (string | number)[];

/** Literal text, or the name of a field. */
type Part = { readonly text: string } | { readonly field: string };

/** Taken apart: literals and fields. @throws INVALID_OPTION for braces that are not paired */
function parseTemplate(template: string): Part[] {
  const parts: Part[] = [];
  let text = '';
  for (const [piece, field] of template.matchAll(/\{\{|\}\}|\{([^{}\n]+)\}|[^{}]+|[{}]/g)) {
    if (piece === '{' || piece === '}') {
      throw new FerroError('INVALID_OPTION', `template: braces must enclose a field or be written twice, got ${show(template)}`);
    }
    if (field === undefined) text += piece === '{{' || piece === '}}' ? piece[0] : piece;
    else {
      parts.push({ text }, { field });
      text = '';
    }
  }
  parts.push({ text });
  return parts.filter((part) => !('text' in part) || part.text !== '');
}

const TEMPLATE_OPTIONS = namesOf<TemplateOptions>({ taskPrefix: true, taskTokens: true });

/** What a template of one's own consists of; without a completion the row's answer follows. */
interface SplitTemplate {
  readonly prompt: Part[];
  readonly completion: Part[] | null;
  /** Blanks in front of the answer, learned with it where it is written behind the prompt. */
  readonly blanks: string;
}

/**
 * Prompt and completion of a template. In a single text the completion begins with the first {completion}, {output}, {answer}, {target} or {label}, or behind
 * the text, and with the blanks in front of it: BPE has a word and its blank as one token, and a prompt that ends in a blank would make other tokens of an
 * answer than of the same words within the prompt.
 */
function splitTemplate(spec: string | TemplateParts): SplitTemplate {
  if (typeof spec !== 'string') return { prompt: parseTemplate(spec.prompt), completion: parseTemplate(spec.completion), blanks: '' };
  const parts = parseTemplate(spec);
  const at = parts.findIndex((part) => 'field' in part && ANSWER_NAMES.includes(part.field));
  const prompt = at < 0 ? parts : parts.slice(0, at);
  const completion = at < 0 ? null : parts.slice(at);
  const last = prompt.at(-1);
  if (last === undefined || 'field' in last) return { prompt, completion, blanks: '' };
  const text = last.text.replace(/ +$/, '');
  return { prompt: [...prompt.slice(0, -1), ...(text === '' ? [] : [{ text }])], completion, blanks: last.text.slice(text.length) };
}

const END: Segment = { text: '', counted: true, end: true };
const prompt = (text: string, own = false): Segment => ({ text, counted: false, own });
const learned = (text: string): Segment => ({ text, counted: true });

/** The value of a field of a template: a text, or a number or truth value as text. @throws INVALID_DATA where the row has none */
function fieldOf(row: Row, name: string): string {
  const value = row.get(name);
  return typeof value === 'number' || typeof value === 'boolean' ? labelOf(row, name) : textOf(row, name);
}

const fill = (parts: readonly Part[], row: Row, counted: boolean): Segment[] =>
  parts.map((part) => ('text' in part ? { text: part.text, counted, own: true } : { text: fieldOf(row, part.field), counted }));

/** How rows become texts. Immutable. */
export class Template {
  /** 'plain', 'alpaca', 'chatml', or 'own'. */
  readonly name: TemplateName | 'own';
  readonly #own: SplitTemplate | null;
  readonly #prefix: string;
  readonly #taskTokens: TaskTokens | Readonly<Record<string, TaskTokens>>;

  /**
   * @param spec a name, a text with {fields} (the completion begins with the field of the answer and the blanks in front of it; without one, the row's answer follows), or two texts
   * @throws INVALID_OPTION
   */
  constructor(spec: TemplateName | (string & {}) | TemplateParts = 'plain', options: TemplateOptions = {}) {
    const isName = typeof spec === 'string' && Object.hasOwn(NAMED, spec);
    if (typeof spec === 'string' && !isName && !spec.includes('{')) {
      const names = Object.keys(NAMED).map(show).join(', ');
      throw new FerroError('INVALID_OPTION', `template: must be one of ${names} or a text with {fields}, got ${show(spec)}`);
    }
    checkNames('template', options, TEMPLATE_OPTIONS);
    this.name = isName ? (spec as TemplateName) : 'own';
    this.#own = isName ? null : splitTemplate(spec);
    this.#prefix = options.taskPrefix ?? '';
    this.#taskTokens = options.taskTokens ?? [];
  }

  /** The fields that a template of one's own reads before the answer; none for a named one. */
  get promptFields(): readonly string[] {
    return [...new Set(this.#own?.prompt.flatMap((part) => ('field' in part ? [part.field] : [])))];
  }

  /** All ids that stand for tasks. @throws INVALID_OPTION for a text that is no special token */
  allTaskIds(tokenizer: Tokenizer): number[] {
    return this.#idsOf(isList(this.#taskTokens) ? this.#taskTokens : Object.values(this.#taskTokens).flat(), tokenizer);
  }

  /** The ids that stand for the row's task, in front of everything else. @throws INVALID_DATA where `task` is none of the tasks; INVALID_OPTION */
  taskIds(row: Row, tokenizer: Tokenizer): number[] {
    const tokens = this.#taskTokens;
    if (isList(tokens)) return this.#idsOf(tokens, tokenizer);
    const name = textOf(row, 'task');
    if (Object.hasOwn(tokens, name)) return this.#idsOf(tokens[name], tokenizer);
    throw row.fault('task', `"task" must be one of ${show(Object.keys(tokens))}`, show(name));
  }

  #idsOf(tokens: TaskTokens, tokenizer: Tokenizer): number[] {
    return tokens.map((token) => {
      if (typeof token === 'number') return token;
      const id = specialTokens(tokenizer).find(({ content }) => content === token)?.id;
      if (id !== undefined) return id;
      throw new FerroError('INVALID_OPTION', `template: "taskTokens" must be special tokens of the tokenizer, or ids, got ${show(token)}`);
    });
  }

  /** Tokens besides the end of text that end what the model writes. */
  stopTokenIds(tokenizer: Tokenizer): number[] {
    const marks = this.name === 'chatml' ? chatMarks(tokenizer) : null;
    return marks === null ? [] : [marks.end];
  }

  /** The whole example. @throws INVALID_DATA */
  segments(row: Row, tokenizer: Tokenizer): Segment[] {
    if (this.#own !== null) {
      const { prompt: before, completion, blanks } = this.#own;
      const answer = completion === null ? [learned(answerOf(row))] : fill(completion, row, true);
      return [prompt(this.#prefix), ...fill(before, row, false), { text: blanks, counted: true, border: true }, ...answer, END];
    }
    return NAMED[this.name as TemplateName](shapeOf(row), this.#prefix, tokenizer, row);
  }

  /** What a model reads before it writes the completion, which the row need not have. @throws INVALID_DATA */
  promptSegments(row: Row, tokenizer: Tokenizer): Segment[] {
    if (this.#own !== null) return [prompt(this.#prefix), ...fill(this.#own.prompt, row, false)];
    return NAMED[this.name as TemplateName](shapeOf(row, true), this.#prefix, tokenizer, row);
  }

  /**
   * The prompt's ids, to generate from: the same as in training, where an empty prompt is the token that begins a text, or else the one that ends it.
   * @param options border: false leaves out what stands between prompt and completion, as data sets of sources and of classified texts do
   * @throws INVALID_DATA for a row without the fields, UNKNOWN_CHARACTER
   */
  promptIds(row: RowInput, tokenizer: Tokenizer, options: { border?: boolean } = {}): Int32Array {
    const [given] = asRows('promptIds', [row]);
    const { ids } = new SegmentEncoder(tokenizer, []).encode(this.#prompt(given, tokenizer, options));
    const whole = withTask(ids, this.taskIds(given, tokenizer), tokenizer.bosId);
    const begin = tokenizer.bosId ?? tokenizer.eosId;
    return Int32Array.from(whole.length === 0 && options.border !== false && begin !== null ? [begin] : whole);
  }

  /** The prompt as text, where special tokens are written out. @param options as for promptIds @throws INVALID_DATA */
  promptText(row: RowInput, tokenizer: Tokenizer, options: { border?: boolean } = {}): string {
    const [given] = asRows('promptText', [row]);
    return this.#prompt(given, tokenizer, options)
      .map(({ text }) => text)
      .join('');
  }

  #prompt(row: Row, tokenizer: Tokenizer, { border = true }: { border?: boolean }): Segment[] {
    const segments = this.promptSegments(row, tokenizer);
    return border ? segments : withoutBorder(segments);
  }
}

const isList = (tokens: object): tokens is TaskTokens => Array.isArray(tokens);

/** Ids of a task in front of a text, behind its beginning-of-text token if it has one. */
export function withTask(ids: readonly number[], task: readonly number[], bosId: number | null): readonly number[] {
  if (task.length === 0) return ids;
  const at = bosId !== null && ids[0] === bosId ? 1 : 0;
  return [...ids.slice(0, at), ...task, ...ids.slice(at)];
}

function answerOf(row: Row): string {
  const shaped = shapeOf(row);
  if (shaped.kind === 'pair' && shaped.answer !== null) return shaped.answer;
  throw row.fault('messages', 'a conversation must have the template "chatml" or "plain"', 'a template of fields');
}

type Render = (shaped: Pair | Chat, prefix: string, tokenizer: Tokenizer, row: Row) => Segment[];

const end = (answer: string | null): Segment[] => (answer === null ? [] : [learned(answer), END]);

/** The prompt as given, or its parts on lines of their own; the completion. Conversations under headings. */
const plain: Render = (shaped, prefix) => {
  if (shaped.kind === 'chat') return headings(withPrefix(shaped.messages, prefix));
  const { instruction, input, answer, inputFirst, verbatim } = shaped;
  if (verbatim) return [prompt(prefix + instruction), ...end(answer)];
  const lines = (inputFirst ? [input, instruction] : [instruction, input]).filter((text) => text !== '');
  return [prompt(prefix + lines.join('\n')), { text: '\n', counted: false, border: true }, ...end(answer)];
};

/** The prompt of Stanford Alpaca (Taori et al. 2023), which models tuned on its data expect word by word. */
const alpaca: Render = (shaped, prefix, _, row) => {
  if (shaped.kind === 'chat') throw row.fault('messages', 'a conversation must have the template "chatml" or "plain"', '"alpaca"');
  const { instruction, input, answer } = shaped;
  const task =
    input === ''
      ? 'Below is an instruction that describes a task.'
      : 'Below is an instruction that describes a task, paired with an input that provides further context.';
  const given = input === '' ? '' : `### Input:\n${input}\n\n`;
  const text = `${task} Write a response that appropriately completes the request.\n\n### Instruction:\n${prefix}${instruction}\n\n${given}### Response:\n`;
  return [prompt(text), ...end(answer)];
};

/** ChatML: turns between the special tokens <|im_start|> and <|im_end|>; headings where the tokenizer does not have these. */
const chatml: Render = (shaped, prefix, tokenizer) => {
  const messages = withPrefix(shaped.kind === 'chat' ? shaped.messages : asMessages(shaped), prefix);
  if (chatMarks(tokenizer) === null) return headings(messages);
  const segments = messages.flatMap(({ role, content }): Segment[] => {
    const counted = role === 'assistant';
    const close = { text: IM_END, counted, own: true };
    return [prompt(`${IM_START}${role}\n`, true), { text: content, counted }, close, prompt('\n')];
  });
  return messages.at(-1)?.role === 'assistant' ? segments.slice(0, -1) : [...segments, prompt(`${IM_START}assistant\n`, true)];
};

const IM_START = '<|im_start|>';
const IM_END = '<|im_end|>';

/** Whether the tokenizer has ChatML's special tokens, and the id of the one that ends a turn. */
function chatMarks(tokenizer: Tokenizer): { end: number } | null {
  const special = specialTokens(tokenizer);
  const closing = special.find(({ content }) => content === IM_END);
  return closing !== undefined && special.some(({ content }) => content === IM_START) ? { end: closing.id } : null;
}

const HEADINGS = { system: '### System:\n', user: '### User:\n', assistant: '### Assistant:\n' } as const;

/** A conversation as plain text: each turn under a heading, the assistant's with the end of text behind it. */
function headings(messages: readonly Message[]): Segment[] {
  const segments = messages.flatMap(({ role, content }): Segment[] =>
    role === 'assistant' ? [prompt(HEADINGS[role]), learned(content), END, prompt('\n\n')] : [prompt(`${HEADINGS[role]}${content}\n\n`)],
  );
  return messages.at(-1)?.role === 'assistant' ? segments.slice(0, -1) : [...segments, prompt(HEADINGS.assistant)];
}

function asMessages({ instruction, input, answer, inputFirst }: Pair): Message[] {
  const lines = (inputFirst ? [input, instruction] : [instruction, input]).filter((text) => text !== '');
  const messages: Message[] = [{ role: 'user', content: lines.join('\n') }];
  return answer === null ? messages : [...messages, { role: 'assistant', content: answer }];
}

function withPrefix(messages: readonly Message[], prefix: string): readonly Message[] {
  const first = prefix === '' ? -1 : messages.findIndex(({ role }) => role === 'user');
  return messages.map((message, i) => (i === first ? { ...message, content: prefix + message.content } : message));
}

const NAMED: Readonly<Record<TemplateName, Render>> = { plain, alpaca, chatml };
