// Every error a user can meet: one base class, one exported union of codes, and the plain form in which an error crosses a worker boundary.
// This file decides how errors look; which rule was broken is said where it is checked. docs/errors.md is generated from REMEDIES.

/** What to do about each kind of error, one remedy per code. The keys are the stable codes. */
export const REMEDIES = {
  INVALID_OPTION: 'Correct the named option; the message says the rule and the value it got.',
  UNKNOWN_OPTION: 'Remove the option or use the nearest name that the message suggests.',
  INVALID_SHAPE: 'Make the shapes agree as the message says; shapes are listed outermost axis first.',
  INVALID_DTYPE: 'Pass the dtype that the message asks for.',
  NOT_DIFFERENTIABLE: 'Train only parameters that the loss depends on through differentiable operations.',
  UNBOUND_VARIABLE: 'Bind the module to an engine first (engine.bind, GPT.create).',
  WRONG_ENGINE: 'Use tensors and parameters of one engine together; a parameter belongs to the engine that bound it.',
  OUT_OF_MEMORY: 'Use a smaller model, batch or block size; the message says the bytes needed and the limit.',
  BAD_PROGRAM: 'This is a fault in the library: please report it with the message.',
  TOKEN_OUT_OF_RANGE: 'Encode the text with the tokenizer the model was made with; ids run from 0 to vocabSize − 1.',
  LABEL_OUT_OF_RANGE: 'Labels run from 0 to vocabSize − 1; use −100 for positions to ignore.',
  NON_FINITE_LOSS: 'Lower the learning rate or resume from the last good checkpoint; the message names the step.',
  NON_FINITE_GRADIENT: 'Lower the learning rate or check the data; the parameters were not changed by this step.',
  NON_FINITE_LOGITS: 'The weights hold NaN or infinity: load an earlier checkpoint.',
  QUANTIZED_MODEL: 'Load the model without "quantize" to train it, or train adapters on it: weights in int8 blocks or bf16 are frozen.',
  NON_FINITE_WEIGHTS: 'The weights hold NaN or infinity: load an earlier checkpoint.',
  ENGINE_DIED: 'Start a new engine; the cause says what ended this one.',
  ENGINE_CLOSED: 'Start a new engine: this one was closed.',
  ENGINE_START_FAILED: 'Check that workers and the .wasm files can be loaded; the cause has the details.',
  UNSUPPORTED_RUNTIME: 'Use Node 20.19 or newer, or a browser with WebAssembly SIMD.',
  MODEL_CLOSED: 'Create or load the model again: this one was closed.',
  BUSY: 'Wait for the running call of this object to end, or break out of its loop.',
  ABORTED: 'The call was aborted by its signal; state is that of the last whole step.',
  EMPTY_DATA: 'Give data with text or rows in it; where rows were left out, the message says how many and why.',
  DATA_TOO_SHORT: 'Use a longer text or a smaller blockSize.',
  INVALID_DATA: 'Correct the row that the message names (file:line:column); it also says how many more rows have errors.',
  NOT_UTF8: 'Save the file as UTF-8; the message names the offset of the first invalid byte.',
  UNKNOWN_CHARACTER: 'Use a tokenizer whose vocabulary has every character of the text.',
  INVALID_TOKENIZER:
    'Use a tokenizer folder written by this library or by Hugging Face tokenizers; the message says which part of which file is wrong.',
  UNSUPPORTED_TOKENIZER:
    'The file is sound but asks for what the message names, which is not supported; give the model token ids of your own.',
  TOKENIZER_PACKAGE_MISSING: 'npm install @huggingface/tokenizers: it runs Unigram, WordPiece and SentencePiece tokenizers.',
  VOCABULARY_MISMATCH: 'Use the tokenizer the checkpoint was trained with.',
  FILE_NOT_FOUND: 'Check the path.',
  FILE_ERROR: 'Check permissions and free space; nothing was half-written.',
  INVALID_FILE: 'The file is not in the expected format; the message says what is wrong.',
  PICKLE_REFUSED:
    'Save the weights as safetensors in Python: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder); pickled files can run code and are never read.',
  INVALID_CHECKPOINT: 'Use another checkpoint: this one is incomplete, truncated or not of this library.',
  ADAPTER_MISMATCH: 'Load the adapter on the model it was made for; the message lists the names and shapes that differ.',
  ADAPTER_ACTIVE: 'Save the adapter with saveAdapter; to have it in the weights call mergeAdapter first, to leave it out setAdapter(null).',
  NO_CHECKPOINT: 'Train with saveSteps first, or name a folder that holds a complete checkpoint.',
  CHECKPOINT_MISMATCH:
    'Resume with the configuration the run was started with; only maxSteps and the save and evaluation intervals may change.',
  RUN_EXISTS: 'Pass --resume to continue, --overwrite to start again, or choose another folder.',
  RUN_LOCKED: 'Another process writes to this run folder; wait for it or choose another folder.',
  NOT_SUPPORTED: 'Use one of the kinds that the message names; this one is not supported.',
  NOT_BUILT: 'This part is not built yet.',
} as const;

