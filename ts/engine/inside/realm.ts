// A worker's view of the realm that started it, as one interface. realm.node.ts and realm.browser.ts implement it; package.json's imports entry
// "#realm" chooses. Kept apart from platform.*.ts, so that the workers' bundles hold no worker URLs (bundlers would follow them in a circle).
import type { Endpoint } from 'comlink';
import type { JoinMessage, WorkerNote } from '../protocol';

export interface Realm {
  /** The channel to the parent as Comlink wants it. */
  parent(): Endpoint;
  /** Tells the parent something outside Comlink. */
  tell(note: WorkerNote): void;
  /** Calls `listener` with the one message a thread gets from its parent. */
  onJoin(listener: (message: JoinMessage) => void): void;
  /** Lets the event loop turn once. */
  yieldToEventLoop(): Promise<void>;
}
