// The task `classify`: a label for a text, by a head on a language model's trunk.
import { ClassificationDataset, labelsOf, type Row, type Template } from '../../data';
import { show } from '../../errors';
import {
  type Classification,
  type ClassificationEvaluation,
  evaluateClassification,
  type GPTOptions,
  SequenceClassifier,
} from '../../index';
import { openClassifier, TASK_FILE, type TaskDescription, taskToFile } from '../../io';
import { openModelFolder } from '../../io/node';
import type { Tokenizer } from '../../tokenizers';
import { formatCount, formatScore, formatTable } from '../format';
import type { ReportTable } from '../report';
import { noteUnexpected } from '../session';
import { quote } from '../training';
import { addAdapter, baseOf, type EvalContext, openSaved, type TrainContext, tokenizerOfTexts, withTokenizer } from './context';
import { describeModel, newModelOptions, refuseArchitecture } from './lm';
import type { Measured } from './measured';
import { datasetsOf, heldCount, loadParts, loadRows, noteReport, sampledRow, textsOf } from './rows';
import { specialTokensOf } from './sft';
import type { Conclusion, TaskRun } from './task';
import { describeTask, promptRow, scoreLine, scoreTable, templateOf, writtenTexts } from './texts';

type Model = SequenceClassifier & { readonly tokenizer: Tokenizer };

const CLASSIFY_COLUMNS = ['text', 'label'];

/** A run of `train --task classify`. */
export async function classifyTask(context: TrainContext): Promise<TaskRun> {
  const { values, given, output, before, data } = context;
  const description = describeTask('classify', given, before);
  const template = templateOf(description);
  const { train, evaluation } = await loadParts(values, data, CLASSIFY_COLUMNS);
  const model = await classifierToTrain(context, description, train, evaluation);
  const { tokenizer, blockSize, labels } = model;
  const options = { tokenizer, blockSize, labels, template, overflow: values.overflow, groupByLength: values.groupByLength };
  const { dataset, evalDataset } = datasetsOf(output, { train, evaluation }, (rows) => new ClassificationDataset(rows, options));
  const { counts } = dataset;
  const unseen = labels.filter((_, i) => counts[i] === 0);
  if (unseen.length > 0) output.note(`warning: training data: no row with the ${unseen.length === 1 ? 'label' : 'labels'} ${show(unseen)}`);
  let found: ClassificationEvaluation | undefined;
  const measure = async () => {
    found = await evaluateClassification(model, evalDataset!, { batchSize: values.batchSize });
    return found;
  };
  const scored = evalDataset !== null;
  const sampled = sampledRow(train, evaluation, (row) => promptIds(model, template, row).length > 0);
  return {
    model,
    dataset,
    evalDataset,
    trainer: {
      extraFiles: { [TASK_FILE]: taskToFile(model.activeAdapter === null ? description : { ...description, ...headOf(model) }) },
      ...(scored ? { computeMetrics: async () => scoresOf(await measure()) } : {}),
    },
    rowUnits: 1,
    unit: 'examples',
    facts: [
      ['model', `${describeModel(model)}, ${labels.length} labels ${show(labels)}`],
      ['data', `${formatCount(dataset.report.kept)} rows, ${heldCount(evalDataset)} to evaluate on`],
    ],
    async sample(step) {
      const ids = promptIds(model, template, sampled);
      const { label, probabilities } = await model.classify(ids, { truncate: true });
      return {
        step,
        prompt: `${template.promptText(sampled, tokenizer).trimEnd()} → `,
        text: `${label} (${formatScore(probabilities[label])})`,
      };
    },
    ...(scored ? { conclude: async () => conclusionOf(found ?? (await measure())) } : {}),
    next: ({ run }) => [
      ['next', `npx ferroformer generate --model ${quote(run)} --prompt ...`],
      ['scores', `npx ferroformer eval --model ${quote(run)} --data ...`],
    ],
  };
}

const headOf = ({ labels, config }: Model): Pick<TaskDescription, 'labels' | 'pooling'> => ({ labels, pooling: config.classifier.pooling });

/** The ids of a text as the classifier is trained with them. */
export function promptIds({ tokenizer }: Pick<Model, 'tokenizer'>, template: Template, row: Row | Record<string, unknown>): Int32Array {
  return template.promptIds(row, tokenizer, { border: false });
}

async function classifierToTrain(
  { engine, output, values, given, before }: TrainContext,
  description: TaskDescription,
  train: readonly Row[],
  evaluation: readonly Row[],
): Promise<Model> {
  const { initFrom, seed } = values;
  const pooling = given.pooling ?? before?.pooling;
  // Where the data was parted here, chance must not decide which labels there are.
  const known = values.evalData === undefined ? [...train, ...evaluation] : train;
  const labels = values.labels ?? (initFrom === undefined ? undefined : await savedLabels(initFrom, before)) ?? labelsOf(known);
  if (initFrom !== undefined) {
    refuseArchitecture(given, ['dropout']);
    const model = await openSaved(initFrom, undefined, (folder) =>
      SequenceClassifier.fromPretrained(engine, folder, { labels, pooling, dropout: given.dropout, seed }),
    );
    noteUnexpected(output, model);
    await addAdapter(model, values);
    return withTokenizer('train: "--init-from"', model, initFrom);
  }
  const tokenizer = await tokenizerOfTexts(values.tokenizerName ?? 'bpe', textsOf(known), {
    vocabSize: values.vocabSize,
    specialTokens: specialTokensOf(description),
    written: writtenTexts(description, known, templateOf(description), 'prompt'),
  });
  const model = await SequenceClassifier.create(engine, {
    ...(newModelOptions(values, given, { tokenizer }) as GPTOptions),
    labels,
    pooling,
  });
  await addAdapter(model, values);
  return model as Model;
}

