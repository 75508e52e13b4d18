import { expose, wrap } from 'comlink';
import { afterAll, describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import { installErrorTransfer } from './transfer';

installErrorTransfer();
const { port1, port2 } = new MessageChannel();
const thrower = {
  async fail(): Promise<void> {
    throw new FerroError('OUT_OF_MEMORY', 'load: needs 5 bytes, got 4', {
      cause: new RangeError('grow failed', { cause: new Error('root') }),
    });
  },
  failSync(): void {
    throw new TypeError('not a function');
  },
  async failWithText(): Promise<void> {
    throw 'only text';
  },
};
expose(thrower, port1 as never);
const remote = wrap<typeof thrower>(port2 as never);
afterAll(() => {
  port1.close();
});

describe('errors across the worker boundary', () => {
  it('keep class, code, text and causes', async () => {
    const error = await remote.fail().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FerroError);
    expect(error).toMatchObject({ code: 'OUT_OF_MEMORY', message: 'load: needs 5 bytes, got 4' });
    const cause = (error as FerroError).cause as Error;
    expect(cause).toMatchObject({ name: 'RangeError', message: 'grow failed' });
    expect(cause.cause).toMatchObject({ message: 'root' });
    expect((error as Error).stack).toContain('transfer.test');
  });

  it('keep the name of foreign errors and the text of what is not an error', async () => {
    await expect(remote.failSync()).rejects.toMatchObject({ name: 'TypeError', message: 'not a function' });
    await expect(remote.failWithText()).rejects.toThrow('only text');
  });
});
