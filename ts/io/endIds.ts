// Which ids end a text, as a model's folder says it: generation_config.json (a number or a list), else config.json. The tokenizer's own end is not looked at here.
import { checkpointError, type OpenOptions, parseJsonObject, type ReadableFolder, readFolderText } from './files';

const FILE = 'generation_config.json';

/**
 * The end ids of a folder; none where neither file names one. Ids beyond the vocabulary are left out.
 * @param configEnd config.json's `eos_token_id`
 * @throws INVALID_CHECKPOINT for malformed JSON
 */
export async function readEndIds(folder: ReadableFolder, configEnd: unknown, vocabSize: number, options: OpenOptions): Promise<number[]> {
  try {
    const text = await readFolderText(folder, FILE, options);
    const told = text === null ? null : (parseJsonObject(`${folder.label}/${FILE}`, text).get('eos_token_id') ?? null);
    return [told ?? configEnd]
      .flat()
      .filter((id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize);
  } catch (error) {
    throw checkpointError(error);
  }
}
