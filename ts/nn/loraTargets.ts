// Which layers of a model get a branch: the ones that may, and those among them that a list of names means, or PEFT's own choice for the architecture.
import { FerroError } from '../errors';
import { type LoraLayer, loraLayers, matchPaths } from './lora';
import type { Module } from './module';
import { Projection } from './projection';

/** PEFT's own choice of layers; it has none for torch.nn.Transformer, whose attention keeps its first projection as a bare parameter. */
const DEFAULT_TARGETS: ReadonlyMap<string, readonly string[]> = new Map([
  ['gpt2', ['c_attn']],
  ['llama', ['q_proj', 'v_proj']],
  ['transformer', ['out_proj', 'linear1', 'linear2']],
]);
const ALL = 'all-linear';

/**
 * Layers that may have a branch, by path. Heads over a vocabulary (a language model's, a sequence-to-sequence model's) are multiplied with by blocks of rows, not by the layer's own
 * forward; a weight that has its name from another layer is that layer's.
 * @param parameters names of the module's parameters
 */
export function adaptableLayers(module: Module, parameters: { has(name: string): boolean }): Map<string, LoraLayer> {
  const { lm_head, generator } = module as { lm_head?: unknown; generator?: unknown };
  const layers = loraLayers(module, new Set([lm_head, generator].filter((head) => head instanceof Projection)));
  return new Map([...layers].filter(([path]) => parameters.has(`${path}.weight`)));
}

/**
 * The paths among `possible` that `targetModules` means ('all-linear': all of them), in their order; by default the architecture's.
 * @throws INVALID_OPTION for a name that is no layer, with the nearest ones; without names for an architecture that has no choice
 */
export function targetPaths(
  op: string,
  module: Module,
  possible: readonly string[],
  targetModules: string | readonly string[] | undefined,
): string[] {
  const wanted = targetModules ?? DEFAULT_TARGETS.get(modelType(module)) ?? [];
  const names = typeof wanted === 'string' ? [wanted] : wanted;
  if (names.length === 0) throw new FerroError('INVALID_OPTION', `${op}: "targetModules" must be given for a module of your own, got none`);
  const named = names.filter((name) => name !== ALL);
  const matched = matchPaths(op, 'targetModules', named, possible);
  const targets = named.length < names.length ? [...possible] : matched;
  if (targets.length === 0) throw new FerroError('INVALID_OPTION', `${op}: the model must have linear layers, got none`);
  return targets;
}

function modelType(module: Module): string {
  const { config } = module as { config?: { modelType?: unknown } };
  return typeof config?.modelType === 'string' ? config.modelType : '';
}
