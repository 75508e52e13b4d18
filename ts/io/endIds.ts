// Which ids end a text, as a model's folder says it: generation_config.json (a number or a list), else config.json. The tokenizer's own end is not looked at here.
import { checkpointError, type OpenOptions, parseJsonObject, type ReadableFolder, readFolderText } from './files';

const FILES = ['generation_config.json', 'config.json'];

/** The end ids of a folder; none where neither file names one. Ids beyond the vocabulary are left out. @throws INVALID_CHECKPOINT for malformed JSON */
export async function readEndIds(folder: ReadableFolder, vocabSize: number, options: OpenOptions): Promise<number[]> {
  try {
    for (const file of FILES) {
      const text = await readFolderText(folder, file, options);
      const value = text === null ? null : (parseJsonObject(`${folder.label}/${file}`, text).get('eos_token_id') ?? null);
      if (value === null) continue;
      return [value].flat().filter((id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize);
    }
    return [];
  } catch (error) {
    throw checkpointError(error);
  }
}
