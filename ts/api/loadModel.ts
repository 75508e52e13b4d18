// Loads a folder whatever kind of model it holds: for callers that are given a path and only want text from it, as the command line is.
import { FerroError, show } from '../errors';
import { modelKind } from '../io';
import type { Engine } from './engine';
import { GPT, type PretrainedOptions } from './gpt';
import { type PretrainedSource, sourceFolder } from './sources';
import { Transformer } from './transformer';

/**
 * A model from a folder: a GPT from Hugging Face's layout (or in int8 blocks), a Transformer from its own.
 * @param options `quantize` is for a GPT alone
 * @throws as `GPT.fromPretrained` and `Transformer.fromPretrained`; NOT_BUILT for a kind that is neither
 */
export async function loadModel(engine: Engine, source: PretrainedSource, options: PretrainedOptions = {}): Promise<GPT | Transformer> {
  const { signal } = options;
  const list = typeof source === 'object' && source !== null && Symbol.iterator in source ? [...source] : source; // an iterator can be read once
  const kind = await modelKind(await sourceFolder('loadModel', list, signal), { signal });
  if (kind === 'causal') return GPT.fromPretrained(engine, list, options);
  if (kind !== 'transformer')
    throw new FerroError('NOT_BUILT', `loadModel: the architecture must be a causal model's or "transformer", got ${show(kind)}`);
  const { quantize, ...rest } = options;
  if (quantize !== undefined)
    throw new FerroError('NOT_SUPPORTED', `loadModel: "quantize" is for causal models, got ${show(quantize)} with a Transformer`);
  return Transformer.fromPretrained(engine, list, rest);
}
