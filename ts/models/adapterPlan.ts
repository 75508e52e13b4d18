// An adapter in a plan: the branches that `addAdapter` would put beside a module's layers, without values or memory (ts/adapters has those).
import { FerroError, show } from '../errors';
import type { Variable } from '../graph';
import { adaptableLayers, LoraBranch, type Module, targetPaths } from '../nn';
import { checkNames, namesOf } from '../options';

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

const OPTIONS = namesOf<PlannedAdapter>({ rank: true, alpha: true, dropout: true, targetModules: true });

/**
 * Gives layers of a module their branches.
 * @param parameters of the module, by name
 * @returns the branches' variables by name. @throws INVALID_OPTION, UNKNOWN_OPTION
 */
export function withBranches(module: Module, parameters: { has(name: string): boolean }, options: PlannedAdapter): Map<string, Variable> {
  checkNames('estimate: "adapter"', options, OPTIONS);
  const { rank = 8, alpha = rank, dropout = 0, targetModules } = options;
  if (!Number.isInteger(rank) || rank < 1)
    throw new FerroError('INVALID_OPTION', `estimate: "adapter": rank must be a positive integer, got ${show(rank)}`);
  if (!(typeof alpha === 'number' && alpha > 0 && alpha < Infinity))
    throw new FerroError('INVALID_OPTION', `estimate: "adapter": alpha must be a positive number, got ${show(alpha)}`);
  if (!(typeof dropout === 'number' && dropout >= 0 && dropout < 1))
    throw new FerroError('INVALID_OPTION', `estimate: "adapter": dropout must be a number from 0 to below 1, got ${show(dropout)}`);
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
