// The public names of task data: readers of rows, templates, and the data sets made of rows.
export { ClassificationDataset, type ClassificationOptions, labelsOf } from './classificationDataset';
export type { TaskReport } from './examples';
export type { Overflow, TemplateSettings } from './pairs';
export { PreferenceDataset, type PreferenceOptions, type PreferenceReferences } from './preferenceDataset';
export { type RowFileOptions, type RowFormat, type RowOptions, readBabi, readRowFiles, readRows } from './readRows';
export { Row, type RowInput } from './row';
export { Seq2SeqDataset, type Seq2SeqOptions } from './seq2seqDataset';
export { SftDataset, type SftOptions } from './sftDataset';
export type { Message } from './shapes';
export { type SplitOptions, splitExamples } from './splitExamples';
export { Template, type TemplateName, type TemplateOptions, type TemplateParts } from './template';
export { FIELD_NAMES, type TsvOptions } from './tsvRows';
