// What preference losses need beside the batch: the log-probabilities of a frozen reference, computed once before training.
import { adaptersOf } from '../adapters';
import type { BoundModule } from '../bind';
import type { BatchTensors, ExampleDataset, PreferenceDataset } from '../data';
import { FerroError, show, throwIfAborted } from '../errors';
import { type CausalLM, sequenceLogProbs } from '../models';

/** How `withReference` works. */
export interface ReferenceOptions {
  /** Pairs computed at a time. Default 8. */
  batchSize?: number;
  signal?: AbortSignal;
  /** Told after each batch how many pairs are done. */
  onProgress?: (done: number, all: number) => void;
}

/**
 * A data set of pairs with the reference's log-probabilities in each batch, as `dpoLoss` needs them: chosenReference and rejectedReference f32 [B]. The reference is the
 * model as it is now, without its active adapter. Call it before training. A PreferenceDataset takes them and is given back.
 * @param dataset batches { chosenIds, chosenLabels, rejectedIds, rejectedLabels i32 [B, T] }
 * @throws INVALID_OPTION for a data set without these; ABORTED, MODEL_CLOSED
 */
export async function withReference(
  model: { readonly bound: BoundModule<CausalLM> } | BoundModule<CausalLM>,
  dataset: ExampleDataset,
  { batchSize = 8, signal, onProgress }: ReferenceOptions = {},
): Promise<ExampleDataset> {
  const bound = 'bound' in model ? model.bound : model;
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new FerroError('INVALID_OPTION', `withReference: "batchSize" must be a positive integer, got ${show(batchSize)}`);
  const chosen = new Float32Array(dataset.length);
  const rejected = new Float32Array(dataset.length);
  await adaptersOf(bound).without(async () => {
    for (let start = 0; start < dataset.length; start += batchSize) {
      throwIfAborted(signal, 'withReference');
      const indices = Array.from({ length: Math.min(batchSize, dataset.length - start) }, (_, i) => start + i);
      const batch = await dataset.batch(indices);
      chosen.set(await logProbs(bound, batch, 'chosen', signal), start);
      rejected.set(await logProbs(bound, batch, 'rejected', signal), start);
      onProgress?.(start + indices.length, dataset.length);
    }
  });
  if (!takesReferences(dataset)) return new ReferencedDataset(dataset, chosen, rejected);
  dataset.setReferences({ chosen, rejected });
  return dataset;
}

/** Whether a data set keeps the references itself, as PreferenceDataset does. */
function takesReferences(dataset: ExampleDataset): dataset is ExampleDataset & Pick<PreferenceDataset, 'setReferences'> {
  return typeof (dataset as Partial<PreferenceDataset>).setReferences === 'function';
}

async function logProbs(
  bound: BoundModule<CausalLM>,
  batch: BatchTensors,
  which: 'chosen' | 'rejected',
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const [ids, labels] = [batch[`${which}Ids`], batch[`${which}Labels`]];
  if (ids === undefined || labels === undefined)
    throw new FerroError(
      'INVALID_OPTION',
      `withReference: batches must have ${which}Ids and ${which}Labels, got ${Object.keys(batch).join(', ')}`,
    );
  const build = (inputs: Record<string, Parameters<typeof sequenceLogProbs>[1]>) => ({
    value: sequenceLogProbs(bound.module, inputs.ids, inputs.labels),
  });
  const { value } = await bound.evaluate('reference log-probabilities', build, { ids, labels }, { signal });
  return value.data as Float32Array;
}

/** The data set with two more tensors in each batch. */
class ReferencedDataset implements ExampleDataset {
  /** The pairs' own: the references follow from them and from the model, which the run names. */
  readonly hash: ExampleDataset['hash'];
  readonly lengths: ExampleDataset['lengths'];

  constructor(
    readonly dataset: ExampleDataset,
    readonly chosen: Float32Array,
    readonly rejected: Float32Array,
  ) {
    if (dataset.lengths !== undefined) this.lengths = dataset.lengths;
    if (dataset.hash !== undefined) this.hash = () => dataset.hash!();
  }

  get length(): number {
    return this.dataset.length;
  }

  async batch(indices: readonly number[]): Promise<BatchTensors> {
    const pick = (values: Float32Array) => ({ data: Float32Array.from(indices, (i) => values[i]), shape: [indices.length] });
    return { ...(await this.dataset.batch(indices)), chosenReference: pick(this.chosen), rejectedReference: pick(this.rejected) };
  }
}
