// Weights with an adapter added to them, one tensor at a time, without an engine: for writing a merged model.
import type { OpenedAdapter } from '../io';
import { addBranch, Linear, type Module, nameModules } from '../nn';
import { partsOf } from './choose';

/**
 * Gives a function from a parameter's name and values to its values with the adapter: W + scale·B·A for a layer with a branch, the adapter's own for a module that was
 * trained whole, else what it was given. The array may be changed in place.
 * @param module of the base model; only its names and shapes count
 * @throws ADAPTER_MISMATCH at once
 */
export function adapterMerger(module: Module, opened: OpenedAdapter): (name: string, values: Float32Array) => Promise<Float32Array> {
  const parameters = new Map(
    [...nameModules(module)].filter(([, { derived }]) => !derived).map(([name, variable]) => [name, { variable }] as const),
  );
  const { config, parts } = partsOf({ module, parameters }, opened);
  return async (name, values) => {
    if (parts.saved.has(name)) return opened.readSaved(name);
    const path = name.replace(/\.weight$/, '');
    const found = path === name ? undefined : parts.layers.get(path);
    if (found === undefined) return values;
    const { layer, ranks } = found;
    const factor = ranks.alpha / (config.useRslora ? Math.sqrt(ranks.rank) : ranks.rank);
    const [a, b] = [await opened.readA(path), await opened.readB(path)];
    const [rows, columns] = [layer.outFeatures, layer.inFeatures];
    addBranch(values, a, b, { rows, columns, rank: ranks.rank, factor, transposed: layer instanceof Linear });
    return values;
  };
}
