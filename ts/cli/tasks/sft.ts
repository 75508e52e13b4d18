// The task `sft`: completions of prompts, from rows of any shape that a template knows. The prompt is read, the completion is learned.
import { type Row, SftDataset, type SftOptions, type Template } from '../../data';
import { FerroError } from '../../errors';
import { evaluateLoss, type GenerateOptions } from '../../index';
import { TASK_FILE, type TaskDescription, taskToFile } from '../../io';
import { CONTEXT_OPTIONS, OPTIONS, type OptionName, SCORED_TEXT_OPTIONS } from '../../options';
import { pickGiven } from '../flags';
import { formatCount } from '../format';
import { quote } from '../training';
import { type EvalContext, modelToTrain, openGpt, type SavedGpt, type TrainContext, withTokenizer } from './context';
import { describeModel } from './lm';
import type { Measured } from './measured';
import { datasetsOf, heldCount, loadParts, loadRows, noteReport, sampledRow, textsOf } from './rows';
import type { TaskRun } from './task';
import {
  answerLimit,
  answerOf,
  conclusionOf,
  describeTask,
  measuredTexts,
  type PromptedRows,
  plainScores,
  scoreTexts,
  templateOf,
  writtenTexts,
} from './texts';

/** Columns of a TSV file without a header. */
export const SFT_COLUMNS = ['prompt', 'completion'];
const SAMPLE_TOKENS = 64;

/** A run of `train --task sft`. */
export async function sftTask(context: TrainContext): Promise<TaskRun> {
  const { values, given, output, before, data } = context;
  const description = describeTask('sft', given, before);
  const template = templateOf(description);
  const { metrics } = values;
  const generation = generationOf('train', given, metrics);
  const { train, evaluation } = await loadParts(values, data, SFT_COLUMNS);
  const known = values.evalData === undefined ? [...train, ...evaluation] : train;
  const written = writtenTexts(description, known, template, 'all');
  const model = await modelToTrain(context, textsOf(known), { ...needsOf(description), written });
  const options = { ...datasetOptions(model, template, description), overflow: values.overflow, groupByLength: values.groupByLength };
  const make = (rows: readonly Row[], training: boolean) => new SftDataset(rows, { ...options, packing: training && values.packing });
  const { dataset, evalDataset } = datasetsOf(output, { train, evaluation }, make);
  let scores: Record<string, number> | undefined;
  const score = async () => {
    scores = plainScores((await scoreSft(model, template, description, evaluation, values, generation)).scores);
    return scores;
  };
  const scored = metrics !== undefined && evalDataset !== null;
  const sampled = sampledRow(train, evaluation, (row) => template.promptIds(row, model.tokenizer).length <= model.blockSize);
  return {
    model,
    dataset,
    evalDataset,
    trainer: { extraFiles: { [TASK_FILE]: taskToFile(description) }, ...(scored ? { computeMetrics: score } : {}) },
    rowUnits: 1,
    unit: 'examples',
    facts: [
      ['model', describeModel(model)],
      ['data', describeData(dataset, evalDataset)],
    ],
    async sample(step) {
      const prompt = template.promptIds(sampled, model.tokenizer);
      const { text } = await model.generate(prompt, {
        maxNewTokens: SAMPLE_TOKENS,
        doSample: false,
        ...endOf(model, template, description),
      });
      return { step, prompt: template.promptText(sampled, model.tokenizer), text };
    },
    ...(scored ? { conclude: async () => conclusionOf(scores ?? (await score())) } : {}),
    next: ({ run }) => [
      ['next', `npx ferroformer generate --model ${quote(run)} --prompt ...`],
      ['scores', `npx ferroformer eval --model ${quote(run)} --data ... --metrics exact_match f1`],
    ],
  };
}

/** What decides the texts that are scored. @throws INVALID_OPTION without metrics */
function generationOf(command: string, given: Partial<TrainContext['values'] & EvalContext['values']>, metrics: unknown) {
  const generation = pickGiven(given, SCORED_TEXT_OPTIONS);
  const [first] = [...Object.keys(generation), ...('predictions' in given ? ['predictions'] : [])] as OptionName[];
  if (first === undefined || metrics !== undefined) return generation;
  throw new FerroError('INVALID_OPTION', `${command}: "--${OPTIONS[first].flag}" of sft needs "--metrics", got none`);
}

/** Special tokens that a new tokenizer needs for a template. */
export function specialTokensOf({ template, taskTokens = [] }: TaskDescription): string[] {
  const named = taskTokens.filter((token) => typeof token === 'string');
  return template === 'chatml' ? ['<|im_start|>', '<|im_end|>', ...named] : named;
}

/** What a tokenizer needs for prompts and completions. */
export const needsOf = (description: TaskDescription) => ({
  specialTokens: specialTokensOf(description),
  ends: description.endOfText === undefined,
});

