// An optimizer's state as a safetensors file: its tensors by name, its clock in the metadata.

import { FerroError } from '../errors';
import { sourceOf } from '../io/files';
import { openCheckpointTensors } from '../io/huggingFace';
import { writeSafetensors } from '../io/safetensors';
import type { OptimizerVariables, SavedOptimizer } from './optimizerVariables';

const FILE = 'optimizer.safetensors';

/** The state as the bytes of a safetensors file. */
export async function saveOptimizer(state: OptimizerVariables): Promise<Uint8Array> {
  const { updates, tensors } = await state.export();
  const metadata = new Map([
    ['format', 'pt'],
    ['optimizer', state.optimizer.kind],
    ['updates', String(updates)],
  ]);
  return concatenate(writeSafetensors(tensors, metadata));
}

/**
 * Puts back what `saveOptimizer` gave.
 * @param updates the clock, where the file does not say it
 * @throws INVALID_CHECKPOINT for a damaged file, CHECKPOINT_MISMATCH for one of another model or optimizer; nothing was changed then
 */
export async function loadOptimizer(state: OptimizerVariables, bytes: Uint8Array, updates: number): Promise<void> {
  const file = await openCheckpointTensors(sourceOf(FILE, bytes));
  const kind = file.metadata.get('optimizer') ?? state.optimizer.kind;
  if (kind !== state.optimizer.kind) {
    throw new FerroError('CHECKPOINT_MISMATCH', `${FILE}: must be of the optimizer ${state.optimizer.kind}, got ${kind}`);
  }
  const tensors: SavedOptimizer['tensors'] = new Map();
  for (const [name, { shape }] of file.tensors) tensors.set(name, { data: await file.float32(name), shape });
  await state.import({ updates: Number(file.metadata.get('updates') ?? updates), tensors });
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}
