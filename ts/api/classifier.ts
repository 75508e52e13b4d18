// A sequence classifier as users hold it: made, or loaded from a language model or a classifier, trained by the Trainer, asked, saved, closed. Thin: the module is
// ts/models', memory is ts/bind's, the files are ts/io's.
import { type BoundModule, bind } from '../bind';
import { FerroError, show } from '../errors';
import { isPrompts, type Prompt } from '../generate';
import {
  classifierToFiles,
  type FileData,
  type FileProgress,
  type FoundClassifier,
  type LoadReport,
  type OpenedModel,
  openClassifier,
  type ReadableFolder,
  type SaveFormat,
  toBlobs,
} from '../io';
import { writeFolder } from '../io/node';
import {
  type Classifier,
  type ClassifierConfig,
  checkLabels,
  classifierLoss,
  createClassifier,
  describeConfig,
  type ModelConfigOptions,
  resolveModelConfig,
  tokenTableName,
  withDropout,
} from '../models';
import type { Loss, Module, Pooling } from '../nn';
import { CLASSIFIER_OPTIONS, CLASSIFIER_SAVE_OPTIONS, CLASSIFY_OPTIONS, PRETRAINED_CLASSIFIER_OPTIONS, readOptions } from '../options';
import type { Tokenizer } from '../tokenizers';
import type { Trainable } from '../train';
import { AdaptableModel } from './adaptable';
import { checkEngine, checkSameTokenizer, chooseVocabSize } from './checks';
import { type Classification, classifyTexts } from './classify';
import type { Engine } from './engine';
import { nameOf, type PretrainedSource, sourceFolder } from './sources';
import { loadWeights, savedWeights } from './weights';

/** Options of `SequenceClassifier.create`. */
export type ClassifierOptions = ModelConfigOptions & {
  /** Names of the classes, by their number: at least two. */
  labels: readonly string[];
  /** 'last' (as transformers) or 'mean' (this library's alone). Default 'last'. */
  pooling?: Pooling;
  /** The model remembers it; gives vocabSize. */
  tokenizer?: Tokenizer;
  /** Seed of the initial weights. Default 42. */
  seed?: number;
  signal?: AbortSignal;
};

/** Options of `SequenceClassifier.fromPretrained`. */
export interface PretrainedClassifierOptions {
  /** Names of the classes; needed for a language model's folder. A classifier's folder has its own, which may be named here where they are only numbered. */
  labels?: readonly string[];
  /** Default: the folder's, else 'last'. */
  pooling?: Pooling;
  /** Instead of the folder's own. */
  tokenizer?: Tokenizer;
  /** Instead of the folder's. */
  dropout?: number;
  /** Seed of a new head. Default 42. */
  seed?: number;
  signal?: AbortSignal;
  onProgress?: (progress: FileProgress) => void;
}

/** Options of `classify`. */
export interface ClassifyOptions {
  /** Texts computed at a time. Default 12. */
  batchSize?: number;
  /** Reads only the first blockSize tokens of a longer text instead of refusing it; such a result says so. Default false. */
  truncate?: boolean;
  signal?: AbortSignal;
}

/** Options of `save` and `toFiles`. */
export interface ClassifierSaveOptions extends Omit<SaveFormat, 'quantize'> {
  signal?: AbortSignal;
}

const HEAD = 'score.weight';

/** A classifier of texts on the trunk of a causal language model. */
export class SequenceClassifier extends AdaptableModel implements Trainable, AsyncDisposable {
  readonly loss: Loss = classifierLoss as Loss;
  readonly pretrained: boolean;

  private constructor(
    readonly bound: BoundModule,
    /** What encodes its texts; null for a model made from a vocabSize alone. */
    readonly tokenizer: Tokenizer | null,
    /** What loading its folder found beside its own tensors; null for a model that was not loaded. */
    readonly loadReport: LoadReport | null,
    baseModel: string | null,
  ) {
    super();
    this.pretrained = loadReport !== null;
    this.adapterSet.origin = { taskType: 'SEQ_CLS', baseModel };
  }

