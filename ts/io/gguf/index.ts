// Writing GGUF, the format of llama.cpp.
export { type GgufDtype, type GgufOptions, modelToGguf } from './model';
export type { GgufSource } from './parts';
