// Which ids end a text, as a model's folder says it: generation_config.json (a number or a list), else config.json. The tokenizer's own end is not looked at here.
import { checkpointError, parseJsonObject } from './files';

/**
 * The end ids of a folder; none where neither file names one. Ids beyond the vocabulary are left out.
 * @param name generation_config.json, for messages; `text` is null where there is none
 * @param configEnd config.json's `eos_token_id`
 * @throws INVALID_CHECKPOINT for malformed JSON
 */
export function endIdsOf(name: string, text: string | null, configEnd: unknown, vocabSize: number): number[] {
  try {
    const told = text === null ? null : (parseJsonObject(name, text).get('eos_token_id') ?? null);
    return [told ?? configEnd]
      .flat()
      .filter((id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize);
  } catch (error) {
    throw checkpointError(error);
  }
}