  /**
   * A new classifier with weights drawn at random.
   * @throws INVALID_OPTION, UNKNOWN_OPTION, VOCABULARY_MISMATCH; OUT_OF_MEMORY, ENGINE_CLOSED
   */
  static async create(engine: Engine, options: ClassifierOptions): Promise<SequenceClassifier> {
    const op = 'SequenceClassifier.create';
    checkEngine(op, engine);
    const {
      tokenizer,
      seed,
      signal,
      labels,
      pooling = 'last',
      ...config
    } = readOptions(op, options, CLASSIFIER_OPTIONS, { defaults: false });
    if (labels === undefined) throw new FerroError('INVALID_OPTION', `${op}: "labels" must be given, got none`);
    const vocabSize = chooseVocabSize(op, tokenizer ?? null, config.vocabSize);
    const trunk = resolveModelConfig({ ...config, vocabSize } as ModelConfigOptions, op);
    const classifier = { labels: checkLabels(op, labels), pooling, padTokenId: tokenizer?.padId ?? null };
    const bound = await bind<Module>(engine.host, createClassifier({ ...trunk, classifier }), { seed, signal });
    return new SequenceClassifier(bound, tokenizer ?? null, null, null);
  }

  /**
   * A classifier from a folder of a language model, which gets a new head, or of a classifier (this library's or transformers').
   * @param source a folder's path (Node; a run or checkpoint folder too), a URL, a list of Files, or a directory handle
   * @throws INVALID_OPTION for labels that are missing or not the folder's; NOT_BUILT for regression and several labels at once; as `GPT.fromPretrained`
   */
  static async fromPretrained(
    engine: Engine,
    source: PretrainedSource,
    options: PretrainedClassifierOptions = {},
  ): Promise<SequenceClassifier> {
    const op = 'SequenceClassifier.fromPretrained';
    checkEngine(op, engine);
    const values = readOptions(op, options, PRETRAINED_CLASSIFIER_OPTIONS, { defaults: false });
    const { signal, onProgress } = options;
    const folder = await sourceFolder(op, source, signal);
    const opened = await openClassifier(folder, { signal, onProgress });
    try {
      const tokenizer = values.tokenizer ?? opened.tokenizer;
      if (tokenizer !== null) chooseVocabSize(op, tokenizer, opened.config.vocabSize);
      const config = configOf(op, opened, { ...values, padTokenId: tokenizer?.padId ?? null });
      const bound = await bind<Module>(engine.host, createClassifier(config), { seed: values.seed ?? 42, signal, empty: true });
      try {
        await drawHead(bound, opened, signal);
        await loadWeights(bound, new Map(), opened, signal, new Set([HEAD]));
      } catch (error) {
        await bound.close();
        throw error;
      }
      return new SequenceClassifier(bound, tokenizer, opened.report, nameOf(source, folder));
    } finally {
      await opened.close();
    }
  }

  /** The architecture, and the head. */
  get config(): ClassifierConfig {
    return (this.bound.module as Classifier).config;
  }

  /** Names of the classes, by their number. */
  get labels(): readonly string[] {
    return this.config.classifier.labels;
  }

  get blockSize(): number {
    return this.config.blockSize;
  }

  get vocabSize(): number {
    return this.config.vocabSize;
  }

  get tokenTable(): string {
    return tokenTableName(this.config.modelType);
  }

  get tokenizerHash(): string | null {
    return this.tokenizer?.hash ?? null;
  }

  /** The configuration as run.json keeps it. */
  get description(): Readonly<Record<string, unknown>> {
    const { classifier, ...trunk } = this.config;
    const { modelType, ...shape } = describeConfig(trunk);
    return { model_type: modelType, ...shape, task: 'classify', labels: classifier.labels, pooling: classifier.pooling };
  }

  /**
   * The class of a text, or of each of a list of texts, in their order; token ids stand for a text. Texts of like length are computed together; what a text gets does not
   * depend on the others.
   * @throws INVALID_OPTION without a tokenizer, for a text without tokens or one longer than blockSize (without `truncate`); UNKNOWN_CHARACTER, TOKEN_OUT_OF_RANGE; MODEL_CLOSED, ABORTED
   */
  classify(text: Prompt, options?: ClassifyOptions): Promise<Classification>;
  classify(texts: readonly Prompt[], options?: ClassifyOptions): Promise<Classification[]>;
  async classify(texts: Prompt | readonly Prompt[], options: ClassifyOptions = {}): Promise<Classification | Classification[]> {
    this.bound.assertOpen('classify');
    const values = readOptions('classify', options, CLASSIFY_OPTIONS);
    const several = isPrompts(texts) || (Array.isArray(texts) && texts.length === 0);
    const list = (several ? texts : [texts]) as readonly Prompt[];
    if (list.some((text) => typeof text !== 'string' && !Number.isInteger(text?.length)))
      throw new FerroError('INVALID_OPTION', `classify: the texts must be texts or token ids, or a list of these, got ${show(texts)}`);
    const results = await classifyTexts(this, list, values);
    return several ? results : results[0];
  }

