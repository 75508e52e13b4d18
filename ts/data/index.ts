// The data room's public names. Nothing here needs an engine; only nodeFiles.ts touches Node's file system.
export {
  type Batch,
  type BatchTensors,
  type Dataset,
  type EvalBatch,
  type ExampleDataset,
  type HostTensor,
  IGNORE_INDEX,
  isTokenDataset,
  type TokenDataset,
} from './dataset';
export { countPredictions, type EvalOptions, evalBatches } from './evalBatches';
export {
  createSampler,
  ExampleSampler,
  examplesPerEpoch,
  type Sampler,
  type SamplerOptions,
  stepsPerEpoch,
  WindowSampler,
} from './sampler';
export {
  ClassificationDataset,
  type ClassificationOptions,
  FIELD_NAMES,
  labelsOf,
  type Message,
  type Overflow,
  PreferenceDataset,
  type PreferenceOptions,
  type PreferenceReferences,
  Row,
  type RowFileOptions,
  type RowFormat,
  type RowInput,
  type RowOptions,
  readBabi,
  readRowFiles,
  readRows,
  Seq2SeqDataset,
  type Seq2SeqOptions,
  SftDataset,
  type SftOptions,
  type SplitOptions,
  splitExamples,
  type TaskReport,
  Template,
  type TemplateName,
  type TemplateOptions,
  type TemplateParts,
  type TemplateSettings,
  type TsvOptions,
} from './tasks';
export { TextDataset } from './textDataset';
export { type ReadOptions, type ReadProgress, readText, type TextSource } from './textFiles';
export { TokenArray } from './tokenArray';
