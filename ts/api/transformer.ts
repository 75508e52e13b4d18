// A sequence-to-sequence Transformer as users hold it: made or loaded, trained by the Trainer, written with, saved, closed. Thin, as gpt.ts is: the architecture is ts/models/seq2seq.ts,
// writing is ts/generate's, the files are ts/io's.
import { type BoundModule, bind } from '../bind';
import { FerroError } from '../errors';
import {
  type GeneratedPiece,
  type GeneratedText,
  type GenerateOptions,
  type GenerationModel,
  GenerationSessions,
  generate,
  generationRules,
  isPrompts,
  type Prompt,
  readSampling,
  tokenIds,
} from '../generate';
import {
  type FileData,
  type LoadReport,
  type OpenModelOptions,
  openTransformer,
  type ReadableFolder,
  type SaveFormat,
  toBlobs,
  transformerToFiles,
} from '../io';
import { writeFolder } from '../io/node';
import { resolveSeq2SeqConfig, Seq2Seq, type Seq2SeqConfig, type Seq2SeqConfigOptions, type Source, seq2seqLoss } from '../models';
import type { HostTensor, Loss } from '../nn';
import {
  readOptions,
  TRANSFORMER_GENERATE_OPTIONS,
  TRANSFORMER_OPTIONS,
  TRANSFORMER_PRETRAINED_OPTIONS,
  TRANSFORMER_SAVE_OPTIONS,
} from '../options';
import { Stream } from '../stream';
import type { Tokenizer } from '../tokenizers';
import type { Trainable } from '../train';
import { AdaptableModel } from './adaptable';
import { checkEngine, checkSameTokenizer } from './checks';
import type { Engine } from './engine';
import { nameOf, type PretrainedSource, sourceFolder } from './sources';
import { loadWeights, savedWeights } from './weights';

/** Options of `Transformer.create`. */
export interface TransformerOptions extends Seq2SeqConfigOptions {
  /** Reads sources, and targets too where there is no targetTokenizer; gives inputDim, outputDim and the special ids. */
  tokenizer?: Tokenizer;
  /** Reads targets. */
  targetTokenizer?: Tokenizer;
  /** Seed of the initial weights. Default 42. */
  seed?: number;
  signal?: AbortSignal;
}

/** Options of `Transformer.fromPretrained`. */
export interface TransformerPretrainedOptions extends OpenModelOptions {
  /** Instead of the folder's own. */
  tokenizer?: Tokenizer;
  targetTokenizer?: Tokenizer;
  /** Instead of the folder's. */
  dropout?: number;
  seed?: number;
}

/** Options of `transformer.save` and `transformer.toFiles`. */
export interface TransformerSaveOptions extends Omit<SaveFormat, 'quantize'> {
  signal?: AbortSignal;
}

/** Options of `transformer.generate`. */
export interface TransformerGenerateOptions extends GenerateOptions {
  /** What the target begins with: text or token ids. It is not part of the result. */
  decoderPrompt?: Prompt;
}

/** What a Transformer reads: a text, token ids, or (inputKind 'features') numbers f32 [S, inputDim]. */
export type SourceInput = Prompt | HostTensor;

/** A sequence-to-sequence model in an engine. */
export class Transformer extends AdaptableModel implements Trainable, AsyncDisposable {
  readonly bound: BoundModule<Seq2Seq>;
  /** What reads its sources; null for a model made without. */
  readonly tokenizer: Tokenizer | null;
  /** What reads and writes its targets: its own, or `tokenizer`. */
  readonly targetTokenizer: Tokenizer | null;
  readonly pretrained: boolean;
  readonly loss: Loss = seq2seqLoss() as Loss;
  /** What loading its folder found beside its own tensors; null for a model that was not loaded. */
  readonly loadReport: LoadReport | null;
  readonly #sessions: GenerationSessions;

  private constructor(bound: BoundModule<Seq2Seq>, tokenizers: Tokenizers, loadReport: LoadReport | null, baseModel: string | null = null) {
    super();
    this.bound = bound;
    this.tokenizer = tokenizers.source;
    this.targetTokenizer = tokenizers.target;
    this.pretrained = loadReport !== null;
    this.loadReport = loadReport;
    this.adapterSet.origin = { taskType: 'SEQ_2_SEQ_LM', baseModel };
    const { eosId, vocabSize } = bound.module.config;
    this.#sessions = new GenerationSessions(bound, Math.max(tokenizers.target?.vocabSize ?? vocabSize, eosId + 1));
  }

