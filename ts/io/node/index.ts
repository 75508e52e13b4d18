// The Node side of saving and loading. The modules can be loaded in a browser too (bundlers need no stub); their functions then throw a typed error.
export { isComplete, MANIFEST, type ManifestEntry, readManifest, repairFolder, verifyFolder, writeFolder } from './atomicFolder';
export {
  type BestPointer,
  type CheckpointRef,
  Checkpoints,
  FINAL,
  openModelFolder,
  repairRun,
  resolveModelFolder,
} from './checkpoints';
export { type FileSystem, nodeFileSystem } from './fileSystem';
export { writeGgufFile } from './ggufFile';
export { nodeFolder } from './nodeFolder';
export { clearRunFolder, isFreshRunFolder, MetricsLog, type MetricsRow, readFileText, readMetrics, writeFileAtomic } from './runFiles';
export { LOCK_FILE, RunLock } from './runLock';
