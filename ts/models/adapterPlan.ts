// An adapter in a plan: the branches that `addAdapter` would put beside a module's layers, without values or memory (ts/adapters has those).
import type { Variable } from '../graph';
import { adaptableLayers, LoraBranch, type Module, targetPaths } from '../nn';
import { readOptions } from '../options';

/** What of an adapter's options decides what it costs. */
export interface PlannedAdapter {
  /** Rank of the branches. Default 8. */
  rank?: number;
  /** Branches are multiplied by alpha/rank. Default: rank, which spares the product. */
  alpha?: number;
  /** Probability of dropping an input of a branch in training. Default 0. */
  dropout?: number;
  /** Layers with a branch, as `addAdapter` takes them. Default: PEFT's for the architecture. */
  targetModules?: string | readonly string[];
}

/**
 * Gives layers of a module their branches.
 * @param parameters of the module, by name
 * @returns the branches' variables by name. @throws INVALID_OPTION, UNKNOWN_OPTION
 */
export function withBranches(module: Module, parameters: { has(name: string): boolean }, options: PlannedAdapter): Map<string, Variable> {
  const names = ['rank', 'alpha', 'dropout', 'targetModules'] as const;
  const { rank, alpha = rank, dropout, targetModules } = readOptions('estimate: "adapter"', options, names);
  const layers = adaptableLayers(module, parameters);
  const trained = new Map<string, Variable>();
  for (const path of targetPaths('estimate', module, [...layers.keys()], targetModules)) {
    const layer = layers.get(path)!;
    const branch = new LoraBranch(layer, path, 'default', { rank, alpha, dropout, useRslora: false });
    layer.lora = branch;
    for (const variable of [branch.a, branch.b]) trained.set(variable.name, variable);
  }
  return trained;
}
