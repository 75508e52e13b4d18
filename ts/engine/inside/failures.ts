// Turns what the kernels throw into the errors that users meet. A refusal comes as `CODE: text`; data that breaks a rule as KERNEL_FAULT with
// the details in fault(); everything else is the end of this engine.
import { type ErrorCode, FerroError } from '../../errors';
import type { Kernels } from './kernels';

/** The kernels' fault codes (crates/kernels/src/tile.rs): our code and the rule. */
const FAULTS: Record<number, { code: ErrorCode; rule: string }> = {
  1: { code: 'LABEL_OUT_OF_RANGE', rule: 'labels must be from 0 to the number of classes − 1, or the ignored one' },
  2: { code: 'TOKEN_OUT_OF_RANGE', rule: 'ids must be from 0 to the number of rows of the table − 1' },
  3: { code: 'NON_FINITE_LOGITS', rule: 'a row of logits must have a finite maximum' },
  4: { code: 'INVALID_SHAPE', rule: 'positions, key counts and source sequences must lie within the position table or the cache' },
};

/** True for an error after which the instance cannot be used: a trap, an exhausted stack, a poisoned barrier. */
export function endsEngine(error: unknown): boolean {
  if (error instanceof WebAssembly.RuntimeError) return true;
  if (!(error instanceof Error)) return false;
  return error.message.startsWith('POISONED') || /call stack|too much recursion/i.test(error.message);
}

/** The error to give to the caller of `op` for what the kernels threw. Our own errors pass through. */
export function explainFailure(error: unknown, op: string, kernels: Kernels | undefined): Error {
  if (error instanceof FerroError) return error;
  if (endsEngine(error)) return diedOf(error as Error, op, kernels);
  const refusal = error instanceof Error ? /^(OUT_OF_MEMORY|BAD_PROGRAM|KERNEL_FAULT|BUSY): ([\s\S]*)$/.exec(error.message) : null;
  if (refusal === null) return error instanceof Error ? error : new Error(String(error));
  const [, code, text] = refusal;
  if (code === 'KERNEL_FAULT' && kernels !== undefined) return explainFault(kernels.fault(), text, op);
  return new FerroError(code === 'OUT_OF_MEMORY' ? 'OUT_OF_MEMORY' : 'BAD_PROGRAM', `${op}: ${text}`, { cause: error });
}

function explainFault([code, at, value]: Int32Array, text: string, op: string): FerroError {
  const known = FAULTS[code];
  if (known === undefined) return new FerroError('BAD_PROGRAM', `${op}: ${text}`);
  const got = known.code === 'NON_FINITE_LOGITS' ? `none in row ${at >>> 0}` : `${value} at position ${at >>> 0}`;
  return new FerroError(known.code, `${op}: ${known.rule}, got ${got}`);
}

function diedOf(error: Error, op: string, kernels: Kernels | undefined): FerroError {
  return new FerroError('ENGINE_DIED', `${op}: the kernels failed: ${error.message}`, { cause: withPanicText(error, kernels) });
}

/** The trap, below an error with the panic's text when there was a panic (the trap itself says only 'unreachable'). */
export function withPanicText(error: Error, kernels: Kernels | undefined): Error {
  let text = '';
  try {
    text = kernels?.panicText() ?? '';
  } catch {
    // The instance has trapped; when it cannot even say why, the trap's own text has to do.
  }
  return text === '' || error.message.includes(text) ? error : new Error(`${error.message}: ${text}`, { cause: error });
}
