// What the tasks of the command line are made from, and how they open models: a new one for the texts of the data, a saved one with or without an adapter. No task is named here.
import { adapterFromFlags } from '../../adapters';
import { FerroError } from '../../errors';
import { type Engine, GPT } from '../../index';
import { type ReadableFolder, readFolderText, readTask, type TaskDescription } from '../../io';
import { openModelFolder } from '../../io/node';
import { parseJson } from '../../json';
import { BpeTokenizer, ByteTokenizer, CharVocabulary, type Tokenizer } from '../../tokenizers';
import { DEFAULT_BPE, openTokenizer } from '../data';
import type { Output } from '../output';
import { noteUnexpected } from '../session';
import type { TrainValues } from '../train';
import { createModel, refuseArchitecture } from './lm';
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

/** The tokenizer that `--tokenizer` names, for the texts of rows: `bpe` (trained on them), `char`, `byte`, or a folder. @throws as `openTokenizer` */
export async function tokenizerOfTexts(
  name: string,
  texts: Iterable<string>,
  { vocabSize = DEFAULT_BPE, specialTokens = [] }: { vocabSize?: number; specialTokens?: readonly string[] } = {},
): Promise<Tokenizer> {
  if (name === 'byte') return new ByteTokenizer();
  if (name === 'bpe') return BpeTokenizer.train(texts, { vocabSize, specialTokens: [...new Set([END_OF_TEXT, ...specialTokens])] });
  if (name !== 'char') return openTokenizer(name);
  const vocabulary = new CharVocabulary();
  for (const text of texts) vocabulary.add(text);
  return vocabulary.build();
}

/** The model to train: new, with a tokenizer for the texts, or that of --init-from; with the adapter that the flags ask for. */
export async function modelToTrain(
  { engine, output, values, given }: TrainContext,
  texts: Iterable<string>,
  specialTokens: readonly string[],
): Promise<GPT & { tokenizer: Tokenizer }> {
  const model = await (values.initFrom === undefined ? newModel() : savedModel(values.initFrom));
  await addAdapter(model, values);
  return model;

  async function newModel(): Promise<GPT & { tokenizer: Tokenizer }> {
    const { vocabSize } = values;
    const tokenizer = await tokenizerOfTexts(values.tokenizerName ?? 'bpe', texts, { vocabSize, specialTokens });
    return (await createModel(engine, values, given, { tokenizer })) as GPT & { tokenizer: Tokenizer };
  }

  async function savedModel(source: string): Promise<GPT & { tokenizer: Tokenizer }> {
    refuseArchitecture(given);
    const model = await openGpt(engine, source, { dropout: given.dropout, quantize: given.quantize });
    noteUnexpected(output, model);
    return model;
  }
}

/** Puts the adapters of --adapter or --lora-rank on a model. @throws ADAPTER_MISMATCH, INVALID_OPTION */
export async function addAdapter(model: Pick<GPT, 'addAdapter' | 'loadAdapter'>, values: TrainValues): Promise<void> {
  const adapter = adapterFromFlags(values);
  if (adapter !== null && values.adapter !== undefined)
    throw new FerroError(
      'INVALID_OPTION',
      'train: "--adapter" (a saved one goes on) and "--lora-rank" (a new one) exclude each other, got both',
    );
  if (values.adapter !== undefined) await model.loadAdapter(values.adapter);
  if (adapter !== null) await model.addAdapter({ ...adapter, seed: values.seed });
}

/**
 * A saved language model, or the model below a saved adapter with the adapter on it. Its tokenizer is there.
 * @throws as `GPT.fromPretrained` and `loadAdapter`; INVALID_TOKENIZER for a folder without one
 */
export async function openGpt(
  engine: Engine,
  source: string,
  { adapter, dropout, quantize }: { adapter?: string; dropout?: number; quantize?: 'int8' | 'bf16' } = {},
): Promise<GPT & { tokenizer: Tokenizer }> {
  const below = await baseOf(await openModelFolder(source));
  const model = await GPT.fromPretrained(engine, below ?? source, { dropout, quantize });
  try {
    if (below !== null) await model.loadAdapter(source, { name: 'saved' });
    if (adapter !== undefined) await model.loadAdapter(adapter);
    if (model.tokenizer === null)
      throw new FerroError('INVALID_TOKENIZER', `the model must have a tokenizer, got none in ${JSON.stringify(source)}`);
    return model as GPT & { tokenizer: Tokenizer };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** The model that an adapter's folder names as its base; null for a folder of a model. @throws INVALID_CHECKPOINT for an adapter without a base */
export async function baseOf(folder: ReadableFolder): Promise<string | null> {
  const name = 'adapter_config.json';
  if (await folder.has('config.json')) return null;
  const text = await readFolderText(folder, name);
  if (text === null) return null;
  let base: unknown;
  try {
    base = (parseJson(text) as { base_model_name_or_path?: unknown } | null)?.base_model_name_or_path;
  } catch (cause) {
    throw new FerroError('INVALID_CHECKPOINT', `${folder.label}/${name}: must be JSON, got another text`, { cause });
  }
  if (typeof base === 'string' && base !== '') return base;
  throw new FerroError(
    'INVALID_CHECKPOINT',
    `${folder.label}: an adapter that names no base_model_name_or_path must be given as "--adapter", with its model as "--model", got it as "--model"`,
  );
}

/** What the folder of a model or of an adapter says about its task. */
export async function taskOf(source: string | undefined): Promise<TaskDescription | null> {
  return source === undefined ? null : readTask(await openModelFolder(source));
}
