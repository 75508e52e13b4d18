// Scores that an evaluation finds beside the loss (accuracy, BLEU …), and which of them says which checkpoint is the best. Computes no score itself: ts/metrics does.
import { FerroError, show } from '../errors';
import { snakeCase } from '../options';

/** Scores by name; every value a finite number. */
export type Scores = Readonly<Record<string, number>>;

/** What `computeMetrics` of the Trainer is: called after each evaluation of the loss, with the weights of that step. */
export type ComputeMetrics = () => Scores | Promise<Scores>;

/** The number that tells checkpoints apart. */
export interface BestBy {
  /** As the log has it: `eval_loss`, `eval_accuracy` … */
  name: string;
  greaterIsBetter: boolean;
}

/** Scores of which less is better. */
const LESS_IS_BETTER = /(^|_)(loss|perplexity|error_rate|wer|cer)$/;

/** The settings' `metricForBestModel` ("accuracy" or "eval_accuracy") and its direction. */
export function bestBy(metric: string, greaterIsBetter: boolean | undefined): BestBy {
  const snake = snakeCase(metric);
  const name = snake.startsWith('eval_') ? snake : `eval_${snake}`;
  return { name, greaterIsBetter: greaterIsBetter ?? !LESS_IS_BETTER.test(name) };
}

/** Scores as the log names them: `eval_` before each, snake_case. @throws INVALID_OPTION for what is no finite number or the name of the loss */
export function logged(scores: Scores): Record<string, number> {
  return Object.fromEntries(
    Object.entries(scores).map(([key, value]) => {
      const name = `eval_${snakeCase(key)}`;
      if (typeof value !== 'number' || !Number.isFinite(value) || name === 'eval_loss') {
        throw new FerroError(
          'INVALID_OPTION',
          `computeMetrics: scores must be finite numbers by names other than "loss", got ${show(value)} as ${show(key)}`,
        );
      }
      return [name, value];
    }),
  );
}

/** The number that counts. @throws INVALID_OPTION naming those there are */
export function deciding({ name }: BestBy, evaluation: Readonly<Record<string, number>>): number {
  const value = evaluation[name];
  if (value !== undefined) return value;
  const known = Object.keys(evaluation).map((key) => JSON.stringify(key.replace(/^eval_/, '')));
  throw new FerroError(
    'INVALID_OPTION',
    `Trainer: "metricForBestModel" must be one of ${known.join(', ')}, got ${show(name.replace(/^eval_/, ''))}`,
  );
}

/** Whether a value is better than the best so far by more than the threshold. */
export function improves({ greaterIsBetter }: BestBy, value: number, best: number | null, threshold: number): boolean {
  if (best === null) return true;
  return greaterIsBetter ? value > best + threshold : value < best - threshold;
}
