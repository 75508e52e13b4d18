// The field's metrics, of labels and of texts. Nothing here needs an engine, a model or a file.
export { type AnswerScores, answerScores, normalizeAnswer } from './answers';
export { type BleuOptions, type BleuScore, bleu } from './bleu';
export { type ChrfOptions, type ChrfScore, chrf } from './chrf';
export { type ClassificationScores, classificationScores, type LabelScores, type PrecisionRecall } from './classification';
export { type ErrorRate, editDistance, errorRate } from './errorRate';
export { TEXT_METRICS, type TextMetric, type TextScores, textScores } from './named';
export type { References } from './pairs';
export { ROUGE_TYPES, type RougeScore, type RougeScores, type RougeType, rouge } from './rouge';
