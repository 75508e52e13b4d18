// The io room's public names that need no file system. Node's are in ./node.

export { createSha256, sha256Hex } from '../math/sha256';
export {
  type ByteSource,
  type FileData,
  type FileProgress,
  type OpenOptions,
  parseJsonObject,
  type ReadableFolder,
  readFolderText,
  sourceOf,
  toBlob,
  toBlobs,
} from './files';
export { type DirectoryHandle, fileListFolder, handleFolder, memoryFolder, urlFolder } from './folders';
export { gptConfigFromJson, gptConfigToJson } from './gptConfigFile';
export { type GptContents, gptTensorShapes, gptToFiles, type OpenedGpt, openGpt } from './huggingFace';
export { SafetensorsFile, type TensorData, type TensorEntry, writeSafetensors } from './safetensors';
export {
  type Json,
  OPTIMIZER_FILE,
  type OptimizerState,
  optimizerStateFromFile,
  optimizerStateToFile,
  TRAINER_STATE_FILE,
  type TrainerState,
  trainerStateFromFile,
  trainerStateToFile,
} from './trainingState';
