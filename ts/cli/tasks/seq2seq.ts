// The task `seq2seq`: a target text for a source text, by an encoder-decoder.
import { type Row, Seq2SeqDataset, type Template } from '../../data';
import { evaluateLoss, Transformer, type TransformerOptions } from '../../index';
import { TASK_FILE, taskToFile } from '../../io';
import type { TextMetric } from '../../metrics';
import { SCORED_TEXT_OPTIONS, TRANSFORMER_FLAGS } from '../../options';
import type { Tokenizer } from '../../tokenizers';
import { pickGiven } from '../flags';
import { formatCount } from '../format';
import { noteUnexpected } from '../session';
import { quote } from '../training';
import { addAdapter, type EvalContext, openSaved, type TrainContext, tokenizerOfTexts, withTokenizer } from './context';
import { refuseArchitecture } from './lm';
import type { EvalValues, Measured } from './measured';
import { datasetsOf, heldCount, loadParts, loadRows, noteReport, sampledRow } from './rows';
import type { TaskRun } from './task';
import {
  answerLimit,
  answerOf,
  conclusionOf,
  describeTask,
  measuredTexts,
  type PromptedRows,
  plainScores,
  renderedTexts,
  scoreTexts,
  templateOf,
} from './texts';

type Model = Transformer & { readonly tokenizer: Tokenizer };

const SEQ2SEQ_COLUMNS = ['source', 'target'];
const DEFAULT_METRICS: readonly TextMetric[] = ['exact_match', 'bleu', 'chrf', 'wer'];
/** The size where none is given. */
export const DEFAULT_SIZE = { nLayer: 2, nHead: 4, dModel: 128 };

/** A run of `train --task seq2seq`. */
export async function seq2seqTask(context: TrainContext): Promise<TaskRun> {
  const { values, given, output, before, data } = context;
  const description = describeTask('seq2seq', given, before);
  const template = templateOf(description);
  const { train, evaluation } = await loadParts(values, data, SEQ2SEQ_COLUMNS);
  const model = await transformerToTrain(context, template, [...train, ...(values.evalData === undefined ? evaluation : [])]);
  const options = { ...datasetOptions(model, template), overflow: values.overflow, groupByLength: values.groupByLength };
  const { dataset, evalDataset } = datasetsOf(output, { train, evaluation }, (rows) => new Seq2SeqDataset(rows, options));
  let scores: Record<string, number> | undefined;
  const score = async () => {
    scores = plainScores((await scoreSeq2seq(model, template, evaluation, values, given)).scores);
    return scores;
  };
  const scored = evalDataset !== null;
  const sampled = sampledRow(train, evaluation, (row) => sourceIds(model, template, row).length > 0);
  return {
    model,
    dataset,
    evalDataset,
    trainer: {
      extraFiles: { [TASK_FILE]: taskToFile(description) },
      ...(scored && values.metrics !== undefined ? { computeMetrics: score } : {}),
    },
    rowUnits: 1,
    unit: 'examples',
    facts: [
      ['model', describeTransformer(model)],
      ['data', `${formatCount(dataset.report.kept)} pairs, ${heldCount(evalDataset)} to evaluate on`],
    ],
    async sample(step) {
      const source = sourceIds(model, template, sampled).subarray(0, model.config.maxSourceLength);
      const { text } = await model.generate(source, { maxNewTokens: limitOf(model, template, [sampled]), doSample: false });
      return { step, prompt: `${template.promptText(sampled, model.tokenizer, { border: false })} → `, text };
    },
    ...(scored ? { conclude: async () => conclusionOf(scores ?? (await score())) } : {}),
    next: ({ run }) => [
      ['next', `npx ferroformer generate --model ${quote(run)} --prompt ...`],
      ['scores', `npx ferroformer eval --model ${quote(run)} --data ...`],
    ],
  };
}

/** An encoder-decoder in a line. */
function describeTransformer({ config, parameters }: Transformer): string {
  let count = 0;
  for (const { shape } of parameters.values()) count += shape.reduce((product, size) => product * size, 1);
  const { nEncoderLayer, nDecoderLayer, nHead, dModel, inputDim, outputDim } = config;
  return `${formatCount(count)} parameters: ${nEncoderLayer} encoder and ${nDecoderLayer} decoder layers, ${nHead} heads, width ${dModel}, vocabularies ${inputDim} and ${outputDim}`;
}

