// The public names, the same in Node and in browsers. Re-exports only: importing this starts nothing.
export { Adapter, type AdapterOptions, Adapters, adaptersOf } from './adapters';
export type { LoadAdapterOptions, SaveAdapterOptions } from './api/adaptable';
export {
  type ClassifierOptions,
  type ClassifierSaveOptions,
  type ClassifyOptions,
  type PretrainedClassifierOptions,
  SequenceClassifier,
} from './api/classifier';
export type { Classification } from './api/classify';
export { Engine, type StepFunction, type TrainStepSettings } from './api/engine';
export {
  type ClassificationEvaluation,
  type EvaluateClassificationOptions,
  evaluateClassification,
  type LabelModel,
  type LabelPrediction,
} from './api/evaluateClassification';
export { type EvaluateLossOptions, evaluateLoss } from './api/evaluateLoss';
export {
  type EvaluateTextsOptions,
  evaluateTexts,
  type TextEvaluation,
  type TextExample,
  type TextGenerator,
  type TextPrediction,
} from './api/evaluateTexts';
export { type Exported, type ExportOptions, exportModel } from './api/export';
export {
  type AddedTokens,
  type AddTokensOptions,
  type GgufExportOptions,
  GPT,
  type GPTOptions,
  type PretrainedOptions,
  type SaveOptions,
} from './api/gpt';
export { loadModel } from './api/loadModel';
export type { PretrainedSource } from './api/sources';
export {
  type SourceInput,
  Transformer,
  type TransformerGenerateOptions,
  type TransformerOptions,
  type TransformerPretrainedOptions,
  type TransformerSaveOptions,
} from './api/transformer';
export { BoundModule, Parameter } from './bind';
export {
  ClassificationDataset,
  type ClassificationOptions,
  createSampler,
  type Dataset,
  type ExampleDataset,
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
  type Sampler,
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
  TextDataset,
  type TokenDataset,
} from './data';
export { type EngineBytes, EngineHost, type EngineInfo, type EngineOptions, type EngineWarning } from './engine';
export { type ErrorCode, FerroError, REMEDIES } from './errors';
export type {
  Conversation,
  FinishReason,
  GeneratedPiece,
  GeneratedSequence,
  GeneratedText,
  GenerateOptions,
  Prompt,
  TokenLogProb,
} from './generate';
export * from './graph';
export type { FileProgress, LoadReport } from './io';
export {
  type AnswerScores,
  answerScores,
  type BleuOptions,
  type BleuScore,
  bleu,
  type ChrfOptions,
  type ChrfScore,
  type ClassificationScores,
  chrf,
  classificationScores,
  type ErrorRate,
  errorRate,
  type LabelScores,
  type PrecisionRecall,
  type References,
  type RougeScore,
  type RougeScores,
  rouge,
  TEXT_METRICS,
  type TextMetric,
  type TextScores,
  textScores,
} from './metrics';
export {
  type CausalLM,
  type ContextOptions,
  type DpoOptions,
  dpoLoss,
  estimate,
  type GPTConfig,
  type GPTConfigOptions,
  type LlamaConfig,
  type LlamaConfigOptions,
  type ModelConfig,
  type ModelType,
  PRESETS,
  type PresetName,
  Seq2Seq,
  type Seq2SeqBatch,
  type Seq2SeqConfig,
  type Seq2SeqConfigOptions,
  seq2seqLoss,
  Transformer as TransformerModule,
  TransformerDecoder,
  TransformerEncoder,
  type TransformerMasks,
  type TransformerOptions as TransformerModuleOptions,
  type TransformerStackOptions,
} from './models';
export {
  type AttentionMasks,
  Block,
  type DecoderMasks,
  Dropout,
  Embedding,
  GroupedQueryAttention,
  type HostTensor,
  LayerNorm,
  LearnedPositions,
  Linear,
  LlamaBlock,
  type Loss,
  MLP,
  Module,
  MultiHeadAttention,
  normal,
  ones,
  Projection,
  type Quantization,
  quantizeModule,
  RMSNorm,
  RotaryPositions,
  type RowLoss,
  SinusoidalPositions,
  SwiGLUMLP,
  TransformerAttention,
  type TransformerAttentionOptions,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
  uniform,
  xavierUniform,
  zeros,
} from './nn';
export { AdamW, type Optimizer, Schedule, SGD } from './optim';
export { OPTIONS, readOptions } from './options';
export { Stream } from './stream';
export {
  type AddedToken,
  BpeTokenizer,
  type BpeTrainOptions,
  ByteTokenizer,
  CharTokenizer,
  type DecodeOptions,
  type EncodeOptions,
  loadTokenizer,
  type Tokenizer,
  taskTokens,
} from './tokenizers';
export {
  type ComputeMetrics,
  type Evaluation,
  type LogEntry,
  loadSafetensors,
  moduleToSafetensors,
  type ReferenceOptions,
  type Scores,
  type StepNumbers,
  type StepResult,
  Trainer,
  type TrainerOptions,
  type TrainingResult,
  type TrainingStep,
  withReference,
} from './train';
export { VERSION } from './version';
