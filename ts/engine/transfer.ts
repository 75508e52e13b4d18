// Comlink's own handler for thrown values keeps name, text and stack only; this one keeps class, code and causes too. Both sides install it.
import { type TransferHandler, transferHandlers } from 'comlink';
import { fromPlainError, type PlainError, toPlainError } from '../errors';

/** What Comlink hands to the 'throw' handler; its marker is not exported, so the handler it replaces is asked whether it applies. */
interface Thrown {
  value: unknown;
}

let installed = false;

/** Installs the handler in this realm. */
export function installErrorTransfer(): void {
  if (installed) return;
  installed = true;
  const original = transferHandlers.get('throw')!;
  const handler: TransferHandler<Thrown, PlainError> = {
    canHandle: (value): value is Thrown => original.canHandle(value),
    serialize: ({ value }) => [toPlainError(value), []],
    deserialize: (plain) => {
      throw fromPlainError(plain);
    },
  };
  transferHandlers.set('throw', handler as TransferHandler<unknown, unknown>);
}