  /**
   * A new model with torch.nn.Transformer's initial values in the layers: the same seed gives the same weights on every machine. A target vocabulary without an end-of-text token gets
   * one more word, which begins, ends and fills targets.
   * @throws INVALID_OPTION, UNKNOWN_OPTION, VOCABULARY_MISMATCH; OUT_OF_MEMORY naming the bytes needed, before anything is allocated; ENGINE_CLOSED
   */
  static async create(engine: Engine, options: TransformerOptions): Promise<Transformer> {
    const op = 'Transformer.create';
    checkEngine(op, engine);
    const { tokenizer, targetTokenizer, seed, signal, ...rest } = readOptions(op, options, TRANSFORMER_OPTIONS, { defaults: false });
    const given = rest as Seq2SeqConfigOptions;
    const tokenizers = chooseTokenizers(tokenizer, targetTokenizer, given.inputKind);
    const config = resolveSeq2SeqConfig(withVocabularies(tokenizers, given), op);
    checkVocabularies(op, tokenizers, config);
    const bound = await bind(engine.host, new Seq2Seq(config), { seed, signal });
    return new Transformer(bound, tokenizers, null);
  }

  /**
   * A model from a folder that `save` wrote.
   * @param source a folder's path (Node; a run or checkpoint folder too), a URL, a list of Files, or a directory handle
   * @throws FILE_NOT_FOUND, INVALID_CHECKPOINT, NO_CHECKPOINT, NOT_BUILT, INVALID_TOKENIZER, VOCABULARY_MISMATCH, OUT_OF_MEMORY, ABORTED
   */
  static async fromPretrained(engine: Engine, source: PretrainedSource, options: TransformerPretrainedOptions = {}): Promise<Transformer> {
    const op = 'Transformer.fromPretrained';
    checkEngine(op, engine);
    const values = readOptions(op, options, TRANSFORMER_PRETRAINED_OPTIONS, { defaults: false });
    const { signal, onProgress } = options;
    const folder = await sourceFolder(op, source, signal);
    const opened = await openTransformer(folder, { signal, onProgress });
    try {
      const config = values.dropout === undefined ? opened.config : { ...opened.config, dropout: values.dropout };
      const own = values.tokenizer ?? opened.tokenizer ?? undefined;
      const tokenizers = chooseTokenizers(own, values.targetTokenizer ?? opened.targetTokenizer ?? undefined, config.inputKind);
      checkVocabularies(op, tokenizers, config);
      const bound = await bind(engine.host, new Seq2Seq(config), { seed: values.seed ?? 42, signal, empty: true });
      const model = new Transformer(bound, tokenizers, opened.report, nameOf(source, folder));
      try {
        await loadWeights(bound, new Map(), opened, signal);
      } catch (error) {
        await model.close();
        throw error;
      }
      return model;
    } finally {
      await opened.close();
    }
  }

  /** The architecture. */
  get config(): Seq2SeqConfig {
    return this.bound.module.config;
  }

  /** Undefined: pairs have no windows. */
  get blockSize(): undefined {
    return undefined;
  }

  /** Words of targets. */
  get vocabSize(): number {
    return this.config.outputDim;
  }

  /** Hash of the vocabularies. */
  get tokenizerHash(): string | null {
    const hashes = [this.tokenizer, this.targetTokenizer].map((tokenizer) => tokenizer?.hash ?? null);
    return hashes[0] === hashes[1] ? hashes[0] : hashes.map(String).join(' ');
  }

  /** The configuration as run.json keeps it. */
  get description(): Readonly<Record<string, unknown>> {
    const { modelType, vocabSize: _v, blockSize: _b, ...shape } = this.config;
    return { model_type: modelType, ...shape };
  }

  /** The loss with smoothed labels: what the Trainer's `labelSmoothing` trains with. Evaluation stays plain cross-entropy. */
  smoothedLoss(labelSmoothing: number): Loss {
    return seq2seqLoss({ labelSmoothing }) as Loss;
  }

