// The receiving end of a sequence's values: one message each over a MessagePort of its own.
import type { Numbers } from '../protocol';

/** A stream being received. */
export interface ValueStream {
  /** The end to send away. */
  readonly port: MessagePort;
  /** What the callback threw, if it did; later values are then dropped. */
  readonly failure: { thrown: unknown } | undefined;
  /** Resolves when `count` values have arrived: the answer to a call can overtake values on another channel. */
  received(count: number): Promise<void>;
  close(): void;
}

/** Calls `onValue` for each value in order, and `onFailure` once when it throws. */
export function receiveValues(onValue: (value: Numbers, index: number) => void, onFailure: () => void): ValueStream {
  const { port1, port2 } = new MessageChannel();
  let arrived = 0;
  let expected = Number.POSITIVE_INFINITY;
  let complete = () => {};
  let failure: { thrown: unknown } | undefined;
  port1.onmessage = (event: MessageEvent<Numbers>) => {
    const index = arrived++;
    if (failure === undefined) {
      try {
        onValue(event.data, index);
      } catch (thrown) {
        failure = { thrown };
        onFailure();
      }
    }
    if (arrived >= expected) complete();
  };
  return {
    port: port2,
    get failure() {
      return failure;
    },
    received: (count) =>
      new Promise((resolve) => {
        expected = count;
        complete = resolve;
        if (arrived >= expected) resolve();
      }),
    close: () => port1.close(),
  };
}
