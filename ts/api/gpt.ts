// A language model as users hold it: made or loaded, generated from, saved, closed. Thin: architectures are ts/models', memory is ts/bind's, writing
// text is ts/generate's, the files are ts/io's.
import { type BoundModule, bind } from '../bind';
import { FerroError, show } from '../errors';
import {
  Conversation,
  type GeneratedPiece,
  type GeneratedText,
  type GenerateOptions,
  type GenerationModel,
  GenerationSessions,
  generate,
  generationRules,
  isPrompts,
  type Prompt,
  promptIds,
  readSampling,
} from '../generate';
import {
  type FileData,
  type GgufOptions,
  type LazyFile,
  type LoadReport,
  modelToGguf,
  type OpenModelOptions,
  openPretrained,
  pretrainedToFiles,
  type ReadableFolder,
  type SaveFormat,
  toBlob,
  toBlobs,
} from '../io';
import { writeFolder, writeGgufFile } from '../io/node';
import {
  type CausalLM,
  type ContextOptions,
  causalLoss,
  createModel,
  describeConfig,
  type ModelConfig,
  type ModelConfigOptions,
  resolveModelConfig,
  tokenTableName,
  withContext,
  withDropout,
} from '../models';
import { type Loss, type Quantization, quantizeModule } from '../nn';
import { ADD_TOKENS_OPTIONS, GGUF_OPTIONS, GPT_OPTIONS, PRETRAINED_OPTIONS, readOptions, SAVE_OPTIONS } from '../options';
import { Stream } from '../stream';
import { addSpecialTokens, type Tokenizer, type TokenRoles } from '../tokenizers';
import type { Trainable } from '../train';
import { AdaptableModel } from './adaptable';
import { checkEngine, checkSameTokenizer, chooseVocabSize } from './checks';
import type { Engine } from './engine';
import { nameOf, type PretrainedSource, sourceFolder } from './sources';
import { growVocabulary } from './vocabulary';
import { type Blocks, copyWeights, loadWeights, plainParameter, savedWeights } from './weights';

/** Options of `GPT.create`. */
export type GPTOptions = ModelConfigOptions & {
  /** The model remembers it; gives vocabSize. */
  tokenizer?: Tokenizer;
  /** Seed of the initial weights. Default 42. */
  seed?: number;
  signal?: AbortSignal;
};

/** Options of `GPT.fromPretrained`. */
export interface PretrainedOptions extends OpenModelOptions, ContextOptions {
  /**
   * Weights of linear layers and tables are rounded while they are read: 'int8' to int8 blocks, a quarter of the memory, 'bf16' to bf16, half of it. Such
   * weights are frozen: the model cannot be trained, only adapters on it can.
   * Default: as the folder is.
   */
  quantize?: Quantization;
  /** Instead of the folder's own. */
  tokenizer?: Tokenizer;
  /** Instead of the folder's. */
  dropout?: number;
  seed?: number;
}

/** Options of `model.addTokens`. */
export interface AddTokensOptions extends TokenRoles {
  signal?: AbortSignal;
}

/** What `model.addTokens` did. */
export interface AddedTokens {
  /** Ids of the tokens, in their order. */
  ids: number[];
  /** How many of them are new. */
  added: number;
}

/** Options of `model.save` and `model.toFiles`. */
export interface SaveOptions extends SaveFormat {
  signal?: AbortSignal;
}

/** Options of `model.toGguf` and `model.saveGguf`. */
export interface GgufExportOptions extends GgufOptions {
  signal?: AbortSignal;
}

/** A causal language model in an engine, of any architecture (`config.modelType`). */
export class GPT extends AdaptableModel implements Trainable, AsyncDisposable {
  readonly bound: BoundModule<CausalLM>;
  readonly pretrained: boolean;
  readonly loss: Loss = causalLoss as Loss;
  /** What loading its folder found beside its own tensors; null for a model that was not loaded. */
  readonly loadReport: LoadReport | null;
  #tokenizer: Tokenizer | null;
  #sessions: GenerationSessions;
  /** Ids that end a text by the folder, beside the tokenizer's. */
  readonly #endIds: readonly number[];
  readonly #blocks: Blocks;