  /**
   * Reads a source, or each of a list of sources, and writes the target that follows from it. Iterate it for the pieces as they are written, or await it for `{ text, ids, seed,
   * finishReason, logProbs, sequences }`, as `GPT.generate` gives them. The encoder runs once for each source; each text is what it would be alone. A target ends at the model's eosId,
   * a stop string, or after maxNewTokens (by default 200, less where maxTargetLength is reached before).
   * @param source text, or token ids, or numbers f32 [S, inputDim] where the model reads features, or a list of these
   * @throws INVALID_OPTION (no source, a source longer than maxSourceLength, more tokens than maxTargetLength holds), TOKEN_OUT_OF_RANGE, UNKNOWN_CHARACTER, UNKNOWN_OPTION at once;
   *   NON_FINITE_LOGITS, ABORTED, MODEL_CLOSED, BUSY (another adapter was set) while it runs
   */
  generate(source: SourceInput | readonly SourceInput[], options: TransformerGenerateOptions = {}): Stream<GeneratedPiece, GeneratedText> {
    this.bound.assertOpen('generate');
    const given = readOptions('generate', options, TRANSFORMER_GENERATE_OPTIONS, { defaults: false });
    const { decoderPrompt, ...rest } = given;
    const { config, targetTokenizer: tokenizer } = this;
    const prompt = this.#decoderPrompt(decoderPrompt);
    const room = config.maxTargetLength - prompt.length + 1;
    const sampling = readSampling({ ...rest, maxNewTokens: rest.maxNewTokens ?? Math.min(200, room) } as GenerateOptions, config.outputDim);
    if (sampling.maxNewTokens > room)
      throw new FerroError(
        'INVALID_OPTION',
        `generate: "maxNewTokens" must fit in maxTargetLength ${config.maxTargetLength} (start and decoderPrompt have ${prompt.length}), got ${sampling.maxNewTokens}`,
      );
    const sources = sourceList(source).map((one) => this.#source(one));
    const model: GenerationModel = {
      sessions: this.#sessions,
      tokenizer,
      blockSize: config.maxTargetLength,
      vocabSize: config.outputDim,
      eosIds: [config.eosId],
      sources,
    };
    const rules = generationRules(model, sampling);
    const prompts = sources.map(() => prompt);
    return new Stream('generate', (ahead) => generate(model, prompts, sampling, rules, ahead));
  }

  /** The start, and what the target begins with. */
  #decoderPrompt(given: Prompt | undefined): Int32Array {
    const { config, targetTokenizer: tokenizer } = this;
    const more = given === undefined ? [] : tokenIds({ tokenizer, vocabSize: config.outputDim }, given, false);
    if (more.length >= config.maxTargetLength)
      throw new FerroError(
        'INVALID_OPTION',
        `generate: "decoderPrompt" must have fewer tokens than maxTargetLength ${config.maxTargetLength}, got ${more.length}`,
      );
    return Int32Array.of(config.bosId, ...more);
  }

  /** A source as the encoder reads it: a text's tokens, and around it what its tokenizer adds as transformers does. */
  #source(given: SourceInput): Source {
    const { config, tokenizer } = this;
    const source = config.inputKind === 'features' ? features(given, config.inputDim) : tokens(given, tokenizer, config.inputDim);
    if (source.positions >= 1 && source.positions <= config.maxSourceLength) return source;
    throw new FerroError(
      'INVALID_OPTION',
      `generate: a source must have from 1 to maxSourceLength ${config.maxSourceLength} positions, got ${source.positions}`,
    );
  }

  /** The model's folder as Blobs by file name; the same files as `save` writes. */
  async toFiles(options: TransformerSaveOptions = {}): Promise<Map<string, Blob>> {
    const { signal, ...format } = readOptions('toFiles', options, TRANSFORMER_SAVE_OPTIONS);
    return toBlobs(await this.files(signal, format as SaveFormat));
  }

  /**
   * Writes the model's folder, whole or not at all, also over the folder it was loaded from: config.json, model.safetensors (or shards) under torch.nn.Transformer's names, the
   * tokenizers. Node only.
   * @param options dtype 'float32' or 'bfloat16'; maxShardSize in bytes or as '200MB'
   * @throws ADAPTER_ACTIVE, FILE_ERROR, INVALID_OPTION, ABORTED, UNSUPPORTED_RUNTIME in a browser (use `toFiles`)
   */
  async save(folder: string, options: TransformerSaveOptions = {}): Promise<void> {
    const { signal, ...format } = readOptions('save', options, TRANSFORMER_SAVE_OPTIONS);
    await writeFolder(folder, await this.files(signal, format as SaveFormat), { signal });
  }

  /** The model's folder as `save` writes it, by file name. The weights are read when a file is: they are those of that time. */
  async files(signal?: AbortSignal, format?: SaveFormat): Promise<Map<string, FileData>> {
    this.bound.assertOpen('save');
    this.assertNoAdapter('save');
    const parameters = savedWeights(this.bound, new Map(), signal);
    const { config, tokenizer, targetTokenizer } = this;
    const single = tokenizer === targetTokenizer || tokenizer === null;
    return transformerToFiles(
      { config, parameters, tokenizer: single ? targetTokenizer : tokenizer, targetTokenizer: single ? null : targetTokenizer },
      format,
    );
  }

  /** Replaces the weights by those of a folder. @throws INVALID_CHECKPOINT, VOCABULARY_MISMATCH */
  async load(folder: ReadableFolder, signal?: AbortSignal): Promise<void> {
    const opened = await openTransformer(folder, { signal });
    try {
      const stored = chooseTokenizers(opened.tokenizer ?? undefined, opened.targetTokenizer ?? undefined, opened.config.inputKind);
      checkSameTokenizer('load', this.tokenizer, stored.source);
      checkSameTokenizer('load', this.targetTokenizer, stored.target);
      await loadWeights(this.bound, new Map(), opened, signal);
    } finally {
      await opened.close();
    }
  }
}

