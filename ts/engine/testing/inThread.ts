// For tests: engines in the calling thread, closed after each test.
import { EngineHost, type EngineOptions } from '../index';

const hosts: EngineHost[] = [];

/** Starts an engine in this thread that `closeAll` closes. */
export async function start(options: EngineOptions = {}): Promise<EngineHost> {
  const host = await EngineHost.start({ worker: false, ...options });
  hosts.push(host);
  return host;
}

/** Closes every engine of the test. */
export async function closeAll(): Promise<void> {
  await Promise.all(hosts.splice(0).map((host) => host.close()));
}