/** The labels of a classifier's folder, or of an adapter's; undefined for a language model's. */
async function savedLabels(source: string, saved: TaskDescription | null): Promise<readonly string[] | undefined> {
  if (saved?.labels !== undefined) return saved.labels;
  const opened = await openClassifier(await openModelFolder((await baseOf(source)) ?? source));
  try {
    return opened.config.classifier?.labels;
  } finally {
    await opened.close();
  }
}

const scoresOf = ({ accuracy, macro, weighted, binary }: ClassificationEvaluation): Record<string, number> => ({
  accuracy,
  macroF1: macro.f1,
  weightedF1: weighted.f1,
  ...(binary === null ? {} : { f1: binary.f1 }),
});

function conclusionOf(found: ClassificationEvaluation): Conclusion {
  const scores = scoresOf(found);
  return { scores, tables: [scoreTable(scores), labelTable(found)] };
}

const LABEL_HEAD = ['label', 'precision', 'recall', 'f1', 'rows', 'predicted'];

function labelTable({ labels }: ClassificationEvaluation): ReportTable {
  const rows = labels.map(({ label, precision, recall, f1, support, predicted }) => [
    label,
    ...[precision, recall, f1].map((value) => value.toFixed(4)),
    formatCount(support),
    formatCount(predicted),
  ]);
  return { title: 'Labels on the evaluation data', head: LABEL_HEAD, rows };
}

/** A saved classifier, or one that an adapter makes of its base. */
async function openLabels(
  command: string,
  { engine, source, description: saved }: Pick<EvalContext, 'engine' | 'source' | 'description'>,
  adapter: string | undefined,
): Promise<Model> {
  const open = async (folder: string) =>
    SequenceClassifier.fromPretrained(engine, folder, { labels: await savedLabels(folder, saved), pooling: saved?.pooling });
  return withTokenizer(`${command}: "--model"`, await openSaved(source, adapter, open), source);
}

/** What `generate` does with a classifier: the label of each prompt. */
export async function classifyPrompts(
  opening: Pick<EvalContext, 'engine' | 'source' | 'description'>,
  adapter: string | undefined,
  prompts: readonly string[],
  description: TaskDescription,
): Promise<Classification[]> {
  const model = await openLabels('generate', opening, adapter);
  const template = templateOf(description);
  const ids = prompts.map((prompt) => promptIds(model, template, promptRow(description, template, prompt)));
  return model.classify(ids, { truncate: true });
}

/** `eval` of the task: loss, accuracy, F1, and how each label fares. */
export async function evaluateClassify(context: EvalContext): Promise<Measured> {
  const { output, values, given, data } = context;
  const template = templateOf(describeTask('classify', given, context.description));
  const model = await openLabels('eval', context, values.adapter);
  const { tokenizer, blockSize, labels } = model;
  const rows = await loadRows(data, values, CLASSIFY_COLUMNS);
  const dataset = new ClassificationDataset(rows, { tokenizer, blockSize, labels, template, overflow: values.overflow });
  noteReport(output, 'data', dataset.report);
  const found = await evaluateClassification(model, dataset, { batchSize: values.batchSize });
  const { predictions, loss, micro: _, examples, ...scores } = found;
  const table = labelTable(found);
  const line = `loss ${loss.toFixed(4)} nats per row, ${scoreLine(scoresOf(found))}, ${formatCount(examples)} rows`;
  // Where rows were left out, predictions are those of the others.
  const kept = dataset.length === rows.length ? rows : rows.filter((row) => isKept(model, template, row, values.overflow));
  return {
    result: {
      task: 'classify',
      loss,
      ...scoresOf(found),
      examples,
      macro: scores.macro,
      weighted: scores.weighted,
      labels: scores.labels,
      confusion: scores.confusion,
    },
    text: `${line}\n${formatTable([table.head, ...table.rows])}`,
    predictions: predictions.map(({ label, probabilities }, i) => ({
      text: template.promptText(kept[i], tokenizer).trimEnd(),
      label: String(kept[i].get('label')),
      prediction: label,
      probabilities: Object.fromEntries(labels.map((name, j) => [name, probabilities[j]])),
    })),
  };
}

function isKept(model: Model, template: Template, row: Row, overflow: string): boolean {
  const { length } = promptIds(model, template, row);
  return length > 0 && (length <= model.blockSize || overflow === 'truncate');
}