/** What reads each side. */
interface Tokenizers {
  readonly source: Tokenizer | null;
  readonly target: Tokenizer | null;
}

/** One tokenizer reads both sides; features have none. */
function chooseTokenizers(tokenizer: Tokenizer | undefined, target: Tokenizer | undefined, inputKind: string | undefined): Tokenizers {
  return { source: inputKind === 'features' ? null : (tokenizer ?? null), target: target ?? tokenizer ?? null };
}

/** The configuration with what the tokenizers say where nothing else was given. */
function withVocabularies({ source, target }: Tokenizers, given: Seq2SeqConfigOptions): Seq2SeqConfigOptions {
  const one = source !== null && source === target;
  const eosId = given.eosId ?? target?.eosId ?? target?.vocabSize;
  const bosId = given.bosId ?? target?.bosId ?? undefined;
  const padId = given.padId ?? target?.padId ?? undefined;
  const outputDim =
    given.outputDim ?? (target === null ? undefined : Math.max(target.vocabSize, 1 + Math.max(eosId!, bosId ?? 0, padId ?? 0)));
  const shareEmbeddings = given.shareEmbeddings ?? (one && (given.inputDim ?? outputDim) === outputDim);
  return {
    ...given,
    outputDim,
    inputDim: given.inputDim ?? (shareEmbeddings ? outputDim : source?.vocabSize),
    shareEmbeddings,
    eosId,
    bosId,
    padId,
  };
}

/** @throws VOCABULARY_MISMATCH for a tokenizer with more words than the model */
function checkVocabularies(op: string, { source, target }: Tokenizers, { inputDim, outputDim }: Seq2SeqConfig): void {
  for (const [name, dim, tokenizer] of [
    ['outputDim', outputDim, target],
    ['inputDim', inputDim, source],
  ] as const) {
    if (tokenizer !== null && dim < tokenizer.vocabSize)
      throw new FerroError('VOCABULARY_MISMATCH', `${op}: "${name}" must be at least the tokenizer's ${tokenizer.vocabSize}, got ${dim}`);
  }
}

const isTensor = (value: unknown): value is HostTensor =>
  typeof value === 'object' && value !== null && 'data' in value && 'shape' in value;

/** One source or several. @throws INVALID_OPTION for none */
function sourceList(source: SourceInput | readonly SourceInput[]): readonly SourceInput[] {
  if (source === undefined || source === null)
    throw new FerroError('INVALID_OPTION', "generate: a decoder writes after its encoder's input: a source must be given, got none");
  if (isTensor(source)) return [source];
  const list = source as Prompt | readonly Prompt[];
  return isPrompts(list) ? (list as readonly SourceInput[]) : [list];
}

function tokens(given: SourceInput, tokenizer: Tokenizer | null, vocabSize: number): Source {
  if (isTensor(given)) throw new FerroError('INVALID_OPTION', 'generate: a source must be a text or token ids, got a tensor');
  const data = tokenIds({ tokenizer, vocabSize }, given, true);
  return { data, positions: data.length };
}

function features(given: SourceInput, inputDim: number): Source {
  const good = isTensor(given) && given.data instanceof Float32Array && given.shape.length === 2 && given.shape[1] === inputDim;
  if (!good || given.data.length !== given.shape[0] * inputDim)
    throw new FerroError('INVALID_OPTION', `generate: a source must be { data: Float32Array, shape: [S, ${inputDim}] }, got another one`);
  return { data: given.data, positions: given.shape[0] };
}