/** The stable error codes. */
export type ErrorCode = keyof typeof REMEDIES;

/** Longest text of an error: some values in it come from files. */
const MAX_MESSAGE = 8000;

const cut = (message: string): string =>
  message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE)}… (${message.length - MAX_MESSAGE} characters more)`;

/** Base class of all errors this library throws. `code` is stable; the text is `op: rule, got value`, cut at 8000 characters. */
export class FerroError extends Error {
  override name = 'FerroError';
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(cut(message), options);
    this.code = code;
  }
}

/** An error as plain data, to cross a worker boundary. */
export interface PlainError {
  name: string;
  message: string;
  code?: string;
  stack?: string;
  cause?: PlainError;
}

/** Turns anything thrown into plain data (class name, code, text, stack and cause are kept; five causes deep at most). */
export function toPlainError(error: unknown, depth = 0): PlainError {
  if (!(error instanceof Error)) return { name: 'Error', message: typeof error === 'string' ? error : show(error) };
  const plain: PlainError = { name: error.name, message: error.message, stack: error.stack };
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string') plain.code = code;
  if (error.cause !== undefined && depth < 5) plain.cause = toPlainError(error.cause, depth + 1);
  return plain;
}

/** Rebuilds the error that `toPlainError` took apart: a FerroError when it has one of our codes, else an Error of the same name. */
export function fromPlainError(plain: PlainError): Error {
  const options = plain.cause === undefined ? undefined : { cause: fromPlainError(plain.cause) };
  const ours = plain.code !== undefined && plain.code in REMEDIES;
  const error = ours ? new FerroError(plain.code as ErrorCode, plain.message, options) : new Error(plain.message, options);
  if (!ours) error.name = plain.name;
  if (plain.stack !== undefined) error.stack = plain.stack;
  return error;
}

/** Throws ABORTED when the signal has been aborted; its reason is the cause. */
export function throwIfAborted(signal: AbortSignal | undefined, op: string): void {
  if (signal?.aborted) throw new FerroError('ABORTED', `${op}: aborted by its signal`, { cause: signal.reason });
}

/**
 * A value as error messages show it: short, and telling "3" from 3. It never throws: values of users and of files may be objects whose `toString` is no
 * function, so they are never put into a text by themselves.
 */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(show).join(', ')}${value.length > 8 ? ', ...' : ''}]`;
  if (typeof value === 'object' && value !== null) return `an object (${nameOf(value)})`;
  return String(value);
}

/** A value in an error message where a text is a phrase already (`[2, 3] and [4]`): texts as they are, all else as `show` has it. */
export const phrase = (value: unknown): string => (typeof value === 'string' ? value : show(value));

function nameOf(value: object): string {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === 'string' && name !== '' ? name : 'Object';
}
