// The model folders that can be opened and written: the architectures' entry points, chosen by `model_type` and `modelType`. Nothing else is here.
import type { ModelConfig } from '../models';
import type { Architecture } from './architecture';
import type { FileData, ReadableFolder } from './files';
import { GPT2 } from './gptFolder';
import { LLAMA, MISTRAL } from './llamaFolder';
import { type ModelContents, modelToFiles, type SaveFormat } from './modelFiles';
import { type OpenedModel, type OpenModelOptions, openModel } from './modelFolder';

/** Every architecture. */
const ARCHITECTURES = [GPT2, LLAMA, MISTRAL] as readonly unknown[] as readonly Architecture<ModelConfig>[];

/** Opens a model's folder. @throws as `openModel` */
export function openPretrained(folder: ReadableFolder, options: OpenModelOptions = {}): Promise<OpenedModel<ModelConfig>> {
  return openModel(folder, ARCHITECTURES, options);
}

/** The files of a model's folder. @throws as `modelToFiles` */
export function pretrainedToFiles(contents: ModelContents<ModelConfig>, format?: SaveFormat): Map<string, FileData> {
  const architecture = ARCHITECTURES.find(({ modelType }) => modelType === contents.config.modelType)!;
  return modelToFiles(architecture, contents, format);
}
