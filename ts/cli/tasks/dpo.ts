// The task `dpo`: a saved model learns to prefer the better of two completions (direct preference optimisation).
import { type ExampleDataset, PreferenceDataset, type Row } from '../../data';
import { FerroError } from '../../errors';
import { dpoLoss, evaluateLoss, withReference } from '../../index';
import { TASK_FILE, taskToFile } from '../../io';
import type { Loss } from '../../nn';
import { CONTEXT_OPTIONS } from '../../options';
import { pickGiven } from '../flags';
import { formatCount } from '../format';
import { quote } from '../training';
import { type EvalContext, modelToTrain, openGpt, type TrainContext, withTokenizer } from './context';
import { describeModel } from './lm';
import type { Measured } from './measured';
import { datasetsOf, heldCount, loadParts, loadRows, noteReport, sampledRow } from './rows';
import { datasetOptions, endOf, needsOf } from './sft';
import type { TaskRun } from './task';
import { describeTask, templateOf } from './texts';

const DPO_COLUMNS = ['prompt', 'chosen', 'rejected'];
const SAMPLE_TOKENS = 64;

/** A run of `train --task dpo`. The reference is the model as it is before the first step, without an adapter. */
export async function dpoTask(context: TrainContext): Promise<TaskRun> {
  const { values, given, output, before, data } = context;
  if (values.initFrom === undefined)
    throw new FerroError('INVALID_OPTION', 'train: "--task dpo" needs "--init-from", a model that was trained to answer, got none');
  const description = describeTask('dpo', given, before);
  const template = templateOf(description);
  const { train, evaluation } = await loadParts(values, data, DPO_COLUMNS);
  const model = await modelToTrain(context, [], needsOf(description));
  const options = { ...datasetOptions(model, template, description), overflow: values.overflow, groupByLength: values.groupByLength };
  const make = (rows: readonly Row[]) => new PreferenceDataset(rows, options);
  const { dataset: pairs, evalDataset: held } = datasetsOf(output, { train, evaluation }, make);
  const reference = (dataset: ExampleDataset) => withReference(model, dataset, { batchSize: values.batchSize });
  const { beta, labelSmoothing, lossType } = values;
  const canRead = (row: Row) => template.promptIds(pairs.promptRow(row), model.tokenizer).length <= model.blockSize;
  const sampled = pairs.promptRow(sampledRow(train, evaluation, canRead));
  return {
    model,
    dataset: await reference(pairs),
    evalDataset: held === null ? null : await reference(held),
    // The smoothing is the loss's, not the Trainer's.
    trainer: {
      loss: dpoLoss({ beta, labelSmoothing, lossType }) as Loss,
      labelSmoothing: 0,
      extraFiles: { [TASK_FILE]: taskToFile(description) },
    },
    rowUnits: 1,
    unit: 'examples',
    facts: [
      ['model', describeModel(model)],
      ['data', `${formatCount(pairs.report.kept)} pairs, ${heldCount(held)} to evaluate on`],
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
    next: ({ run }) => [['next', `npx ferroformer generate --model ${quote(run)} --prompt ...`]],
  };
}

/** The pairs with a reference that says nothing: what is left of the margin is the model's own. */
function unreferenced(dataset: ExampleDataset): ExampleDataset {
  return {
    length: dataset.length,
    async batch(indices) {
      const zeros = () => ({ data: new Float32Array(indices.length), shape: [indices.length] });
      return { ...(await dataset.batch(indices)), chosenReference: zeros(), rejectedReference: zeros() };
    },
  };
}

/** `eval` of the task: how often the model finds the chosen text likelier; for an adapter also the loss and the margins against the model below it. */
export async function evaluateDpo({ engine, output, values, given, source, data, description: saved }: EvalContext): Promise<Measured> {
  const description = describeTask('dpo', given, saved);
  const model = withTokenizer(
    'eval: "--model"',
    await openGpt(engine, source, pickGiven(values, ['adapter', 'quantize', ...CONTEXT_OPTIONS])),
    source,
  );
  const rows = await loadRows(data, values, DPO_COLUMNS);
  const pairs = new PreferenceDataset(rows, { ...datasetOptions(model, templateOf(description), description), overflow: values.overflow });
  noteReport(output, 'data', pairs.report);
  const measure = async (dataset: ExampleDataset) =>
    evaluateLoss(model, dataset, { batchSize: values.batchSize, loss: dpoLoss({ beta: values.beta, lossType: values.lossType }) as Loss });
  const { metrics: own = {} } = await measure(unreferenced(pairs));
  const result = {
    task: 'dpo',
    pairs: pairs.report.kept,
    pairAccuracy: own['rewards/accuracies'],
    chosenLogProb: own['logps/chosen'],
    rejectedLogProb: own['logps/rejected'],
  };
  const line = `${formatCount(result.pairs)} pairs, the chosen text likelier in ${(100 * result.pairAccuracy).toFixed(1)} %`;
  if (model.activeAdapter === null) return { result, text: line };
  const { loss, metrics = {} } = await measure(await withReference(model, pairs));
  const against = { loss, rewardAccuracy: metrics['rewards/accuracies'], rewardMargin: metrics['rewards/margins'] };
  return {
    result: { ...result, ...against },
    text: `${line}\nagainst the model below the adapter: loss ${loss.toFixed(4)}, reward accuracy ${against.rewardAccuracy.toFixed(4)}, margin ${against.rewardMargin.toFixed(4)}`,
  };
}
