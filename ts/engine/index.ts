// The engine's door: start it, give it variables and programs, run them. Everything else in this folder is private.
export type { Build, SimdChoice } from './build';
export { chooseBuild, probeSimd, SIMD_CHOICES } from './build';
export { defaultSimd } from './outside/defaultSimd';
export { EngineHost } from './outside/host';
export { ProgramHandle } from './outside/programs';
export type {
  EngineBytes,
  EngineInfo,
  EngineOptions,
  EngineWarning,
  InstructionProfile,
  Outputs,
  RunCall,
  SequenceOptions,
  SequenceRun,
} from './outside/types';
export type { ElementRange, WriteOptions } from './outside/variables';
export type { Numbers, TileSpeed } from './protocol';
