// Names that are planned and not built yet: they say so instead of being unknown.

import type { Command } from 'commander';
import { FerroError } from '../errors';

const LATER = {
  sweep: 'run many trainings over ranges of options',
} as const;

/** Adds the names; each exits with code 2. */
export function addNotBuilt(program: Command): void {
  for (const [name, purpose] of Object.entries(LATER)) {
    program
      .command(name, { hidden: true })
      .description(`${purpose} (not built yet)`)
      .allowUnknownOption()
      .allowExcessArguments()
      .action(() => {
        throw new FerroError('NOT_BUILT', `${name}: this command is not built yet`);
      });
  }
}
