// How the command line ends: the exit codes and which error means which.

import type { ErrorCode } from '../errors';

/** 0 done, 1 failed, 2 wrong usage, 130 interrupted after a checkpoint was saved. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

const USAGE: ReadonlySet<string> = new Set<ErrorCode>(['INVALID_OPTION', 'UNKNOWN_OPTION', 'RUN_EXISTS', 'NOT_BUILT']);

/** The exit code for an error that reached the top. Errors are known by their code: they may come from another copy of the library. */
export function exitCodeOf(error: unknown): number {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && USAGE.has(code) ? EXIT.usage : EXIT.failed;
}

/** An error as the terminal shows it: its code and text, the causes below; the stack only when FERRO_DEBUG is set. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`;
  if (process.env.FERRO_DEBUG) return `error: ${error.stack ?? error.message}`;
  const { code } = error as { code?: unknown };
  const lines = [`error${typeof code === 'string' ? ` ${code}` : ''}: ${error.message}`];
  let cause = error.cause;
  for (let depth = 0; cause instanceof Error && depth < 5; depth++) {
    lines.push(`  cause: ${cause.message}`);
    cause = cause.cause;
  }
  return lines.join('\n');
}