  private constructor(
    bound: BoundModule<CausalLM>,
    tokenizer: Tokenizer | null,
    loadReport: LoadReport | null,
    blocks: Blocks = new Map(),
    endIds: readonly number[] = [],
    baseModel: string | null = null,
  ) {
    super();
    this.#endIds = endIds;
    this.#blocks = blocks;
    this.bound = bound;
    this.#tokenizer = tokenizer;
    this.pretrained = loadReport !== null;
    this.loadReport = loadReport;
    this.adapterSet.origin = { taskType: 'CAUSAL_LM', baseModel };
    this.#sessions = this.#newSessions();
  }

  #newSessions(): GenerationSessions {
    return new GenerationSessions(this.bound, this.#tokenizer?.vocabSize ?? this.vocabSize);
  }

  /** What encodes its texts; null for a model made from a vocabSize alone. */
  get tokenizer(): Tokenizer | null {
    return this.#tokenizer;
  }

  /**
   * A new model, GPT-2's architecture or `modelType: 'llama'`, with the architecture's initialisation: the same seed gives the same weights on every machine.
   * @throws INVALID_OPTION, UNKNOWN_OPTION, VOCABULARY_MISMATCH; OUT_OF_MEMORY naming the bytes needed, before anything is allocated; ENGINE_CLOSED
   */
  static async create(engine: Engine, options: GPTOptions): Promise<GPT> {
    checkEngine('GPT.create', engine);
    const { tokenizer, seed, signal, ...config } = readOptions('GPT.create', options, GPT_OPTIONS, { defaults: false });
    const vocabSize = chooseVocabSize('GPT.create', tokenizer ?? null, config.vocabSize);
    const module = createModel(resolveModelConfig({ ...config, vocabSize } as ModelConfigOptions, 'GPT.create'));
    const bound = await bind(engine.host, module, { seed, signal });
    return new GPT(bound, tokenizer ?? null, null);
  }

  /**
   * A model from a folder as Hugging Face has it, of GPT-2's or Llama's architecture, or with this library's int8 blocks.
   * @param source a folder's path (Node; a run or checkpoint folder too), a URL, a list of Files, or a directory handle
   * @throws FILE_NOT_FOUND, INVALID_CHECKPOINT, NO_CHECKPOINT, NOT_BUILT, INVALID_TOKENIZER, VOCABULARY_MISMATCH, OUT_OF_MEMORY, ABORTED
   */
  static async fromPretrained(engine: Engine, source: PretrainedSource, options: PretrainedOptions = {}): Promise<GPT> {
    checkEngine('GPT.fromPretrained', engine);
    const values = readOptions('GPT.fromPretrained', options, PRETRAINED_OPTIONS, { defaults: false });
    const { signal, onProgress } = options;
    const folder = await sourceFolder('GPT.fromPretrained', source, signal);
    const opened = await openPretrained(folder, { signal, onProgress });
    try {
      const tokenizer = values.tokenizer ?? opened.tokenizer;
      const told = withContext('GPT.fromPretrained', opened.config, values);
      const config = values.dropout === undefined ? told : withDropout(told, values.dropout);
      if (tokenizer !== null) chooseVocabSize('GPT.fromPretrained', tokenizer, config.vocabSize);
      const { module, blocks } = makeModule(config, values.quantize ?? opened.quantization);
      const bound = await bind(engine.host, module, { seed: values.seed ?? 42, signal, empty: true });
      const model = new GPT(bound, tokenizer, opened.report, blocks, opened.endIds, nameOf(source, folder));
      try {
        await loadWeights(bound, blocks, opened, signal);
      } catch (error) {
        await model.close();
        throw error;
      }
      return model;
    } finally {
      await opened.close();
    }
  }

