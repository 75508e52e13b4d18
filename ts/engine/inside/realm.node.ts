// A worker's view of its parent in Node.
import { parentPort } from 'node:worker_threads';
import type { Endpoint } from 'comlink';
import type { JoinMessage } from '../protocol';
import type { Realm } from './realm';

/** Lets the event loop turn once: messages are delivered between two immediates. */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function port() {
  if (parentPort === null) throw new Error('this script must be started as a worker');
  return parentPort;
}

export const realm: Realm = {
  // A MessagePort of Node has the browser's addEventListener; only the declared types differ.
  parent: () => port() as unknown as Endpoint,
  tell: (note) => port().postMessage(note),
  onJoin: (listener) => void port().once('message', (message: JoinMessage) => listener(message)),
  yieldToEventLoop,
};
