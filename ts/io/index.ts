// The io room's public names that need no file system. Node's are in ./node.

export { createSha256, sha256Hex } from '../math/sha256';
export {
  ADAPTER_CONFIG_FILE,
  type AdapterConfig,
  type AdapterContents,
  adapterToFiles,
  type LayerRank,
  type OpenedAdapter,
  openAdapter,
  type TaskType,
} from './adapterFolder';
export { classifierToFiles, type FoundClassifier, openClassifier } from './classifierFolder';
export {
  type ByteSource,
  type FileData,
  type FileProgress,
  type LazyFile,
  type OpenOptions,
  parseJsonObject,
  type ReadableFolder,
  readFolderText,
  sizeOf,
  sourceOf,
  toBlob,
  toBlobs,
} from './files';
export { type DirectoryHandle, fileListFolder, handleFolder, memoryFolder } from './folders';
export { type GgufDtype, type GgufOptions, type GgufSource, modelToGguf } from './gguf';
export { openPretrained, pretrainedToFiles } from './huggingFace';
export type { BlockValues, ModelContents, ParameterValues, SaveFormat } from './modelFiles';
export type { LoadReport, OpenedModel, OpenModelOptions, ParameterMatrix, ParameterPiece } from './modelFolder';
export { quantizedWeights, roundPieces } from './quantized';
export { SafetensorsFile, type TensorEntry, type TensorPiece } from './safetensors';
export {
  lazySafetensors,
  type RawTensor,
  type TensorData,
  type TensorSource,
  type WritableTensor,
  writeSafetensors,
} from './safetensorsWriter';
export { readTask, TASK_FILE, TASKS, type TaskDescription, type TaskName, taskFromFile, taskToFile } from './taskFile';
export { type FolderTokenizer, readTokenizer, readTokenizerFiles } from './tokenizerFolder';
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
export { modelKind, type OpenedTransformer, openTransformer, type TransformerContents, transformerToFiles } from './transformerFolder';
export { urlFolder } from './urlFolder';