  /** Whether the weights of linear layers and tables are int8 blocks or bf16. These cannot be trained, only adapters on them. */
  get quantized(): Quantization | null {
    if (this.#blocks.size > 0) return 'int8';
    return [...this.bound.parameters.values()].some(({ variable }) => variable.dtype === 'bf16') ? 'bf16' : null;
  }

  /**
   * A copy in the same engine with the weights of linear layers and tables as int8 blocks or bf16; this model stays as it is.
   * @throws NON_FINITE_WEIGHTS (int8), QUANTIZED_MODEL for a model that is one already, OUT_OF_MEMORY, MODEL_CLOSED, ABORTED
   */
  async quantize(quantization: Quantization = 'int8', options: { signal?: AbortSignal } = {}): Promise<GPT> {
    this.bound.assertOpen('quantize');
    this.assertNoAdapter('quantize');
    if (quantization !== 'int8' && quantization !== 'bf16')
      throw new FerroError('INVALID_OPTION', `quantize: the form must be "int8" or "bf16", got ${show(quantization)}`);
    if (this.quantized !== null)
      throw new FerroError(
        'QUANTIZED_MODEL',
        `quantize: the weights must be f32, got ${this.quantized === 'int8' ? 'int8 blocks' : 'bf16'}`,
      );
    const { module, blocks } = makeModule(this.config, quantization);
    const bound = await bind(this.bound.host, module, { seed: this.bound.seed, signal: options.signal, empty: true });
    try {
      await copyWeights(this.bound, bound, blocks, options.signal);
    } catch (error) {
      await bound.close();
      throw error;
    }
    return new GPT(bound, this.tokenizer, this.loadReport, blocks, this.#endIds, this.adapterSet.origin.baseModel);
  }

  /**
   * Adds special tokens to the tokenizer and their rows to the token table (and to a head of its own): the mean of the rows of the old tokens plus normal numbers of standard
   * deviation 0.02, so that a new token begins as likely as an average one (Hewitt 2021). Ids and all other numbers stay. `model.tokenizer` is another one afterwards: data sets
   * and Trainers are made after this.
   * @param tokens texts such as '<|task:summary|>'; one that is a special token already keeps its id
   * @param options.eosToken, options.bosToken, options.padToken which of the special tokens end or begin a text or fill batches from now on
   * @throws INVALID_OPTION for texts that are no tokens, without a tokenizer, or with adapters; QUANTIZED_MODEL; OUT_OF_MEMORY, ABORTED, MODEL_CLOSED: nothing was changed then
   */
  async addTokens(tokens: readonly string[], options: AddTokensOptions = {}): Promise<AddedTokens> {
    const op = 'addTokens';
    this.bound.assertOpen(op);
    const { signal, ...roles } = readOptions(op, options, ADD_TOKENS_OPTIONS, { defaults: false });
    if (this.#tokenizer === null) throw new FerroError('INVALID_OPTION', `${op}: the model must have a tokenizer, got one without`);
    if (this.adapters.size > 0)
      throw new FerroError('INVALID_OPTION', `${op}: tokens must be added before adapters, got ${this.adapters.size}`);
    if (this.quantized !== null) throw new FerroError('QUANTIZED_MODEL', `${op}: the weights must be f32, got ${this.quantized}`);
    const grown = await addSpecialTokens(this.#tokenizer, tokens, roles);
    const before = this.#tokenizer.vocabSize;
    await growVocabulary(this.bound, before, grown.tokenizer.vocabSize, signal);
    this.#tokenizer = grown.tokenizer;
    const old = this.#sessions;
    this.#sessions = this.#newSessions();
    await old.close();
    return { ids: grown.ids, added: grown.tokenizer.vocabSize - before };
  }

  /** The architecture. */
  get config(): ModelConfig {
    return this.bound.module.config as ModelConfig;
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
    const { modelType, ...shape } = describeConfig(this.config);
    return { model_type: modelType, ...shape };
  }

  /**
   * Continues a prompt, or each of a list of prompts. Iterate it for the pieces as they are written, or await it for `{ text, ids, seed, finishReason, logProbs, sequences }`: the first
   * text, and all of them (`sequences`: prompt by prompt, numReturnSequences of each). Each text is what it would be alone, sequence i under seed + i. When a context is full,
   * the last half is kept and read again; an empty prompt starts from the beginning-of-text token or a line break. Iterated, a few tokens are written ahead of the reader, with the
   * weights of that time; leaving the loop ends that within a token.
   * @param prompt text, or token ids, or a list of these
   * @throws UNKNOWN_CHARACTER, TOKEN_OUT_OF_RANGE, INVALID_OPTION, UNKNOWN_OPTION at once; NON_FINITE_LOGITS, ABORTED, MODEL_CLOSED, BUSY (another adapter was set) while it runs
   */
  generate(prompt: Prompt | readonly Prompt[] = '', options?: GenerateOptions): Stream<GeneratedPiece, GeneratedText> {
    this.bound.assertOpen('generate');
    const sampling = readSampling(options, this.vocabSize);
    const model = this.#generationModel;
    const ids = (isPrompts(prompt) ? prompt : [prompt]).map((one) => promptIds(model, one));
    const rules = generationRules(model, sampling);
    return new Stream('generate', (ahead) => generate(model, ids, sampling, rules, ahead));
  }

  /**
   * A text that grows turn by turn, with a cache of its own: each `generate` reads only what is new. Close it when it is no longer needed; closing the model closes it too.
   * @throws MODEL_CLOSED
   */
  startConversation(): Conversation {
    this.bound.assertOpen('startConversation');
    return new Conversation(this.#generationModel);
  }

  get #generationModel(): GenerationModel {
    return {
      sessions: this.#sessions,
      tokenizer: this.tokenizer,
      blockSize: this.blockSize,
      vocabSize: this.vocabSize,
      eosIds: [...new Set([...this.#endIds, ...(typeof this.tokenizer?.eosId === 'number' ? [this.tokenizer.eosId] : [])])],
    };
  }

  /** The model's folder as Blobs by file name; the same files as `save` writes. */
  async toFiles(options: SaveOptions = {}): Promise<Map<string, Blob>> {
    const { signal, ...format } = readOptions('toFiles', options, SAVE_OPTIONS);
    return toBlobs(await this.files(signal, format as SaveFormat));
  }

  /**
   * Writes the model's folder, whole or not at all, also over the folder it was loaded from: transformers reads it with
   * `AutoModelForCausalLM.from_pretrained(folder)`. The weights are read from the engine piece by piece while they are written. Node only.
   * @param options dtype 'float32' or 'bfloat16'; maxShardSize in bytes or as '200MB'
   * @throws ADAPTER_ACTIVE while an adapter is (`saveAdapter` writes it); FILE_ERROR, INVALID_OPTION, ABORTED, UNSUPPORTED_RUNTIME in a browser (use `toFiles`)
   */
  async save(folder: string, options: SaveOptions = {}): Promise<void> {
    const { signal, ...format } = readOptions('save', options, SAVE_OPTIONS);
    await writeFolder(folder, await this.files(signal, format as SaveFormat), { signal });
  }

  /** The model as a GGUF file for llama.cpp, in memory. @throws as `saveGguf`, but for files */
  async toGguf(options: GgufExportOptions = {}): Promise<Blob> {
    return toBlob(this.#gguf('toGguf', options));
  }

  /**
   * Writes the model as a GGUF file for llama.cpp, tensor by tensor, whole or not at all. Node only.
   * @throws NOT_SUPPORTED for a tokenizer that llama.cpp does not have, NON_FINITE_WEIGHTS, INVALID_OPTION (a weight beyond float16), FILE_ERROR, ABORTED
   */
  async saveGguf(path: string, options: GgufExportOptions = {}): Promise<void> {
    await writeGgufFile(path, this.#gguf('saveGguf', options), options);
  }

  #gguf(op: string, options: GgufExportOptions): LazyFile {
    this.bound.assertOpen(op);
    this.assertNoAdapter(op);
    const { dtype, name } = readOptions(op, options, GGUF_OPTIONS, { defaults: false });
    const read = (key: string) => plainParameter(this.bound, this.#blocks, key);
    return modelToGguf({ config: this.config, tokenizer: this.tokenizer, read }, { dtype, name });
  }

  /** The model's folder as `save` writes it, by file name. The weights are read when a file is: they are those of that time. */
  async files(signal?: AbortSignal, format?: SaveFormat): Promise<Map<string, FileData>> {
    this.bound.assertOpen('save');
    this.assertNoAdapter('save');
    const parameters = savedWeights(this.bound, this.#blocks, signal);
    return pretrainedToFiles({ config: this.config, parameters, tokenizer: this.tokenizer }, format);
  }

  /** Replaces the weights by those of a folder. @throws INVALID_CHECKPOINT, VOCABULARY_MISMATCH */
  async load(folder: ReadableFolder, signal?: AbortSignal): Promise<void> {
    const opened = await openPretrained(folder, { signal });
    try {
      checkSameTokenizer('load', this.tokenizer, opened.tokenizer);
      await loadWeights(this.bound, this.#blocks, opened, signal);
    } finally {
      await opened.close();
    }
  }
}

/** The module of a configuration, and which of its weights are int8 blocks. */
function makeModule(config: ModelConfig, quantization: Quantization | null): { module: CausalLM; blocks: Blocks } {
  const module = createModel(config);
  const weights = quantization === null ? new Map() : quantizeModule(module, quantization);
  return { module, blocks: quantization === 'int8' ? weights : new Map() };
}