/** What the data sets of texts with templates take. */
export function datasetOptions(
  model: SavedGpt,
  template: Template,
  { endOfText }: TaskDescription,
): Pick<SftOptions, 'tokenizer' | 'blockSize' | 'template' | 'endOfText'> {
  return { tokenizer: model.tokenizer, blockSize: model.blockSize, template, endOfText };
}

type Ends = Pick<GenerateOptions, 'stopTokenIds' | 'stopStrings'>;

/** What ends a text that the model writes, besides its own end-of-text token: what it learned as an end, and what options add to that. */
export function endOf({ tokenizer }: SavedGpt, template: Template, { endOfText }: TaskDescription, more: Ends = {}): Ends {
  const ids = [...template.stopTokenIds(tokenizer), ...(typeof endOfText === 'number' ? [endOfText] : []), ...(more.stopTokenIds ?? [])];
  const texts = [...(typeof endOfText === 'string' && endOfText !== '' ? [endOfText] : []), ...(more.stopStrings ?? [])];
  return { ...(ids.length > 0 ? { stopTokenIds: ids } : {}), ...(texts.length > 0 ? { stopStrings: texts } : {}) };
}

function describeData({ report, packed, length }: SftDataset, evaluation: SftDataset | null): string {
  const packing = packed ? ` in ${formatCount(length)} sequences` : '';
  return `${formatCount(report.kept)} rows${packing}, ${formatCount(report.countedTokens)} of ${formatCount(report.tokens)} tokens learned; ${heldCount(evaluation)} rows to evaluate on`;
}

async function scoreSft(
  model: SavedGpt,
  template: Template,
  description: TaskDescription,
  rows: readonly Row[],
  { metrics = [], overflow }: Pick<EvalContext['values'], 'metrics' | 'overflow'>,
  given: Record<string, unknown>,
) {
  const { tokenizer } = model;
  const prompted: PromptedRows<Int32Array> = { examples: [], shown: [] };
  for (const row of rows) {
    const references = answerOf(template, row, tokenizer);
    if (references === '') continue; // nothing that could be right
    // A prompt that leaves no room for the right answer would slide out of the context: such a row is left out, or its prompt cut at the front, as in the data set.
    const whole = template.promptIds(row, tokenizer);
    const prompt = cutFront(whole, model.blockSize - tokenizer.encode(references).length, tokenizer.bosId);
    if (prompt !== whole && (overflow !== 'truncate' || prompt === null)) continue;
    prompted.examples.push({ prompt: prompt ?? whole, references });
    prompted.shown.push(template.promptText(row, tokenizer));
  }
  const texts = prompted.examples.map(({ references }) => references as string);
  const ends = endOf(model, template, description, given);
  const generation = { maxNewTokens: answerLimit(texts, tokenizer, model.blockSize), ...given, ...ends };
  return scoreTexts(model, prompted, metrics, generation);
}

/** The end of a prompt behind its beginning-of-text token, in `room` places; null where nothing of it would be left. */
function cutFront(prompt: Int32Array, room: number, bosId: number | null): Int32Array | null {
  const excess = prompt.length - room;
  if (excess <= 0) return prompt;
  const head = prompt[0] === bosId ? 1 : 0;
  if (head + excess >= prompt.length) return null;
  return Int32Array.of(...prompt.subarray(0, head), ...prompt.subarray(head + excess));
}

/** `eval` of the task: loss and perplexity of the completions, and with --metrics the scores of what the model writes. */
export async function evaluateSft({ engine, output, values, given, source, data, description: saved }: EvalContext): Promise<Measured> {
  const description = describeTask('sft', given, saved);
  const template = templateOf(description);
  const generation = generationOf('eval', given, values.metrics);
  const model = withTokenizer(
    'eval: "--model"',
    await openGpt(engine, source, pickGiven(values, ['adapter', 'quantize', ...CONTEXT_OPTIONS])),
    source,
  );
  const rows = await loadRows(data, values, SFT_COLUMNS);
  const dataset = new SftDataset(rows, { ...datasetOptions(model, template, description), overflow: values.overflow });
  noteReport(output, 'data', dataset.report);
  const { loss, perplexity, tokens } = await evaluateLoss(model, dataset, { batchSize: values.batchSize });
  const found = { task: 'sft' as const, loss, perplexity, tokens, rows: dataset.report.kept };
  const line = `loss ${loss.toFixed(4)} nats per token, perplexity ${perplexity.toFixed(3)}, ${formatCount(tokens)} tokens of ${formatCount(found.rows)} completions`;
  if (values.metrics === undefined) return { result: found, text: line };
  return measuredTexts(found, line, await scoreSft(model, template, description, rows, values, generation));
}
