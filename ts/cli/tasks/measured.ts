// What `eval` gets from a task: the result for machines and for people, and the predictions where there are any.
import type { COMMAND_OPTIONS, OptionValues } from '../../options';

/** The checked options of `eval`. */
export type EvalValues = OptionValues<(typeof COMMAND_OPTIONS.eval)[number]>;

/** What a task measured. */
export interface Measured {
  /** For --json. */
  result: Record<string, unknown>;
  /** For people. */
  text: string;
  /** One object per example, for --predictions; absent where nothing is predicted example by example. */
  predictions?: readonly Record<string, unknown>[];
}
