// Writing GGUF, the format of llama.cpp.
export { type GgufDtype, type GgufOptions, type GgufSource, modelToGguf } from './model';
