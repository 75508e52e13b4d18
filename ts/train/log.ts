// One line of a run's log: Hugging Face's words (trainer_state.json's log_history) plus tokens_per_second. metrics.jsonl holds the same lines.

/** What is logged of one step. */
export interface LogEntry {
  [key: string]: number | undefined;
  step: number;
  epoch: number;
  loss?: number;
  grad_norm?: number;
  learning_rate?: number;
  tokens_per_second?: number;
  eval_loss?: number;
}
