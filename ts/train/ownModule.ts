// A module of a user's own as files: config.json that says what it is (no architecture anybody else computes), and its parameters. Not for GPTs,
// which go in Hugging Face's layout.
import type { BoundModule } from '../bind';
import { FerroError } from '../errors';
import { type FileData, parseJsonObject, type ReadableFolder, readFolderText, SafetensorsFile, writeSafetensors } from '../io';

/** Version of config.json's schema for modules of one's own. */
const SCHEMA_VERSION = 1;

/** What run.json and config.json say of the module. */
export function describeModule(bound: BoundModule): Record<string, unknown> {
  const parameters = Object.fromEntries(Array.from(bound.parameters, ([name, { shape }]) => [name, shape]));
  return { model_type: 'ferroformer', schema_version: SCHEMA_VERSION, module: bound.module.constructor.name, parameters };
}

/** config.json and model.safetensors. */
export async function moduleFiles(bound: BoundModule): Promise<Map<string, FileData>> {
  return new Map<string, FileData>([
    ['config.json', `${JSON.stringify(describeModule(bound), null, 2)}\n`],
    ['model.safetensors', await moduleToSafetensors(bound)],
  ]);
}

/**
 * A bound module's parameters as one safetensors file, by their names: what `safetensors.torch.load_file` reads, and `load_state_dict` takes where names
 * and layouts are torch's (`TransformerModule`, `TransformerEncoder` and their layers, `Projection`, `LayerNorm`, `Embedding`).
 */
export async function moduleToSafetensors(bound: BoundModule): Promise<Uint8Array> {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array | Int32Array }>();
  for (const [name, parameter] of bound.parameters) tensors.set(name, { shape: parameter.shape, data: await parameter.data() });
  const pieces = writeSafetensors(tensors);
  const bytes = new Uint8Array(pieces.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/**
 * Sets a bound module's parameters from the bytes of a safetensors file (F32, F16 or BF16; `safetensors.torch.save_file(model.state_dict(), …)`). All is
 * checked before anything is written.
 * @param label names the file in messages
 * @throws INVALID_CHECKPOINT for names or shapes that are not the module's; INVALID_FILE for other bytes
 */
export async function loadSafetensors(bound: BoundModule, bytes: Uint8Array, label = 'model.safetensors'): Promise<void> {
  const file = await SafetensorsFile.fromBytes(label, bytes);
  try {
    await setParameters(bound, file, label);
  } finally {
    await file.close();
  }
}

/** Puts the parameters of such a folder into a module. All is checked before anything is written. @throws INVALID_CHECKPOINT */
export async function loadModule(bound: BoundModule, folder: ReadableFolder): Promise<void> {
  const config = await readFolderText(folder, 'config.json');
  const values = config === null ? undefined : parseJsonObject(`${folder.label}/config.json`, config);
  if (values?.get('model_type') !== 'ferroformer' || values.get('schema_version') !== SCHEMA_VERSION) {
    throw new FerroError(
      'INVALID_CHECKPOINT',
      `${folder.label}: must hold a module saved by this library (schema ${SCHEMA_VERSION}), got another model`,
    );
  }
  const source = await folder.open('model.safetensors');
  if (source === null) throw new FerroError('INVALID_CHECKPOINT', `${folder.label}: must have model.safetensors, got none`);
  const file = await SafetensorsFile.open(source);
  try {
    await setParameters(bound, file, folder.label);
  } finally {
    await file.close();
  }
}

/** Copies a file's tensors into the parameters of those names, after all have been compared. */
async function setParameters(bound: BoundModule, file: SafetensorsFile, label: string): Promise<void> {
  const problems = [...bound.parameters].flatMap(([name, { shape }]) => {
    const stored = file.tensors.get(name)?.shape;
    return stored?.join() === shape.join() ? [] : [`${name} [${stored?.join(', ') ?? 'missing'}], not [${shape.join(', ')}]`];
  });
  for (const name of file.tensors.keys()) if (!bound.parameters.has(name)) problems.push(`unexpected ${name}`);
  if (problems.length > 0) {
    throw new FerroError(
      'INVALID_CHECKPOINT',
      `${label}: the tensors must be those of the module, got ${problems.slice(0, 20).join('; ')}`,
    );
  }
  for (const [name, parameter] of bound.parameters) {
    await parameter.set(parameter.variable.dtype === 'i32' ? await file.int32(name) : await file.float32(name));
  }
}
