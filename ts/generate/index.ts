// Writing text with a model: options, the loop, and the engine's side of it.
export { type Context, nextContext } from './context';
export { Conversation } from './conversation';
export { type GeneratedText, type GenerationModel, generate, generationRules } from './generate';
export { type GenerateOptions, readSampling, type Sampling } from './options';
export { isPrompts, type Prompt, promptIds } from './prompts';
export type { FinishReason, GeneratedPiece, GeneratedSequence, TokenLogProb } from './sequence';
export { GenerationSession } from './session';
export { GenerationSessions } from './sessions';
