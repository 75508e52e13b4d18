// Writing text with a model: options, the loop, and the engine's side of it.
export { type Context, nextContext } from './context';
export { type GeneratedPiece, type GeneratedText, type GenerationModel, generate, promptIds } from './generate';
export { type GenerateOptions, readSampling, type Sampling } from './options';
export { GenerationSession, GenerationSessions } from './session';
