// The shapes that rows have: which names go together, which of them is the answer that is learned. Values are checked here; how they become one text is the
// business of a template.
import { show } from '../../errors';
import type { Row } from './row';

/** One message of a conversation. */
export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** The part of a row that a model reads, by its roles, and the text it should answer. */
export interface Pair {
  readonly kind: 'pair';
  /** What to do, or all there is to read. */
  readonly instruction: string;
  /** What to do it with; '' where there is none. */
  readonly input: string;
  /** The completion; null where only the prompt was asked for. */
  readonly answer: string | null;
  /** The passage stands before the question, all other inputs behind the instruction. */
  readonly inputFirst: boolean;
  /** Prompt and completion follow each other with nothing between them. */
  readonly verbatim: boolean;
}

export interface Chat {
  readonly kind: 'chat';
  readonly messages: readonly Message[];
}

export type Shaped = Pair | Chat;

interface PairShape {
  readonly instruction: string;
  readonly answer: string;
  /** Other names of the instruction. */
  readonly also?: string;
  readonly input?: readonly string[];
  readonly inputFirst?: boolean;
  readonly verbatim?: boolean;
}

/** In the order in which a row is compared with them. */
const SHAPES: readonly PairShape[] = [
  { instruction: 'prompt', answer: 'completion', verbatim: true },
  { instruction: 'instruction', answer: 'output', input: ['input'] },
  { instruction: 'question', answer: 'answer', input: ['passage', 'context'], inputFirst: true },
  { instruction: 'source', answer: 'target' },
  { instruction: 'text', also: 'sentence', answer: 'label' },
];

/** Names of answers: what a template of one's own may name as the place where the completion begins. */
export const ANSWER_NAMES: readonly string[] = SHAPES.map(({ answer }) => answer);

const has = (row: Row, name: string | undefined): name is string => name !== undefined && Object.hasOwn(row.fields, name);

/** A value that must be a text. @throws INVALID_DATA */
export function textOf(row: Row, name: string): string {
  const value = row.get(name);
  if (typeof value !== 'string') throw row.fault(name, `"${name}" must be a text`, value === undefined ? 'none' : show(value));
  return value;
}

/** A label: a text that is not empty, an integer or a truth value, as text. @throws INVALID_DATA */
export function labelOf(row: Row, name = 'label'): string {
  const value = row.get(name);
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isSafeInteger(value))) return JSON.stringify(value);
  throw row.fault(name, `"${name}" must be a text, an integer, true or false`, value === undefined ? 'none' : show(value));
}

/**
 * A row as pair or conversation. A row with `text` and nothing to answer is a document: an empty instruction and the text as answer.
 * @param promptOnly only what is read: the answer may be missing, the last assistant turn of a conversation is left out
 * @throws INVALID_DATA where the row has none of the shapes, or a value of another type
 */
export function shapeOf(row: Row, promptOnly = false): Shaped {
  if (has(row, 'messages')) return { kind: 'chat', messages: conversationOf(row, 'messages', promptOnly) };
  for (const shape of SHAPES) {
    const name = has(row, shape.instruction) ? shape.instruction : shape.also;
    if (!has(row, name) || !(promptOnly || has(row, shape.answer))) continue;
    const input = shape.input?.find((other) => has(row, other));
    return {
      kind: 'pair',
      instruction: textOf(row, name),
      input: input === undefined ? '' : textOf(row, input),
      answer: promptOnly ? null : shape.answer === 'label' ? labelOf(row) : textOf(row, shape.answer),
      inputFirst: shape.inputFirst ?? false,
      verbatim: shape.verbatim ?? false,
    };
  }
  if (!promptOnly && has(row, 'text')) {
    return { kind: 'pair', instruction: '', input: '', answer: textOf(row, 'text'), inputFirst: false, verbatim: true };
  }
  const pairs = SHAPES.map(({ instruction, answer }) => (promptOnly ? instruction : `${instruction} and ${answer}`)).join(', ');
  throw row.fault(undefined, `a row must have ${pairs}, messages or text`, show(Object.keys(row.fields)));
}

function conversationOf(row: Row, name: string, promptOnly: boolean): Message[] {
  const messages = messagesOf(row, name);
  if (promptOnly) return messages.at(-1)?.role === 'assistant' ? messages.slice(0, -1) : messages;
  if (messages.some(({ role }) => role === 'assistant')) return messages;
  throw row.fault(name, `"${name}" must have a message of the assistant`, show(messages.map(({ role }) => role)));
}

/** A list of messages. @throws INVALID_DATA */
export function messagesOf(row: Row, name: string): Message[] {
  const value = row.get(name);
  if (!Array.isArray(value) || value.length === 0) throw row.fault(name, `"${name}" must be a list of messages`, show(value));
  return value.map((message: unknown, i) => {
    const where = `"${name}[${i}]"`;
    if (typeof message !== 'object' || message === null)
      throw row.fault(name, `${where} must be an object with role and content`, show(message));
    const { role, content } = message as { role?: unknown; content?: unknown };
    if (role !== 'system' && role !== 'user' && role !== 'assistant') {
      throw row.fault(name, `the role of ${where} must be "system", "user" or "assistant"`, show(role));
    }
    if (typeof content !== 'string') throw row.fault(name, `the content of ${where} must be a text`, show(content));
    return { role, content };
  });
}