async function transformerToTrain(
  { engine, output, values, given }: TrainContext,
  template: Template,
  rows: readonly Row[],
): Promise<Model> {
  const { initFrom, seed, vocabSize } = values;
  if (initFrom !== undefined) {
    refuseArchitecture(given, ['dropout']);
    const saved = await openSaved(initFrom, undefined, (folder) => Transformer.fromPretrained(engine, folder, { dropout: given.dropout }));
    noteUnexpected(output, saved);
    await addAdapter(saved, values);
    return withTokenizer('train: "--init-from"', saved, initFrom);
  }
  const own = values.targetTokenizerName;
  const name = values.tokenizerName ?? 'bpe';
  const sources = () => renderedTexts(template, rows, 'prompt');
  const targets = () => renderedTexts(template, rows, 'answer');
  const tokenizer = await tokenizerOfTexts(name, own === undefined ? [...sources(), ...targets()] : sources(), { vocabSize });
  const targetTokenizer = own === undefined ? undefined : await tokenizerOfTexts(own, targets(), { vocabSize });
  const options = { ...DEFAULT_SIZE, ...pickGiven(given, TRANSFORMER_FLAGS), tokenizer, targetTokenizer, seed };
  const model = await Transformer.create(engine, options as TransformerOptions);
  await addAdapter(model, values);
  return model as Model;
}

function datasetOptions({ tokenizer, targetTokenizer, config }: Model, template: Template) {
  const { bosId, eosId, maxSourceLength, maxTargetLength } = config;
  return { tokenizer, targetTokenizer: targetTokenizer ?? tokenizer, bosId, eosId, maxSourceLength, maxTargetLength, template };
}

/** The ids of a source as the model is trained with them. */
export function sourceIds({ tokenizer }: Model, template: Template, row: Row | Record<string, unknown>): Int32Array {
  return template.promptIds(row, tokenizer, { border: false });
}

function limitOf({ targetTokenizer, tokenizer, config }: Model, template: Template, rows: readonly Row[]): number {
  const texts = rows.map((row) => answerOf(template, row, tokenizer, { border: false }));
  return answerLimit(texts, targetTokenizer ?? tokenizer, config.maxTargetLength);
}

/** Scores of what the model writes for the sources that it can read. */
function scoreSeq2seq(
  model: Model,
  template: Template,
  rows: readonly Row[],
  { metrics = DEFAULT_METRICS, overflow }: Pick<EvalValues, 'metrics' | 'overflow'>,
  given: Partial<EvalValues>,
) {
  const prompted: PromptedRows<Int32Array> = { examples: [], shown: [] };
  const used: Row[] = [];
  for (const row of rows) {
    const whole = sourceIds(model, template, row);
    const prompt = overflow === 'truncate' ? whole.subarray(0, model.config.maxSourceLength) : whole; // as the data set does
    const references = answerOf(template, row, model.tokenizer, { border: false });
    if (prompt.length === 0 || prompt.length > model.config.maxSourceLength || references === '') continue;
    used.push(row);
    prompted.examples.push({ prompt, references });
    prompted.shown.push(template.promptText(row, model.tokenizer, { border: false }));
  }
  const generation = pickGiven(given, SCORED_TEXT_OPTIONS);
  return scoreTexts(model, prompted, metrics, { maxNewTokens: limitOf(model, template, used), ...generation });
}

/** `eval` of the task: loss, perplexity, and the scores of what the model writes. */
export async function evaluateSeq2seq({ engine, output, values, given, source, data, description: saved }: EvalContext): Promise<Measured> {
  const template = templateOf(describeTask('seq2seq', given, saved));
  const opened = await openSaved(source, values.adapter, (folder) => Transformer.fromPretrained(engine, folder));
  const model = withTokenizer('eval: "--model"', opened, source);
  const rows = await loadRows(data, values, SEQ2SEQ_COLUMNS);
  const dataset = new Seq2SeqDataset(rows, { ...datasetOptions(model, template), overflow: values.overflow });
  noteReport(output, 'data', dataset.report);
  const { loss, perplexity, tokens } = await evaluateLoss(model, dataset, { batchSize: values.batchSize });
  const line = `loss ${loss.toFixed(4)} nats per token, perplexity ${perplexity.toFixed(3)}, ${formatCount(tokens)} tokens of ${formatCount(dataset.report.kept)} targets`;
  const found = { task: 'seq2seq' as const, loss, perplexity, tokens, rows: dataset.report.kept };
  return measuredTexts(found, line, await scoreSeq2seq(model, template, rows, values, given));
}