  /** The model's folder as Blobs by file name; the same files as `save` writes. */
  async toFiles(options: ClassifierSaveOptions = {}): Promise<Map<string, Blob>> {
    const { signal, ...format } = readOptions('toFiles', options, CLASSIFIER_SAVE_OPTIONS);
    return toBlobs(await this.files(signal, format as SaveFormat));
  }

  /**
   * Writes the model's folder, whole or not at all: transformers reads it with `AutoModelForSequenceClassification.from_pretrained(folder)`, unless it pools by the mean.
   * Node only.
   * @throws ADAPTER_ACTIVE, FILE_ERROR, INVALID_OPTION, ABORTED
   */
  async save(folder: string, options: ClassifierSaveOptions = {}): Promise<void> {
    const { signal, ...format } = readOptions('save', options, CLASSIFIER_SAVE_OPTIONS);
    await writeFolder(folder, await this.files(signal, format as SaveFormat), { signal });
  }

  /** The model's folder as `save` writes it, by file name. The weights are read when a file is: they are those of that time. */
  async files(signal?: AbortSignal, format?: SaveFormat): Promise<Map<string, FileData>> {
    this.bound.assertOpen('save');
    this.assertNoAdapter('save');
    const parameters = savedWeights(this.bound, new Map(), signal);
    return classifierToFiles({ config: this.config, parameters, tokenizer: this.tokenizer }, format);
  }

  /** Replaces the weights by those of a classifier's folder. @throws INVALID_CHECKPOINT, VOCABULARY_MISMATCH, INVALID_OPTION for other labels */
  async load(folder: ReadableFolder, signal?: AbortSignal): Promise<void> {
    const opened = await openClassifier(folder, { signal });
    try {
      checkSameTokenizer('load', this.tokenizer, opened.tokenizer);
      if (opened.config.classifier !== null) sameLabels('load', opened.config.classifier.labels, this.labels);
      await loadWeights(this.bound, new Map(), opened, signal);
    } finally {
      await opened.close();
    }
  }
}

/** What the folder says and what the options say otherwise. */
function configOf(
  op: string,
  { config: found }: OpenedModel<FoundClassifier>,
  given: { labels?: readonly string[]; pooling?: Pooling; dropout?: number; padTokenId: number | null },
): ClassifierConfig {
  const { classifier: head, ...rest } = given.dropout === undefined ? found : withDropout(found, given.dropout);
  const labels = given.labels === undefined ? head?.labels : checkLabels(op, given.labels);
  if (labels === undefined)
    throw new FerroError('INVALID_OPTION', `${op}: "labels" must be given for a folder of a language model, got none`);
  if (head !== null && labels.length !== head.labels.length)
    throw new FerroError('INVALID_OPTION', `${op}: "labels" must be ${head.labels.length} names, as the folder has, got ${labels.length}`);
  if (head !== null && !head.labels.every((label, i) => label === `LABEL_${i}`)) sameLabels(op, labels, head.labels);
  const classifier = {
    labels,
    pooling: given.pooling ?? head?.pooling ?? 'last',
    padTokenId: head?.padTokenId ?? given.padTokenId,
  };
  return { ...rest, classifier } as ClassifierConfig;
}

function sameLabels(op: string, got: readonly string[], wanted: readonly string[]): void {
  if (got.length === wanted.length && got.every((label, i) => label === wanted[i])) return;
  throw new FerroError('INVALID_OPTION', `${op}: "labels" must be ${show(wanted)} in this order, got ${show(got)}`);
}

/** Gives the head its initial values where the folder has none. */
async function drawHead(bound: BoundModule, opened: OpenedModel<FoundClassifier>, signal: AbortSignal | undefined): Promise<void> {
  if (opened.shapes.has(HEAD)) return;
  const { variable } = bound.parameters.get(HEAD)!;
  await bound.release([variable]);
  await bound.allocate([variable], signal);
}
