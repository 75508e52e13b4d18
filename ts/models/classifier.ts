// A sequence classifier: the trunk of a causal language model, one vector for each sequence, and a linear head without bias. Parameter names are those of Hugging Face's
// GPT2ForSequenceClassification and LlamaForSequenceClassification. Pure graph building. Letters in shapes: B batch, T time, C nEmbd, L labels.

import { FerroError, show } from '../errors';
import { countLabels, crossEntropy, type Tensor } from '../graph';
import { type Loss, Module, type Pooling, Projection, poolSequences, type RowLoss } from '../nn';
import { checkIds } from './causalLM';
import type { GPTConfig } from './config';
import type { ModelConfig } from './create';
import { GPTTrunk } from './gpt';
import { LlamaTrunk } from './llama';
import type { LlamaConfig } from './llamaConfig';

/** What a classifier is beside its trunk. */
export interface ClassifierHead {
  /** Names of the classes, by their number; at least two. */
  readonly labels: readonly string[];
  /** What represents a sequence: its last position (as transformers has it), or the mean over its positions. */
  readonly pooling: Pooling;
  /** The id that fills batches in other libraries; here sequences have lengths. Null: none is known. */
  readonly padTokenId: number | null;
}

/** A configuration of any architecture with a classifier's head. */
export type ClassifierConfig = ModelConfig & { readonly classifier: ClassifierHead };

/** @throws INVALID_OPTION unless there are at least two different names, none of them empty */
export function checkLabels(op: string, labels: readonly string[]): readonly string[] {
  const rule = labels.length < 2 ? 'at least two names' : 'different names';
  const repeated = labels.find((label, i) => labels.indexOf(label) !== i);
  if (labels.length >= 2 && repeated === undefined) return Object.freeze([...labels]);
  throw new FerroError('INVALID_OPTION', `${op}: "labels" must be ${rule}, got ${show(labels.length < 2 ? labels : repeated)}`);
}

/** The base of all classifiers. It has no fields: those of a model give its parameters their names and order. */
export abstract class Classifier extends Module {
  abstract readonly config: ClassifierConfig;
  /** [L, C] */
  abstract readonly score: Projection;

  protected abstract hidden(ids: Tensor): Tensor;

  /**
   * Logits. What lies behind a sequence's end changes nothing: attention looks back alone.
   * @param batch inputIds i32 [B, T], padded at the end, T at most blockSize; lengths i32 [B], each from 1 to T
   * @returns f32 [B, L]
   */
  override forward({ inputIds, lengths }: Record<string, Tensor>): Tensor {
    if (inputIds === undefined || lengths === undefined)
      throw new FerroError('INVALID_OPTION', 'classifier: a batch must have inputIds and lengths, got one without');
    checkIds('classifier', inputIds, this.config.blockSize);
    return this.score.forward(poolSequences(this.hidden(inputIds), lengths, this.config.classifier.pooling));
  }

  /** Cross-entropy in nats per sequence. @param batch as `forward`'s, and labels i32 [B]: the number of the class; −100 leaves a sequence out */
  loss(batch: Record<string, Tensor>): RowLoss {
    const { labels } = batch;
    if (labels === undefined) throw new FerroError('INVALID_OPTION', 'classifier: a batch to train on must have labels, got one without');
    return { sum: crossEntropy(this.forward(batch), labels).loss, count: countLabels(labels) };
  }
}

/** A classifier on GPT-2's trunk. */
export class GPTClassifier extends Classifier {
  readonly transformer: GPTTrunk;
  readonly score: Projection;

  constructor(readonly config: GPTConfig & { readonly classifier: ClassifierHead }) {
    super();
    this.transformer = new GPTTrunk(config);
    this.score = new Projection(config.nEmbd, config.classifier.labels.length);
  }

  protected hidden(ids: Tensor): Tensor {
    return this.transformer.forward(ids);
  }
}

/** A classifier on Llama's trunk. */
export class LlamaClassifier extends Classifier {
  readonly model: LlamaTrunk;
  readonly score: Projection;

  constructor(readonly config: LlamaConfig & { readonly classifier: ClassifierHead }) {
    super();
    this.model = new LlamaTrunk(config);
    this.score = new Projection(config.nEmbd, config.classifier.labels.length);
  }

  protected hidden(ids: Tensor): Tensor {
    return this.model.forward(ids);
  }
}

/** The classifier of a configuration. */
export function createClassifier(config: ClassifierConfig): Classifier {
  return config.modelType === 'llama' ? new LlamaClassifier(config) : new GPTClassifier(config);
}

/** The loss of a classification data set's batch { inputIds i32 [B, T], lengths i32 [B], labels i32 [B] }. */
export const classifierLoss: Loss<Classifier> = (module, batch) => module.loss(batch);
