// What the Trainer needs of a model, whatever it is: a module bound to an engine, a loss, and its form as files. The GPT of ts/api comes in this
// shape; a module of a user's own is put into it here.
import { type Adapter, type Adapters, adaptersOf } from '../adapters';
import { BoundModule } from '../bind';
import { FerroError } from '../errors';
import type { FileData, ReadableFolder } from '../io';
import type { Loss } from '../nn';
import { describeModule, loadModule, moduleFiles } from './ownModule';

/** Something that can be trained. */
export interface Trainable {
  /** The module on its engine. */
  readonly bound: BoundModule;
  /** The loss when the Trainer is given none. */
  readonly loss?: Loss;
  /** The loss that the option `labelSmoothing` trains with; absent where the model has none. Evaluation stays with `loss`. */
  smoothedLoss?(labelSmoothing: number): Loss;
  /** Names the model in run.json: enough to build it again. */
  readonly description: Readonly<Record<string, unknown>>;
  /** True when the weights were loaded and not drawn: other defaults of the learning rate apply. */
  readonly pretrained: boolean;
  /** Window length in tokens that the model reads; undefined where the data set decides. */
  readonly blockSize: number | undefined;
  /** Ids must be below it; undefined where the model reads no tokens. */
  readonly vocabSize: number | undefined;
  /** The parameter whose rows are the tokens' vectors; undefined where there is none. */
  readonly tokenTable?: string | undefined;
  /** Names of the classes that a classifier tells apart, by their number. */
  readonly labels?: readonly string[] | undefined;
  /** Hash of the vocabulary; null without a tokenizer. */
  readonly tokenizerHash: string | null;
  /** The model's folder, complete. */
  files(signal?: AbortSignal): Promise<Map<string, FileData>>;
  /** Replaces the weights by those of such a folder. @throws INVALID_CHECKPOINT listing what does not fit */
  load(folder: ReadableFolder, signal?: AbortSignal): Promise<void>;
}

/** What `new Trainer` accepts. */
export type TrainableLike = Trainable | BoundModule;

/** A model as the Trainer takes it: with an adapter active it is the adapter that is trained, saved and loaded. */
export function asTrainable(model: TrainableLike): TrainedModel {
  return new TrainedModel(plainTrainable(model));
}

/** A trainable whose files and description are those of its active adapter, where it has one: of the one that a run began with, whatever is active later. */
export class TrainedModel implements Trainable {
  readonly #adapters: Adapters;
  #begun: { readonly variant: string; readonly adapter: Adapter | null } | undefined;

  constructor(readonly model: Trainable) {
    this.#adapters = adaptersOf(model.bound);
  }

  get bound(): BoundModule {
    return this.model.bound;
  }

  /** A run trains one thing: the adapter that was active when this was first called, or the model's own weights. @throws INVALID_OPTION for another one */
  assertSameVariant(): void {
    const { variantKey } = this.bound;
    this.#begun ??= { variant: variantKey, adapter: this.#adapters.active };
    const { variant } = this.#begun;
    if (variantKey === variant) return;
    const named = (key: string) => (key === '' ? 'none' : `"${key.slice(0, key.indexOf('#'))}"`);
    throw new FerroError(
      'INVALID_OPTION',
      `train: the active adapter must be the one the run began with (${named(variant)}), got ${named(variantKey)}`,
    );
  }

  /** Nothing was trained: a run may begin with another adapter. */
  startOver(): void {
    this.#begun = undefined;
  }

  get #adapter(): Adapter | null {
    return this.#begun === undefined ? this.#adapters.active : this.#begun.adapter;
  }

  get loss(): Loss | undefined {
    return this.model.loss;
  }

  /** @throws INVALID_OPTION for a model that has no such loss */
  smoothedLoss(labelSmoothing: number): Loss {
    const smoothed = this.model.smoothedLoss?.(labelSmoothing);
    if (smoothed !== undefined) return smoothed;
    throw new FerroError(
      'INVALID_OPTION',
      `Trainer: "labelSmoothing" must be 0 for a model without a smoothed loss, got ${labelSmoothing}`,
    );
  }

  get description(): Readonly<Record<string, unknown>> {
    const adapter = this.#adapter;
    return adapter === null ? this.model.description : { ...this.model.description, adapter: adapter.description };
  }

  get pretrained(): boolean {
    return this.model.pretrained;
  }

  get blockSize(): number | undefined {
    return this.model.blockSize;
  }

  get vocabSize(): number | undefined {
    return this.model.vocabSize;
  }

  get tokenTable(): string | undefined {
    return this.model.tokenTable;
  }

  get labels(): readonly string[] | undefined {
    return this.model.labels;
  }

  get tokenizerHash(): string | null {
    return this.model.tokenizerHash;
  }

  async files(signal?: AbortSignal): Promise<Map<string, FileData>> {
    return this.#adapter?.files() ?? this.model.files(signal);
  }

  async load(folder: ReadableFolder, signal?: AbortSignal): Promise<void> {
    const adapter = this.#adapter;
    await (adapter === null ? this.model.load(folder, signal) : this.#adapters.restore(adapter, folder, signal));
  }
}

/** A module of a user's own as the Trainer needs it. A numeric field `blockSize` or `vocabSize` of the module is taken for what it says. */
function plainTrainable(model: TrainableLike): Trainable {
  if (!(model instanceof BoundModule)) {
    if (typeof model !== 'object' || model === null || !(model.bound instanceof BoundModule)) {
      throw new FerroError('INVALID_OPTION', `Trainer: the model must be a GPT or a module bound with engine.bind, got ${typeof model}`);
    }
    return model;
  }
  const { blockSize, vocabSize } = model.module as { blockSize?: unknown; vocabSize?: unknown };
  return {
    bound: model,
    description: describeModule(model),
    pretrained: false,
    blockSize: typeof blockSize === 'number' ? blockSize : undefined,
    vocabSize: typeof vocabSize === 'number' ? vocabSize : undefined,
    tokenizerHash: null,
    files: () => moduleFiles(model),
    load: (folder) => loadModule(model, folder),
  };
}
