// Programs as the outside sees them: a handle names a program that an engine has loaded; turning a run's names into the
// program's positions is in calls.ts.
import { FerroError } from '../../errors';
import type { Program } from '../../graph';
import type { WireBinding, WireProgram } from '../protocol';
import type { Owner, RegionRef } from './variables';

/** A program that an engine has loaded (or will load again when it is run). Made by `EngineHost.load`. */
export class ProgramHandle {
  readonly program: Program;
  /** The engine's number for it. */
  readonly id: number;
  /** The engine that loaded it. */
  readonly owner: Owner;
  /** The variables it is bound to. */
  readonly regions: readonly RegionRef[];
  /** Those among them that a run writes. */
  readonly written: readonly RegionRef[];
  /** False once unloaded. */
  live = true;

  constructor(program: Program, id: number, owner: Owner, { regions, written }: Pick<ProgramHandle, 'regions' | 'written'>) {
    this.program = program;
    this.id = id;
    this.owner = owner;
    this.regions = regions;
    this.written = written;
  }

  /** @throws FerroError INVALID_OPTION when unloaded, UNBOUND_VARIABLE when one of its variables has been released. */
  assertUsable(op: string): void {
    if (!this.live)
      throw new FerroError('INVALID_OPTION', `${op}: the program must be loaded, got "${this.program.name}", which was unloaded`);
    for (const region of this.regions) {
      if (!region.live)
        throw new FerroError('UNBOUND_VARIABLE', `${op}: "${this.program.name}" uses a variable that was released, got "${region.name}"`);
    }
  }
}

/** The message that loads a program; constants are copied, since the caller may change them later. */
export function wireProgram(program: Program, id: number, bindings: readonly WireBinding[]): WireProgram {
  return { id, name: program.name, words: program.words.slice(), bindings, arenaBytes: program.plan.arenaBytes };
}
