// For tests, run as one of several child processes: for each folder name it is sent, tries to take the run lock and says whether it got it. Locks are
// held until the process ends.
import { FerroError } from '../../../errors';
import { RunLock } from '../runLock';

process.on('message', (folder: string) => {
  RunLock.acquire(folder).then(
    () => process.send?.('won'),
    (error: unknown) => process.send?.(error instanceof FerroError ? error.code : String(error)),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
