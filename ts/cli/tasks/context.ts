// What the tasks of the command line are made from, and how they open models: a new one for the texts of the data, a saved one with or without an adapter. No task is named here.
import { adapterFromFlags } from '../../adapters';
import { FerroError } from '../../errors';
import { type ContextOptions, type Engine, GPT, type PretrainedOptions } from '../../index';
import { ADAPTER_CONFIG_FILE, type ReadableFolder, readFolderText, readTask, type TaskDescription } from '../../io';
import { nodeFolder, resolveModelFolder } from '../../io/node';
import { parseJson } from '../../json';
import { addSpecialTokens, BpeTokenizer, ByteTokenizer, CharVocabulary, type Tokenizer, type TokenRoles } from '../../tokenizers';
import { DEFAULT_BPE, openTokenizer } from '../data';
import { pickGiven } from '../flags';
import type { Output } from '../output';
import { noteUnexpected } from '../session';
import type { TrainValues } from '../train';
import { createModel, LOADED_OPTIONS, refuseArchitecture } from './lm';
import type { EvalValues } from './measured';

/** What a run of `train` is made from. */
export interface TrainContext {
  engine: Engine;
  output: Output;
  values: TrainValues;
  /** Those that were given; the library's own defaults hold for the rest. */
  given: Partial<TrainValues>;
  data: readonly string[];
  /** What the folder of --init-from says about its task. */
  before: TaskDescription | null;
}

/** What an evaluation is made from. */
export interface EvalContext {
  engine: Engine;
  output: Output;
  values: EvalValues;
  given: Partial<EvalValues>;
  /** The model's folder. */
  source: string;
  data: readonly string[];
  /** What it says about its task. */
  description: TaskDescription | null;
}

/** The end of a text in the vocabularies that are made here, as GPT-2 has it. */
const END_OF_TEXT = '<|endoftext|>';

/** What a new tokenizer must have. */
interface TokenizerNeeds {
  vocabSize?: number;
  specialTokens?: readonly string[];
  /** A token that ends a text, where it has none of its own. */
  ends?: boolean;
  /** Texts whose characters a vocabulary of characters must have besides: a template's own words. */
  written?: Iterable<string>;
}

/** The tokenizer that `--tokenizer` names, for the texts of rows: `bpe` (trained on them), `char`, `byte`, or a folder. @throws as `openTokenizer` */
export async function tokenizerOfTexts(name: string, texts: Iterable<string>, needs: TokenizerNeeds = {}): Promise<Tokenizer> {
  const { vocabSize = DEFAULT_BPE, specialTokens = [] } = needs;
  if (name === 'bpe') return BpeTokenizer.train(texts, { vocabSize, specialTokens: [...new Set([END_OF_TEXT, ...specialTokens])] });
  const tokenizer =
    name === 'byte' ? new ByteTokenizer() : name === 'char' ? charactersOf(texts, needs.written) : await openTokenizer(name);
  const { tokens, roles } = lacking(tokenizer, needs);
  return tokens.length === 0 ? tokenizer : (await addSpecialTokens(tokenizer, tokens, roles)).tokenizer;
}

function charactersOf(...parts: (Iterable<string> | undefined)[]): Tokenizer {
  const vocabulary = new CharVocabulary();
  for (const texts of parts) for (const text of texts ?? []) vocabulary.add(text);
  return vocabulary.build();
}

/** What a tokenizer does not have yet. */
function lacking(tokenizer: Tokenizer, { specialTokens = [], ends = false }: TokenizerNeeds): { tokens: string[]; roles: TokenRoles } {
  const end = ends && tokenizer.eosId === null;
  return { tokens: [...new Set([...(end ? [END_OF_TEXT] : []), ...specialTokens])], roles: end ? { eosToken: END_OF_TEXT } : {} };
}

/**
 * The model to train: new, with a tokenizer for the texts, or that of --init-from, whose vocabulary grows by the special tokens that it lacks (not below an adapter, whose base must
 * stay as it is); with the adapter that the flags ask for.
 */
export async function modelToTrain(
  { engine, output, values, given }: TrainContext,
  texts: Iterable<string>,
  needs: Omit<TokenizerNeeds, 'vocabSize'>,
): Promise<SavedGpt> {
  const model = await (values.initFrom === undefined ? newModel() : savedModel(values.initFrom));
  await addAdapter(model, values);
  return model;

  async function newModel(): Promise<SavedGpt> {
    const { vocabSize } = values;
    const tokenizer = await tokenizerOfTexts(values.tokenizerName ?? 'bpe', texts, { ...needs, vocabSize });
    return (await createModel(engine, values, given, { tokenizer })) as SavedGpt;
  }

  async function savedModel(source: string): Promise<SavedGpt> {
    refuseArchitecture(given, LOADED_OPTIONS);
    const model = withTokenizer('train: "--init-from"', await openGpt(engine, source, pickGiven(given, LOADED_OPTIONS)), source);
    noteUnexpected(output, model);
    const { tokens, roles } = lacking(model.tokenizer, needs);
    const keeps = values.loraRank !== undefined || values.adapter !== undefined || model.activeAdapter !== null || model.quantized !== null;
    if (tokens.length === 0 || keeps) return model;
    const { added } = await model.addTokens(tokens, roles);
    if (added > 0)
      output.note(`hint: ${added} special token${added === 1 ? '' : 's'} added to the model's vocabulary: ${tokens.join(' ')}`);
    return model;
  }
}

