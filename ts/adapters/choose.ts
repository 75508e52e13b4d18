// Which layers of a module an adapter changes: from a user's options, or from a folder that is compared with the module name by name. Nothing is allocated.
import { FerroError, show } from '../errors';
import type { Variable } from '../graph';
import type { AdapterConfig, OpenedAdapter, TaskType } from '../io';
import { adaptableLayers, isLoraLayer, type LoraLayer, type Module, matchPaths, targetPaths } from '../nn';
import { type AdapterParts, plainShapeOf } from './adapter';

/** Options of `addAdapter`. */
export interface AdapterOptions {
  /** What it is called. Default 'default'. */
  name?: string;
  /** Rank of the branches. Default 8. */
  rank?: number;
  /** Branches are multiplied by alpha/rank. Default: rank. */
  alpha?: number;
  /** Probability of dropping an input of a branch in training. Default 0. */
  dropout?: number;
  /**
   * Layers with a branch: names as PEFT takes them, the whole path or its end ('c_attn', 'attn.c_proj', with * for any text), or 'all-linear': every linear layer but
   * the head. Default as PEFT's: c_attn for GPT-2's architecture, q_proj and v_proj for Llama's; out_proj, linear1 and linear2 for torch.nn.Transformer's.
   */
  targetModules?: string | readonly string[];
  /** Modules that are trained whole and saved with the adapter, such as 'score'. Default: none; a classifier's head. */
  modulesToSave?: readonly string[];
  /** Multiply by alpha/√rank instead (Kalajdzievski 2023). Default false. */
  useRslora?: boolean;
  /** Seed of A's initial values. Default 42. */
  seed?: number;
  signal?: AbortSignal;
}

/** The options with their defaults, read and checked. */
export interface AdapterValues {
  rank: number;
  alpha: number | undefined;
  dropout: number;
  targetModules: string | readonly string[] | undefined;
  modulesToSave: readonly string[] | undefined;
  useRslora: boolean;
}

/** What is written into an adapter's files about its model. */
export interface AdapterOrigin {
  taskType: TaskType | null;
  /** Folder or address of the base model. */
  baseModel: string | null;
}

/** A module with its own parameters by name; a bound module is one. */
export interface AdaptedModule {
  readonly module: Module;
  readonly parameters: ReadonlyMap<string, { readonly variable: Variable }>;
}

/** What an adapter will be. */
export interface ChosenAdapter {
  config: AdapterConfig;
  parts: AdapterParts;
}

/** The head that PEFT trains whole for a classifier. */
const CLASSIFIER_HEAD = 'score';

/** The parts that options ask for. @throws INVALID_OPTION for a name that is no layer of the module, with the nearest ones */
export function chooseParts(bound: AdaptedModule, values: AdapterValues, origin: AdapterOrigin): ChosenAdapter {
  const { rank, alpha = rank, dropout, useRslora } = values;
  const layers = adaptableLayers(bound.module, bound.parameters);
  const saved = savedParts(bound, values.modulesToSave ?? defaultSaved(bound, origin));
  const possible = [...layers.keys()].filter((path) => !isBelow(saved.paths, path));
  const targets = targetPaths('addAdapter', bound.module, possible, values.targetModules);
  const ranks = { rank, alpha };
  return {
    config: { rank, alpha, dropout, useRslora, ...origin },
    parts: {
      layers: new Map(targets.map((path) => [path, { layer: layers.get(path)!, ranks }])),
      saved: saved.parameters,
      targetModules: shortNames(targets, [...layers.keys()]),
      modulesToSave: shortNames([...saved.paths], modulePaths(bound.module)),
    },
  };
}

/** The parts of an opened folder. @throws ADAPTER_MISMATCH listing every name and shape that is not the module's */
export function partsOf(bound: AdaptedModule, opened: OpenedAdapter): ChosenAdapter {
  const layers = adaptableLayers(bound.module, bound.parameters);
  const problems: string[] = [];
  const chosen = new Map<string, { layer: LoraLayer; ranks: { rank: number; alpha: number } }>();
  for (const [path, { rank, alpha, a, b }] of opened.layers) {
    const layer = layers.get(path);
    if (layer === undefined) {
      problems.push(`${path} [${a ?? b}], which is no linear layer of the model`);
      continue;
    }
    if (a?.join() !== [rank, layer.inFeatures].join()) problems.push(`${path}.lora_A ${list(a)}, not [${rank}, ${layer.inFeatures}]`);
    if (b?.join() !== [layer.outFeatures, rank].join()) problems.push(`${path}.lora_B ${list(b)}, not [${layer.outFeatures}, ${rank}]`);
    if (rank < 1) problems.push(`${path} of rank ${rank}`);
    if (opened.saved.has(`${path}.weight`)) problems.push(`${path} both with a branch and whole`);
    chosen.set(path, { layer, ranks: { rank, alpha } });
  }
  const saved = openedSaved(bound, opened, problems);
  if (chosen.size === 0 && saved.parameters.size === 0 && problems.length === 0) problems.push('no tensors');
  if (problems.length > 0) throw mismatch(opened.label, problems);
  // In the model's order, as a new adapter has them: sums over all gradients then have the same bits.
  const paths = [...layers.keys()].filter((path) => chosen.has(path));
  return {
    config: opened.config,
    parts: {
      layers: new Map(paths.map((path) => [path, chosen.get(path)!])),
      saved: saved.parameters,
      targetModules: shortNames(paths, [...layers.keys()]),
      modulesToSave: shortNames([...saved.paths], modulePaths(bound.module)),
    },
  };
}

