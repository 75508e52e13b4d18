// The state of a training loop and of its optimizer as the two files of a checkpoint, and back. What the files look like is ts/io's.
import { FerroError } from '../errors';
import {
  type FileData,
  type Json,
  OPTIMIZER_FILE,
  type OptimizerState,
  optimizerStateFromFile,
  optimizerStateToFile,
  type ReadableFolder,
  readFolderText,
  TRAINER_STATE_FILE,
  type TrainerState,
  trainerStateFromFile,
  trainerStateToFile,
  type WritableTensor,
} from '../io';

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

/** The two files. */
export function stateFiles(state: TrainerState, optimizer: OptimizerState<WritableTensor>): Map<string, FileData> {
  return new Map([
    [OPTIMIZER_FILE, optimizerStateToFile(optimizer)],
    [TRAINER_STATE_FILE, trainerStateToFile(state)],
  ]);
}

/** What `stateFiles` wrote. @throws INVALID_CHECKPOINT naming the file and what is wrong with it */
export async function readStateFiles(folder: ReadableFolder): Promise<{ state: TrainerState; optimizer: OptimizerState }> {
  const missing = (name: string) =>
    new FerroError(
      'INVALID_CHECKPOINT',
      `${folder.label}: must have ${TRAINER_STATE_FILE} and ${OPTIMIZER_FILE} to go on from, got no ${name}`,
    );
  const text = await readFolderText(folder, TRAINER_STATE_FILE);
  if (text === null) throw missing(TRAINER_STATE_FILE);
  const state = trainerStateFromFile(TRAINER_STATE_FILE, text);
  const optimizer = await folder.open(OPTIMIZER_FILE); // last: whoever opens it closes it
  if (optimizer === null) throw missing(OPTIMIZER_FILE);
  return { state, optimizer: await optimizerStateFromFile(optimizer) };
}

/**
 * What the numbers of a state must be among each other: where the data goes on follows from the updates done, and a wrong place could be any number of
 * epochs away.
 * @throws INVALID_CHECKPOINT
 */
export function checkState(state: TrainerState, folder: { label: string; step: number; windowsPerStep: number }): void {
  const wrong = (rule: string, got: number) =>
    new FerroError('INVALID_CHECKPOINT', `${folder.label}/${TRAINER_STATE_FILE}: ${rule}, got ${got}`);
  if (state.step !== folder.step) throw wrong(`"global_step" must be the folder's, ${folder.step}`, state.step);
  const consumed = folder.step * folder.windowsPerStep;
  if (state.windowsConsumed !== consumed) {
    throw wrong(`"windows_consumed" must be what ${folder.step} updates consume, ${consumed}`, state.windowsConsumed);
  }
}

/** A record as JSON holds it (undefined fields dropped). */
export function toJson(value: unknown): { [key: string]: Json } {
  return JSON.parse(JSON.stringify(value)) as { [key: string]: Json };
}
