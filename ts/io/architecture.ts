// What a model folder needs to know of an architecture: how config.json says it, and how its tensors are called. One object for each architecture
// (gptFolder.ts and its neighbours); opening and writing folders (modelFolder.ts) is the same for all.
import type { SpecialIds } from '../tokenizers';
import type { ConfigFields } from './configFields';

/** The tensors of one model as its folder holds them. */
export interface TensorLayout {
  /** Every tensor by its name in a folder that transformers saves, with its shape there: the parameter of that name has the same. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Of these the ones that are no parameters: the file holds zeros (biases of a model without biases). */
  readonly zeros: ReadonlySet<string>;
}

/** What folders ask of a configuration, whatever the architecture. */
export interface FolderConfig {
  readonly modelType: string;
  /** Ids that are written run from 0 to vocabSize − 1. */
  readonly vocabSize: number;
  /** Longest text, in tokens. */
  readonly blockSize: number;
  /** The head is the token table. */
  readonly tieWordEmbeddings: boolean;
}

/** An architecture in Hugging Face's layout. */
export interface Architecture<C extends FolderConfig> {
  /** config.json's `model_type`. What is saved is written by the one whose name is the configuration's `modelType`. */
  readonly modelType: string;
  /** The token table, and the head's own weights where it is not tied. */
  readonly tokenTable: string;
  readonly head: string;
  /**
   * The configuration that config.json describes; unknown fields are ignored.
   * @throws INVALID_CHECKPOINT for a missing field or a wrong type; NOT_BUILT for a variant that computes something else
   */
  readConfig(fields: ConfigFields): C;
  /** The object that config.json holds (without the dtype of the weights). */
  configToJson(config: C, ids: SpecialIds): Record<string, unknown>;
  /** Whether transformers' architecture of this name computes something else: the folder's `model_type` is then 'ferroformer'. Default: never. */
  isOwn?(config: C): boolean;
  layout(config: C): TensorLayout;
  /** How many tokens the folder's tokenizer may have; absent: vocabSize. */
  tokenizerVocabSize?(config: C): number;
  /** How the names of all tensors but the head's begin; files of the bare model are without it. */
  readonly prefix: string;
  /** Tensors of old files that are no parameters (masks, tables). */
  readonly notParameters: RegExp;
}
