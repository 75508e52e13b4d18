// Metrics of generated texts by name, as the command line and the evaluation of a model ask for them: names in, one flat record of numbers out.
import { answerScores } from './answers';
import { type BleuScore, bleu } from './bleu';
import { type ChrfScore, chrf } from './chrf';
import { errorRate } from './errorRate';
import type { References } from './pairs';
import { rouge } from './rouge';

/** Names of metrics: SQuAD's two, BLEU, chrF and chrF++, ROUGE (F of its four kinds), word and character error rate. */
export const TEXT_METRICS = ['exact_match', 'f1', 'bleu', 'chrf', 'chrf++', 'rouge', 'wer', 'cer'] as const;
export type TextMetric = (typeof TEXT_METRICS)[number];

/** The asked-for numbers; BLEU and chrF from 0 to 100, the others from 0 to 1 (error rates may exceed it). */
export interface TextScores {
  exactMatch?: number;
  f1?: number;
  bleu?: number;
  chrf?: number;
  chrfPlusPlus?: number;
  rouge1?: number;
  rouge2?: number;
  rougeL?: number;
  rougeLsum?: number;
  wordErrorRate?: number;
  characterErrorRate?: number;
  /** How BLEU and chrF were computed. */
  signatures?: Record<string, string>;
}

/** Scores texts by the metrics of these names. @throws EMPTY_DATA, INVALID_OPTION */
export function textScores(names: readonly TextMetric[], predictions: readonly string[], references: References): TextScores {
  const scores: TextScores = {};
  const signatures: Record<string, string> = {};
  const sign = (name: string, { signature }: BleuScore | ChrfScore): void => {
    signatures[name] = signature;
  };
  for (const name of names) {
    if (name === 'exact_match') scores.exactMatch = answerScores(predictions, references).exactMatch;
    else if (name === 'f1') scores.f1 = answerScores(predictions, references).f1;
    else if (name === 'wer') scores.wordErrorRate = errorRate(predictions, references).rate;
    else if (name === 'cer') scores.characterErrorRate = errorRate(predictions, references, { unit: 'character' }).rate;
    else if (name === 'rouge') {
      const { rouge1, rouge2, rougeL, rougeLsum } = rouge(predictions, references);
      Object.assign(scores, {
        rouge1: rouge1.fmeasure,
        rouge2: rouge2.fmeasure,
        rougeL: rougeL.fmeasure,
        rougeLsum: rougeLsum.fmeasure,
      });
    } else if (name === 'bleu') {
      const result = bleu(predictions, references);
      scores.bleu = result.score;
      sign('bleu', result);
    } else {
      const result = chrf(predictions, references, { wordOrder: name === 'chrf++' ? 2 : 0 });
      scores[name === 'chrf++' ? 'chrfPlusPlus' : 'chrf'] = result.score;
      sign(name === 'chrf++' ? 'chrfPlusPlus' : 'chrf', result);
    }
  }
  return Object.keys(signatures).length > 0 ? { ...scores, signatures } : scores;
}
