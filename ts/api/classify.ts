// From texts to classes: encoding, batches of like length, probabilities. The model is classifier.ts's.
import type { BoundModule } from '../bind';
import { roundLength } from '../data/tasks/examples';
import { FerroError, show, throwIfAborted } from '../errors';
import type { Prompt } from '../generate';
import { exp } from '../math';
import type { Classifier } from '../models';
import type { HostTensor } from '../nn';
import type { Tokenizer } from '../tokenizers';

/** What a classifier says of one text. */
export interface Classification {
  /** The likeliest class; the first of equals. */
  label: string;
  /** Of every class, by its name; they sum to 1. */
  probabilities: Record<string, number>;
  /** Present and true where only the text's beginning was read. */
  truncated?: true;
}

/** What is asked. */
export interface ClassifyingModel {
  readonly bound: BoundModule;
  readonly tokenizer: Tokenizer | null;
  readonly labels: readonly string[];
  readonly blockSize: number;
  readonly vocabSize: number;
}

/** How. */
export interface ClassifyingOptions {
  batchSize: number;
  truncate: boolean;
  signal?: AbortSignal | undefined;
}

interface EncodedText {
  readonly ids: Int32Array;
  readonly truncated: boolean;
}

/** The classes of texts, in their order. @throws as `SequenceClassifier.classify` */
export async function classifyTexts(
  model: ClassifyingModel,
  texts: readonly Prompt[],
  { batchSize, truncate, signal }: ClassifyingOptions,
): Promise<Classification[]> {
  const encoded = texts.map((text, i) => encode(model, text, i, truncate));
  const order = encoded.map((_, i) => i).sort((a, b) => encoded[a].ids.length - encoded[b].ids.length || a - b);
  const results = new Array<Classification>(texts.length);
  for (let start = 0; start < order.length; start += batchSize) {
    throwIfAborted(signal, 'classify');
    const picked = order.slice(start, start + batchSize);
    // A last batch that is short is filled up, so that it needs no program of its own.
    const rows = Math.min(batchSize, texts.length);
    const batch = padded(
      picked.map((i) => encoded[i].ids),
      rows,
      model.blockSize,
    );
    const logits = await logitsOf(model.bound, batch, signal);
    for (const [row, i] of picked.entries()) {
      const scores = logits.subarray(row * model.labels.length, (row + 1) * model.labels.length);
      results[i] = { ...classOf(scores, model.labels), ...(encoded[i].truncated ? { truncated: true as const } : {}) };
    }
  }
  return results;
}

function encode(model: ClassifyingModel, text: Prompt, index: number, truncate: boolean): EncodedText {
  const ids = typeof text === 'string' ? encodeText(model, text) : checkedIds(model, text, index);
  const { blockSize } = model;
  if (ids.length === 0)
    throw new FerroError('INVALID_OPTION', `classify: a text must have at least one token, got ${show(text)} as text ${index}`);
  if (ids.length <= blockSize) return { ids, truncated: false };
  if (truncate) return { ids: ids.subarray(0, blockSize), truncated: true };
  throw new FerroError(
    'INVALID_OPTION',
    `classify: a text must have at most blockSize ${blockSize} tokens ("truncate" cuts it), got ${ids.length} in text ${index}`,
  );
}

/** The ids of a text, and around it what the tokenizer puts there, as in training and in `generate`. */
function encodeText({ tokenizer }: ClassifyingModel, text: string): Int32Array {
  if (tokenizer === null) throw new FerroError('INVALID_OPTION', 'classify: texts need a model with a tokenizer, got one without');
  return tokenizer.encode(text, { addSpecialTokens: true });
}

function checkedIds({ vocabSize }: ClassifyingModel, text: ArrayLike<number>, index: number): Int32Array {
  const ids = Array.from(text ?? []);
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong === undefined) return Int32Array.from(ids);
  throw new FerroError(
    'TOKEN_OUT_OF_RANGE',
    `classify: ids must be integers from 0 to ${vocabSize - 1}, got ${show(wrong)} in text ${index}`,
  );
}

function padded(sequences: readonly Int32Array[], rows: number, blockSize: number): Record<string, HostTensor> {
  const time = roundLength(Math.max(...sequences.map(({ length }) => length)), blockSize);
  const inputIds = new Int32Array(rows * time);
  const lengths = new Int32Array(rows).fill(1);
  for (const [row, ids] of sequences.entries()) {
    inputIds.set(ids, row * time);
    lengths[row] = ids.length;
  }
  return { inputIds: { data: inputIds, shape: [rows, time] }, lengths: { data: lengths, shape: [rows] } };
}

/** Logits f32 [B, labels] of a batch { inputIds i32 [B, T], lengths i32 [B] }, or of what else the module's `forward` reads. */
export async function logitsOf(bound: BoundModule, batch: Record<string, HostTensor>, signal?: AbortSignal): Promise<Float32Array> {
  const module = bound.module as Classifier;
  const { logits } = await bound.evaluate('classify', (inputs) => ({ logits: module.forward(inputs) }), batch, { signal });
  return logits.data as Float32Array;
}

function classOf(logits: Float32Array, labels: readonly string[]): Classification {
  const wrong = logits.find((logit) => !Number.isFinite(logit));
  if (wrong !== undefined) throw new FerroError('NON_FINITE_LOGITS', `classify: logits must be finite, got ${wrong}`);
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  const weights = Array.from(logits, (logit) => exp(logit - logits[best]));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { label: labels[best], probabilities: Object.fromEntries(labels.map((label, i) => [label, weights[i] / total])) };
}
