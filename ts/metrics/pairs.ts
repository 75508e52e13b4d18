// What every metric of texts starts from: as many references as predictions, each one text or several right ones. Computes nothing.
import { FerroError, show } from '../errors';

/** The right text of each prediction; a list where several are right. */
export type References = readonly (string | readonly string[])[];

/** A prediction and the texts that would be right, at least one. */
export interface Pair {
  prediction: string;
  references: readonly string[];
}

/**
 * Predictions and references side by side.
 * @throws EMPTY_DATA without any; INVALID_OPTION for another number of references, an empty list of them, or what is no text
 */
export function pairsOf(op: string, predictions: readonly string[], references: References): Pair[] {
  if (predictions.length !== references.length) {
    throw new FerroError(
      'INVALID_OPTION',
      `${op}: there must be as many references as predictions, got ${references.length} and ${predictions.length}`,
    );
  }
  if (predictions.length === 0) throw new FerroError('EMPTY_DATA', `${op}: there must be something to score, got nothing`);
  return predictions.map((prediction, i) => {
    const given = references[i];
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    if (typeof prediction !== 'string' || list.length === 0 || !list.every((one) => typeof one === 'string')) {
      const wrong = typeof prediction !== 'string' ? prediction : given;
      throw new FerroError('INVALID_OPTION', `${op}: predictions and references must be texts, got ${show(wrong)} at ${i}`);
    }
    return { prediction, references: list as readonly string[] };
  });
}

/** The mean of at least one number. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