/** Puts the adapters of --adapter or --lora-rank on a model. @throws ADAPTER_MISMATCH, INVALID_OPTION */
export async function addAdapter(model: Adaptable, values: TrainValues): Promise<void> {
  const adapter = adapterFromFlags(values);
  if (adapter !== null && values.adapter !== undefined)
    throw new FerroError(
      'INVALID_OPTION',
      'train: "--adapter" (a saved one goes on) and "--lora-rank" (a new one) exclude each other, got both',
    );
  if (values.adapter !== undefined) await model.loadAdapter(values.adapter);
  if (adapter !== null) await model.addAdapter({ ...adapter, seed: values.seed });
}

/** A model with its tokenizer. */
export type SavedGpt = GPT & { readonly tokenizer: Tokenizer };

/** The model, if it has a tokenizer. @throws INVALID_TOKENIZER */
export function withTokenizer<M extends { readonly tokenizer: Tokenizer | null }>(
  op: string,
  model: M,
  source: string,
): M & { readonly tokenizer: Tokenizer } {
  if (model.tokenizer !== null) return model as M & { readonly tokenizer: Tokenizer };
  throw new FerroError('INVALID_TOKENIZER', `${op} must hold a tokenizer, got none in ${JSON.stringify(source)}`);
}

/** What adapters can be put on. */
type Adaptable = Pick<GPT, 'addAdapter' | 'loadAdapter' | 'close'>;

/**
 * A saved model, or the model below a saved adapter with the adapter on it, and one more adapter if it is named.
 * @param open reads the folder of a model
 * @throws as `open` and `loadAdapter`
 */
export async function openSaved<M extends Adaptable>(
  source: string,
  adapter: string | undefined,
  open: (folder: string) => Promise<M>,
): Promise<M> {
  const below = await baseOf(source);
  const model = await open(below ?? source);
  try {
    if (below !== null) await model.loadAdapter(source, { name: 'saved' });
    if (adapter !== undefined) await model.loadAdapter(adapter);
    return model;
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** A saved language model, see `openSaved`. @throws as `GPT.fromPretrained` and `loadAdapter` */
export function openGpt(
  engine: Engine,
  source: string,
  { adapter, ...options }: { adapter?: string } & Pick<PretrainedOptions, 'dropout' | 'quantize' | keyof ContextOptions> = {},
): Promise<GPT> {
  return openSaved(source, adapter, (folder) => GPT.fromPretrained(engine, folder, options));
}

/** The folder that a path means, for its small files: whoever loads the model checks the weights' hashes, once. */
async function smallFiles(path: string): Promise<ReadableFolder> {
  return nodeFolder(await resolveModelFolder(path));
}

/** The model that an adapter's folder names as its base; null for a folder of a model. @throws INVALID_CHECKPOINT for an adapter without a base */
export async function baseOf(path: string): Promise<string | null> {
  const folder = await smallFiles(path);
  if (await folder.has('config.json')) return null;
  const text = await readFolderText(folder, ADAPTER_CONFIG_FILE);
  if (text === null) return null;
  let base: unknown;
  try {
    base = (parseJson(text) as { base_model_name_or_path?: unknown } | null)?.base_model_name_or_path;
  } catch (cause) {
    throw new FerroError('INVALID_CHECKPOINT', `${folder.label}/${ADAPTER_CONFIG_FILE}: must be JSON, got another text`, { cause });
  }
  if (typeof base === 'string' && base !== '') return base;
  throw new FerroError(
    'INVALID_CHECKPOINT',
    `${folder.label}: an adapter that names no base_model_name_or_path must be given as "--adapter", with its model as "--model", got it as "--model"`,
  );
}

/** What the folders of an adapter and of its model say about the task: the adapter's word counts. @throws INVALID_CHECKPOINT where the adapter's is a model's */
export async function taskOf({ adapter, source }: { adapter?: string; source?: string }): Promise<TaskDescription | null> {
  const folders = await Promise.all([adapter, source].map((path) => (path === undefined ? null : smallFiles(path))));
  const [first] = folders;
  if (first !== null && !(await first.has(ADAPTER_CONFIG_FILE)))
    throw new FerroError('INVALID_CHECKPOINT', `${first.label}: "--adapter" must be a folder with ${ADAPTER_CONFIG_FILE}, got one without`);
  for (const folder of folders) {
    const task = folder === null ? null : await readTask(folder);
    if (task !== null) return task;
  }
  return null;
}