function mismatch(label: string, problems: readonly string[]): FerroError {
  const shown = problems.slice(0, 20).join('; ');
  const more = problems.length > 20 ? `; and ${problems.length - 20} more` : '';
  return new FerroError('ADAPTER_MISMATCH', `${label}: the adapter must fit the model, got ${shown}${more}`);
}

const list = (shape: readonly number[] | undefined): string => (shape === undefined ? 'missing' : `[${shape.join(', ')}]`);

interface Saved {
  /** Paths of the modules. */
  paths: ReadonlySet<string>;
  parameters: AdapterParts['saved'];
}

function savedParts(bound: AdaptedModule, names: readonly string[]): Saved {
  const paths = new Set(names.length === 0 ? [] : matchPaths('addAdapter', 'modulesToSave', names, modulePaths(bound.module)));
  const inside = [...bound.parameters.keys()].filter((name) => isBelow(paths, name));
  for (const path of paths) {
    if (inside.some((name) => name.startsWith(`${path}.`))) continue;
    throw new FerroError('INVALID_OPTION', `addAdapter: "modulesToSave" must name modules with parameters of their own, got ${show(path)}`);
  }
  return { paths, parameters: parametersOf(bound, inside) };
}

/** Whether a path, or that of a module above it, is among `paths`. */
function isBelow(paths: ReadonlySet<string>, path: string): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf('.', end - 1)) if (paths.has(path.slice(0, end))) return true;
  return false;
}

/** Every parameter in the file must be one of the module's, and those of one module come together. */
function openedSaved(bound: AdaptedModule, opened: OpenedAdapter, problems: string[]): Saved {
  const names = [...bound.parameters.keys()].filter((name) => opened.saved.has(name));
  for (const [name, shape] of opened.saved) if (!bound.parameters.has(name)) problems.push(`unexpected ${name} ${list(shape)}`);
  const paths = new Set(names.map(parentOf));
  for (const [name] of bound.parameters) if (paths.has(parentOf(name)) && !opened.saved.has(name)) problems.push(`missing ${name}`);
  const parameters = parametersOf(bound, names);
  for (const [name, { base, owner }] of parameters) {
    const [shape, needed] = [opened.saved.get(name)!, plainShapeOf(base, owner)];
    if (shape.join() !== needed.join()) problems.push(`${name} ${list(shape)}, not [${needed.join(', ')}]`);
  }
  return { paths, parameters };
}

function parametersOf(bound: AdaptedModule, names: readonly string[]): AdapterParts['saved'] {
  const modules = bound.module.namedModules();
  return new Map(
    names.map((name) => {
      const owner = modules.get(parentOf(name));
      return [name, { base: bound.parameters.get(name)!.variable, owner: owner !== undefined && isLoraLayer(owner) ? owner : undefined }];
    }),
  );
}

const parentOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf('.')));

const modulePaths = (module: Module): string[] => [...module.namedModules().keys()].filter((path) => path !== '');

function defaultSaved(bound: AdaptedModule, { taskType }: AdapterOrigin): readonly string[] {
  return taskType === 'SEQ_CLS' && bound.module.namedModules().has(CLASSIFIER_HEAD) ? [CLASSIFIER_HEAD] : [];
}

/** The last parts of paths where these mean the same paths among `all`, else the paths: what PEFT's files usually hold. */
function shortNames(paths: readonly string[], all: readonly string[]): string[] {
  const ends = [...new Set(paths.map((path) => path.slice(path.lastIndexOf('.') + 1)))].sort();
  const meant = all.filter((path) => ends.some((end) => path === end || path.endsWith(`.${end}`)));
  return meant.length === paths.length ? ends : [...paths];
}
