// An engine in the calling thread (`worker: false`): the same inside, called directly. One thread; it lets the event loop turn between
// slices, so timers and aborts are heard, but a long instruction holds the caller up.
import { FerroError, throwIfAborted } from '../../errors';
import { createEngineApi } from '../inside/api';
import type { Connection, ConnectionRequest } from './connection';
import { DeathWatch } from './death';

/** The self-test holds the caller up, though it lets the event loop turn between bursts. */
const SELF_TEST = { usualMs: 100, mostMs: 100 };

/** Starts an engine here. @throws FerroError ENGINE_START_FAILED, OUT_OF_MEMORY, ABORTED */
export async function openInThread(request: ConnectionRequest): Promise<Connection> {
  const { platform, module, maxMemoryBytes, tile, signal } = request;
  throwIfAborted(signal, 'Engine.start');
  const engine = createEngineApi(() => platform.yieldToEventLoop());
  const { api } = engine;
  const report = await api.start({ module, ports: [], maxMemoryBytes, tile, selfTest: SELF_TEST }).catch((error: unknown) => {
    if (error instanceof FerroError && error.code !== 'ENGINE_DIED') throw error;
    throw new FerroError('ENGINE_START_FAILED', `Engine.start: ${(error as Error).message}`, { cause: error });
  });
  const watch = new DeathWatch((cause) => connection.onDeath(cause));
  const connection: Connection = {
    api,
    report,
    workers: 0,
    onDeath: () => {},
    reportDeath: (cause, secondary) => watch.report(cause, secondary),
    abort: (token) => void api.abort(token),
    setBusy: () => {},
    terminate: () => {
      watch.stop();
      engine.dispose();
      return Promise.resolve();
    },
  };
  return connection;
}
