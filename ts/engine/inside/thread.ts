// The script of a compute thread: joins the engine's memory and works until it is ended. While it works its event loop stands still, so whatever
// goes wrong is told in the moment it happens: a trap is caught, the barrier poisoned (the engine's worker waits there), and the outside told.
import { realm } from '#realm';
import { toPlainError } from '../../errors';
import { PROTOCOL_VERSION, type ThreadOrder, type ThreadReply } from '../protocol';
import { withPanicText } from './failures';
import { Kernels } from './kernels';

/** What `poison` is told: the kernels keep it for their own error text. */
const POISON_TRAPPED = 1;

let kernels: Kernels | undefined;

function join(order: Extract<ThreadOrder, { kind: 'memory' }>): ThreadReply {
  try {
    kernels = new Kernels(order.module, order.memory);
    return { kind: 'joined' };
  } catch (error) {
    return { kind: 'refused', error: toPlainError(error) };
  }
}

function work(tid: number): void {
  try {
    kernels?.threadMain(tid);
  } catch (error) {
    const cause = error instanceof Error ? error : new Error(String(error));
    const secondary = cause.message.startsWith('POISONED');
    const told = secondary ? cause : withPanicText(cause, kernels);
    try {
      kernels?.poison(POISON_TRAPPED);
    } catch {
      // The outside ends all workers anyway, within moments of the next line.
    }
    realm.tell({ kind: 'died', error: toPlainError(told), secondary });
  }
}

realm.onJoin(({ port }) => {
  port.onmessage = ({ data }: MessageEvent<ThreadOrder>) => {
    if (data.kind === 'begin') work(data.tid);
    else port.postMessage(join(data));
  };
  port.onmessageerror = () => {
    const reply: ThreadReply = { kind: 'refused', error: { name: 'Error', message: 'the memory could not be received' } };
    port.postMessage(reply);
  };
  port.start();
});
realm.tell({ kind: 'ready', protocol: PROTOCOL_VERSION });
