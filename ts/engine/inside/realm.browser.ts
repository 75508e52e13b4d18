// A worker's view of its parent in a browser.
import type { Endpoint } from 'comlink';
import type { JoinMessage } from '../protocol';
import type { Realm } from './realm';

/** Lets the event loop turn once. A message to oneself, because nested timers wait at least 4 ms and are slowed down in hidden pages. */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** The worker's own global, which the DOM library types as a window. */
function scope(): Endpoint {
  return globalThis as unknown as Endpoint;
}

export const realm: Realm = {
  parent: scope,
  tell: (note) => scope().postMessage(note),
  onJoin: (listener) => scope().addEventListener('message', (event) => listener((event as MessageEvent<JoinMessage>).data)),
  yieldToEventLoop,
};
