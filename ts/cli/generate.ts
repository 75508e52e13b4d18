// `ferroformer generate`: text from a saved model, streamed to standard output as it is written. A causal model continues the prompt; for an encoder-decoder the prompt is the
// source, and only what is written is printed.

import type { Command } from 'commander';
import { FerroError } from '../errors';
import { type Classification, type GenerateOptions, type GPT, loadModel, Transformer } from '../index';
import type { TaskDescription } from '../io';
import { COMMAND_OPTIONS, CONTEXT_OPTIONS, OPTIONS, type OptionValues, SAMPLING_OPTIONS } from '../options';
import type { Tokenizer } from '../tokenizers';
import { addFlags, pickGiven, readCommandOptions, required, requireOne } from './flags';
import { formatScore } from './format';
import { Output } from './output';
import { noteUnexpected, withEngine } from './session';
import { classifyPrompts } from './tasks/classify';
import { openSaved, taskOf, withTokenizer } from './tasks/context';
import { endOf } from './tasks/sft';
import { describeTask, promptRow, templateOf } from './tasks/texts';

const NAMES = COMMAND_OPTIONS.generate;
type Values = OptionValues<(typeof NAMES)[number]>;
/** What means nothing to a classifier. */
const FOR_WRITING = ['promptIds', 'quantize', ...CONTEXT_OPTIONS, ...SAMPLING_OPTIONS] as const;

/** Adds the command. */
export function addGenerate(program: Command): void {
  const command = program.command('generate').description('write text with a saved model, or say the labels of texts');
  addFlags(command, NAMES).action(async (parsed) => {
    const { values, given } = await readCommandOptions('generate', parsed, NAMES);
    await generate(new Output(values.json), values, given);
  });
}

async function generate(output: Output, values: Values, given: Partial<Values>): Promise<void> {
  const source = required('generate', values.model, 'model');
  const { promptIds } = values;
  const prompts = values.prompt === undefined ? [] : [values.prompt].flat();
  requireOne('generate', [prompts[0], promptIds], ['prompt', 'prompt-ids']);
  const saved = await taskOf({ adapter: values.adapter, source });
  const task = values.task ?? saved?.task ?? 'lm';
  const description = describeTask(task, given, saved);
  await withEngine(values, output, async (engine) => {
    if (task === 'classify') {
      const other = FOR_WRITING.find((name) => name in given);
      if (other !== undefined) {
        throw new FerroError(
          'INVALID_OPTION',
          `generate: "--${OPTIONS[other].flag}" must be given with a model that writes, got it with a classifier`,
        );
      }
      tellLabels(output, prompts, await classifyPrompts({ engine, source, description: saved }, values.adapter, prompts, description));
      return;
    }
    const context = pickGiven(given, CONTEXT_OPTIONS);
    const loading = { quantize: values.quantize, ...context };
    const model = await openSaved(source, values.adapter, (folder) => loadModel(engine, folder, loading));
    noteUnexpected(output, model);
    // Only what was given: the library draws a seed where there is none, and tells it.
    const options = pickGiven(given, SAMPLING_OPTIONS);
    const isTemplated = promptIds === undefined && (task !== 'lm' || (description.template ?? description.taskPrefix) !== undefined);
    const writing = isTemplated
      ? answers(withTokenizer('generate: "--model"', model, source), description, prompts, options)
      : { prompts, options };
    const echo = !isTemplated && !(model instanceof Transformer);
    await write(output, model, { prompts, promptIds, echo }, { ...writing, promptIds });
  });
}

/** Prompts as the model was trained with them, and what ends an answer. */
function answers(
  model: (GPT | Transformer) & { readonly tokenizer: Tokenizer },
  description: TaskDescription,
  prompts: readonly string[],
  options: GenerateOptions,
): Writing {
  const template = templateOf(description);
  if (model instanceof Transformer) {
    const sources = prompts.map((prompt) =>
      template.promptIds(promptRow(description, template, prompt), model.tokenizer, { border: false }),
    );
    return { prompts: sources, options };
  }
  const ids = prompts.map((prompt) => template.promptIds(promptRow(description, template, prompt), model.tokenizer));
  return { prompts: ids, options: { ...options, ...endOf(model, template, description, options) } };
}

/** The label of each prompt. Labels are no keys of the result: their spelling is the user's. */
function tellLabels(output: Output, prompts: readonly string[], found: readonly Classification[]): void {
  const listed = (probabilities: Record<string, number>) =>
    Object.entries(probabilities).map(([label, probability]) => ({ label, probability }));
  const results = found.map(({ probabilities, ...one }, i) => ({ prompt: prompts[i], ...one, probabilities: listed(probabilities) }));
  const lines = found.map(({ label, probabilities }) => `${label} (${formatScore(probabilities[label])})`);
  const cut = found.filter(({ truncated }) => truncated).length;
  if (cut > 0) output.note(`warning: ${cut} of ${found.length} prompts cut to the context`);
  output.result({ ...results[0], results }, lines.join('\n'));
}

interface Writing {
  prompts: readonly (string | Int32Array)[];
  options: GenerateOptions;
  promptIds?: readonly number[] | Int32Array;
}

/** Streams one text to standard output; several texts, and --json, are told when all are written. */
async function write(
  output: Output,
  model: GPT | Transformer,
  asked: { prompts: readonly string[]; promptIds?: readonly number[] | Int32Array; echo: boolean },
  { prompts, options, promptIds }: Writing,
): Promise<void> {
  const tokenizer = model instanceof Transformer ? model.targetTokenizer : model.tokenizer;
  const started = performance.now();
  const stream = model.generate(promptIds ?? (prompts.length === 1 ? prompts[0] : prompts), options);
  const { numReturnSequences = 1, numBeams = 1 } = options;
  const several = prompts.length > 1 || numReturnSequences > 1 || numBeams > 1;
  const shown = (i: number) => (asked.echo ? (asked.prompts[i] ?? '') : '');
  if (output.json || several) {
    const { sequences, ...first } = await stream;
    const tokens = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
    const tokensPerSecond = Math.round(tokens / ((performance.now() - started) / 1000));
    const texts = sequences.map(({ text, ids }, i) => shown(Math.floor(i / numReturnSequences)) + (tokenizer === null ? ids.join() : text));
    const prompt = asked.prompts.length > 1 ? asked.prompts : asked.prompts[0];
    output.result({ ...first, prompt, promptIds, tokensPerSecond, sequences }, texts.join('\n---\n'));
    if (!output.json) output.note(`${tokens} tokens, ${tokensPerSecond} tokens/s, seed ${first.seed}`);
    return;
  }
  output.piece(shown(0));
  for await (const piece of stream) output.piece(tokenizer === null ? `${piece.index > 0 ? ',' : ''}${piece.id}` : piece.text);
  output.piece('\n');
  const { ids, seed } = await stream;
  output.note(`${ids.length} tokens, ${Math.round(ids.length / ((performance.now() - started) / 1000))} tokens/s, seed ${seed}`);
}
