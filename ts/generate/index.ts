// Writing text with a model: options, the loop, and the engine's side of it.
export { Conversation } from './conversation';
export { type GeneratedText, type GenerationModel, generate, generationRules } from './generate';
export { type GenerateOptions, readSampling } from './options';
export { isPrompts, type Prompt, promptIds, tokenIds } from './prompts';
export type { FinishReason, GeneratedPiece, GeneratedSequence, TokenLogProb } from './sequence';
export { GenerationSessions } from './sessions';
