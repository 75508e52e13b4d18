// The state of a training loop and of its optimizer as the two files of a checkpoint, and back. What the files look like is ts/io's.
import { FerroError } from '../errors';
import {
  type Json,
  OPTIMIZER_FILE,
  type OptimizerState,
  optimizerStateFromFile,
  optimizerStateToFile,
  sourceOf,
  TRAINER_STATE_FILE,
  type TrainerState,
  trainerStateFromFile,
  trainerStateToFile,
} from '../io';
import type { SavedOptimizer } from '../optim';

/** The state before the first update. */
export function freshState(seed: number): TrainerState {
  return {
    step: 0,
    windowsConsumed: 0,
    epoch: 0,
    tokensSeen: 0,
    seed,
    options: {},
    dataHash: null,
    tokenizerHash: null,
    engine: {},
    bestMetric: null,
    bestModelCheckpoint: null,
    evaluationsWithoutImprovement: 0,
    logHistory: [],
  };
}

/** Names of optimizer variables: `optimizer.<slot>.<parameter>`. */
const VARIABLE = /^optimizer\.([^.]+)\.(.+)$/;

/** The two files. */
export function stateFiles(state: TrainerState, kind: string, saved: SavedOptimizer): Map<string, string | Uint8Array | readonly Uint8Array[] | Blob> {
  const slots = new Map<string, Map<string, { data: Float32Array; shape: readonly number[] }>>();
  for (const [name, tensor] of saved.tensors) {
    const match = VARIABLE.exec(name);
    if (match === null) throw new FerroError('INVALID_CHECKPOINT', `save: optimizer tensors must be named optimizer.slot.parameter, got ${name}`);
    const [, slot, parameter] = match;
    slots.set(slot, (slots.get(slot) ?? new Map()).set(parameter, tensor));
  }
  return new Map([
    [OPTIMIZER_FILE, optimizerStateToFile({ kind, step: saved.updates, slots } as OptimizerState)],
    [TRAINER_STATE_FILE, trainerStateToFile(state)],
  ]);
}

/** What `stateFiles` wrote. @throws INVALID_CHECKPOINT, CHECKPOINT_MISMATCH for another optimizer */
export async function readStateFiles(files: ReadonlyMap<string, Uint8Array>, kind: string): Promise<{ state: TrainerState; saved: SavedOptimizer }> {
  const [trainer, optimizer] = [TRAINER_STATE_FILE, OPTIMIZER_FILE].map((name) => {
    const bytes = files.get(name);
    if (bytes === undefined) throw new FerroError('INVALID_CHECKPOINT', `resume: the checkpoint must have ${name}, got none`);
    return bytes;
  });
  const state = trainerStateFromFile(TRAINER_STATE_FILE, new TextDecoder().decode(trainer));
  const stored = await optimizerStateFromFile(sourceOf(OPTIMIZER_FILE, optimizer));
  if (stored.kind !== kind) throw new FerroError('CHECKPOINT_MISMATCH', `resume: the optimizer must be ${kind}, got ${stored.kind}`);
  const tensors: SavedOptimizer['tensors'] = new Map();
  for (const [slot, values] of stored.slots) {
    for (const [parameter, { data, shape }] of values) tensors.set(`optimizer.${slot}.${parameter}`, { data: data as Float32Array, shape });
  }
  return { state, saved: { updates: stored.step, tensors } };
}

/** A record as JSON holds it (undefined fields dropped). */
export function toJson(value: unknown): { [key: string]: Json } {
  return JSON.parse(JSON.stringify(value)) as { [key: string]: Json };
}
