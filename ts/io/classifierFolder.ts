// Sequence classifiers in Hugging Face's layout: the folder of the trunk's architecture with a head `score.weight`, as GPT2ForSequenceClassification and its like have it. A
// language model's folder opens too, without a head. Pooling by the mean is not transformers', so such a folder's `model_type` is ferroformer. Opening and writing are
// modelFolder.ts's and modelFiles.ts's.
import { FerroError } from '../errors';
import type { CausalConfig, ClassifierConfig, ClassifierHead, ModelConfig } from '../models';
import type { Architecture } from './architecture';
import type { ConfigFields } from './configFields';
import type { FileData, ReadableFolder } from './files';
import { GPT2 } from './gptFolder';
import { LLAMA, MISTRAL } from './llamaFolder';
import { type ModelContents, modelToFiles, type SaveFormat } from './modelFiles';
import { type OpenedModel, type OpenModelOptions, openModel } from './modelFolder';

const HEAD = 'score.weight';
const TASK = 'sequence-classification';

/** A trunk's configuration and its head; null for a folder of a language model. */
export type FoundClassifier = ModelConfig & { readonly classifier: ClassifierHead | null };

/** The head that config.json describes. @throws NOT_BUILT for regression and several labels at once, INVALID_CHECKPOINT */
function readHead(fields: ConfigFields): ClassifierHead | null {
  const own = fields.values.get('task') === TASK;
  const architectures = fields.values.get('architectures');
  const classifies =
    Array.isArray(architectures) && architectures.some((name) => typeof name === 'string' && name.endsWith('ForSequenceClassification'));
  if (!own && !classifies) return null;
  fields.only('problem_type', 'single_label_classification', null);
  const pooling = fields.values.get('pooling') ?? 'last';
  if (pooling !== 'last' && pooling !== 'mean') throw fields.invalid('pooling', '"last" or "mean"');
  return { labels: readLabels(fields), pooling, padTokenId: readPadId(fields) };
}

/** id2label by number; without it `LABEL_0` and so on, as transformers names them. */
function readLabels(fields: ConfigFields): readonly string[] {
  const told = fields.values.get('id2label') ?? null;
  if (told === null) {
    const count = fields.optionalInteger('num_labels') ?? 2;
    if (count < 2) throw regression(fields);
    if (count > 1 << 20) throw fields.invalid('num_labels', `at most ${1 << 20}`);
    return Array.from({ length: count }, (_, i) => `LABEL_${i}`);
  }
  const rule = 'an object with a different name for each of 0 to n − 1';
  if (typeof told !== 'object' || Array.isArray(told)) throw fields.invalid('id2label', rule);
  const byId = new Map<string, unknown>(Object.entries(told));
  if (byId.size === 1) throw regression(fields);
  const labels = Array.from({ length: byId.size }, (_, i) => byId.get(String(i)));
  if (labels.length < 2 || labels.some((label) => typeof label !== 'string') || new Set(labels).size !== labels.length)
    throw fields.invalid('id2label', rule);
  return labels as string[];
}

function regression(fields: ConfigFields): FerroError {
  return new FerroError('NOT_BUILT', `${fields.name}: a classifier must have at least two labels so far, got 1 (regression)`);
}

function readPadId(fields: ConfigFields): number | null {
  const value = fields.values.get('pad_token_id');
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** What config.json says of the head; a folder of this library's own has no `architectures` to say what it is. */
function headToJson(
  { labels, pooling, padTokenId }: ClassifierHead,
  plain: Record<string, unknown>,
  own: boolean,
): Record<string, unknown> {
  return {
    ...(own ? { task: TASK, pooling } : {}),
    problem_type: 'single_label_classification',
    id2label: Object.fromEntries(labels.map((label, i) => [i, label])),
    label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
    pad_token_id: padTokenId ?? plain.pad_token_id ?? null,
  };
}

/** A language model's architecture as that of a classifier: no head over the vocabulary, one over the labels. */
function classifierOf<C extends ModelConfig>(base: Architecture<C>, name: string): Architecture<C & FoundClassifier> {
  type Found = C & FoundClassifier;
  const isOwn = (config: Found) => config.classifier?.pooling === 'mean' || base.isOwn?.(config) === true;
  return {
    ...base,
    readConfig: (fields) => ({ ...base.readConfig(fields), classifier: readHead(fields) }) as Found,
    configToJson: (config, ids) => {
      const { classifier, ...trunk } = config;
      const plain = base.configToJson(trunk as unknown as C, ids);
      return { ...plain, architectures: [name], ...headToJson(classifier!, plain, isOwn(config)) };
    },
    isOwn,
    layout: (config) => {
      const { shapes, zeros } = base.layout({ ...config, tieWordEmbeddings: true });
      const head = config.classifier;
      return { zeros, shapes: head === null ? shapes : new Map([...shapes, [HEAD, [head.labels.length, config.nEmbd]]]) };
    },
  };
}

const CLASSIFIERS = [
  classifierOf(GPT2, 'GPT2ForSequenceClassification'),
  classifierOf(LLAMA, 'LlamaForSequenceClassification'),
  classifierOf(MISTRAL, 'MistralForSequenceClassification'),
] as readonly unknown[] as readonly Architecture<CausalConfig & FoundClassifier>[];

/** Opens a classifier's folder, or a language model's: its `config.classifier` is null then, and there is no head among the parameters. @throws as `openModel`; NOT_BUILT for another kind of classifier */
export function openClassifier(folder: ReadableFolder, options: OpenModelOptions = {}): Promise<OpenedModel<FoundClassifier>> {
  return openModel(folder, CLASSIFIERS, options);
}

/** The files of a classifier's folder. @throws as `modelToFiles` */
export function classifierToFiles(contents: ModelContents<ClassifierConfig>, format?: SaveFormat): Map<string, FileData> {
  const architecture = CLASSIFIERS.find(({ modelType }) => modelType === contents.config.modelType)!;
  return modelToFiles(architecture, contents, format);
}
