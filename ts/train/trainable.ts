// What the Trainer needs of a model, whatever it is: a module bound to an engine, a loss, and its form as files. The GPT of ts/api comes in this
// shape; a module of a user's own is put into it here.
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
  /** Names the model in run.json: enough to build it again. */
  readonly description: Readonly<Record<string, unknown>>;
  /** True when the weights were loaded and not drawn: other defaults of the learning rate apply. */
  readonly pretrained: boolean;
  /** Window length in tokens that the model reads; undefined where the data set decides. */
  readonly blockSize: number | undefined;
  /** Ids must be below it; undefined where the model reads no tokens. */
  readonly vocabSize: number | undefined;
  /** Hash of the vocabulary; null without a tokenizer. */
  readonly tokenizerHash: string | null;
  /** The model's folder, complete. */
  files(signal?: AbortSignal): Promise<Map<string, FileData>>;
  /** Replaces the weights by those of such a folder. @throws INVALID_CHECKPOINT listing what does not fit */
  load(folder: ReadableFolder, signal?: AbortSignal): Promise<void>;
}

/** What `new Trainer` accepts. */
export type TrainableLike = Trainable | BoundModule;

/** A module of a user's own as the Trainer needs it. A numeric field `blockSize` or `vocabSize` of the module is taken for what it says. */
export function asTrainable(model: TrainableLike): Trainable {
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
