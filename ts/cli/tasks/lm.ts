// The task `lm`: the next token of text files, from scratch or from a saved model.
import { FerroError } from '../../errors';
import { type Engine, GPT, type GPTOptions } from '../../index';
import type { CausalConfig } from '../../models';
import { CONTEXT_OPTIONS, GPT_CONFIG_OPTIONS, OPTIONS, type OptionName, TRANSFORMER_FLAGS } from '../../options';
import { chooseTokenizer, loadData, type RunData } from '../data';
import { pickGiven } from '../flags';
import { formatCount } from '../format';
import type { Output } from '../output';
import { noteUnexpected } from '../session';
import type { TrainValues } from '../train';
import { quote } from '../training';
import { addAdapter, openGpt, type TrainContext, withTokenizer } from './context';
import type { TaskRun } from './task';

type Given = Partial<TrainValues>;

const DEFAULT_PRESET = 'gpt-micro';
const PROMPT_TOKENS = 16;
const SAMPLE_TOKENS = 160;

/** The run of a model that goes on with texts; `demo` makes one too. */
export function textRun(model: GPT, data: RunData, samplePrompt: string): TaskRun {
  const held = data.evalDataset === null ? 'none' : formatCount(data.evalDataset.length);
  return {
    model,
    dataset: data.dataset,
    evalDataset: data.evalDataset,
    rowUnits: model.config.blockSize,
    unit: 'tokens',
    facts: [
      ['model', describeModel(model)],
      ['data', `${formatCount(data.dataset.length)} tokens to train on, ${held} to evaluate on`],
    ],
    async sample(step) {
      const { text } = await model.generate(samplePrompt, { maxNewTokens: SAMPLE_TOKENS, temperature: 0.8, seed: step });
      return { step, prompt: samplePrompt, text };
    },
    next: ({ run, model: folder }) => [
      ['next', `npx ferroformer generate --model ${quote(run)} --prompt ${quote(samplePrompt)}`],
      ['python', inPython(model, JSON.stringify(folder))],
    ],
  };
}

/** How Python opens what was trained; an adapter names its base itself. */
function inPython(model: GPT, folder: string): string {
  const [library, name] = model.activeAdapter === null ? ['transformers', 'GPT2LMHeadModel'] : ['peft', 'AutoPeftModelForCausalLM'];
  return `from ${library} import ${name}; model = ${name}.from_pretrained(${folder})`;
}

/** A GPT in a line. */
export function describeModel(model: Pick<GPT, 'parameters'> & { readonly config: CausalConfig }): string {
  const { nLayer, nHead, nEmbd, blockSize, vocabSize } = model.config;
  let parameters = 0;
  for (const { shape } of model.parameters.values()) parameters += shape.reduce((product, size) => product * size, 1);
  return `${formatCount(parameters)} parameters: ${nLayer} layers, ${nHead} heads, width ${nEmbd}, context ${blockSize}, vocabulary ${vocabSize}`;
}

/** Makes or loads the model and reads the files. */
export async function lmTask({ engine, output, values, given, data }: TrainContext): Promise<TaskRun> {
  const { model, runData } = await (values.initFrom === undefined
    ? create(engine, values, given, data)
    : load(engine, output, values, given, data));
  await addAdapter(model, values);
  const ids = runData.dataset.toIds(0, Math.min(PROMPT_TOKENS, runData.dataset.length));
  return textRun(model, runData, firstWords(runData.tokenizer.decode(ids)));
}

async function create(
  engine: Engine,
  values: TrainValues,
  given: Given,
  data: readonly string[],
): Promise<{ model: GPT; runData: RunData }> {
  const tokenizer = await chooseTokenizer(values.tokenizerName ?? 'char', data, { vocabSize: values.vocabSize });
  const runData = await loadData({ ...values, data }, tokenizer);
  return { model: await createModel(engine, values, given, { tokenizer }), runData };
}

/** A new GPT of the size that the flags say. */
export function createModel(engine: Engine, values: TrainValues, given: Given, more: Pick<GPTOptions, 'tokenizer'>): Promise<GPT> {
  return GPT.create(engine, newModelOptions(values, given, more));
}

/** The architecture that the flags say. */
export function newModelOptions(values: TrainValues, given: Given, more: Pick<GPTOptions, 'tokenizer'>): GPTOptions {
  const { nLayer, nHead, nEmbd, blockSize } = values;
  const whole = nLayer !== undefined && nHead !== undefined && nEmbd !== undefined;
  const preset = values.preset ?? (whole && blockSize !== undefined ? undefined : DEFAULT_PRESET);
  return { ...pickGiven(given, GPT_CONFIG_OPTIONS), preset, ...more, seed: values.seed } as GPTOptions;
}

/** What may be said of a saved model that is trained further. */
export const LOADED_OPTIONS = ['dropout', 'quantize', ...CONTEXT_OPTIONS] as const;

/**
 * A saved model brings its own architecture and tokenizers: flags about them are refused.
 * @param loaded those that its kind of model can be opened with
 * @throws INVALID_OPTION
 */
export function refuseArchitecture(given: Given, loaded: readonly OptionName[]): void {
  for (const name of [...GPT_CONFIG_OPTIONS, ...TRANSFORMER_FLAGS, 'tokenizerName', 'targetTokenizerName'] as const) {
    if (name in given && !loaded.includes(name)) {
      throw new FerroError(
        'INVALID_OPTION',
        `train: "--${OPTIONS[name].flag}" must not be given with --init-from, whose model decides it, got ${JSON.stringify(given[name])}`,
      );
    }
  }
}

async function load(
  engine: Engine,
  output: Output,
  values: TrainValues,
  given: Given,
  data: readonly string[],
): Promise<{ model: GPT; runData: RunData }> {
  refuseArchitecture(given, LOADED_OPTIONS);
  const model = await openGpt(engine, values.initFrom!, pickGiven(given, LOADED_OPTIONS));
  noteUnexpected(output, model);
  const { tokenizer } = withTokenizer('train: "--init-from"', model, values.initFrom!);
  return { model, runData: await loadData({ ...values, data }, tokenizer) };
}

/** The text up to its last whole word, so that a sample goes on from a natural place. */
export function firstWords(text: string): string {
  const line = text.trimStart().split('\n')[0];
  const cut = line.lastIndexOf(' ');
  return cut > 0 ? line.slice(0, cut + 1) : line;
}
