// The base class of everything that has parameters. A module is a plain object: its fields are its parameters and its parts, and `forward` builds
// graph out of symbolic tensors. It knows no engine: ts/bind gives it memory, ts/train trains it.

import { FerroError } from '../errors';
import { checkpoint, Variable } from '../graph';

/**
 * A layer or a model. Own fields that are a `Variable`, a `Module`, or an array of these are found by themselves, in the order they were assigned,
 * and named by their path: `transformer.h.0.attn.c_attn.weight`. Private `#fields` are not found. A variable or module reachable by two paths is one
 * parameter (a tied weight) and keeps the first name.
 */
export abstract class Module {
  /** True while a training step is traced: dropout is on. Evaluation and generation trace with false. */
  training = false;
  /**
   * Whether a training step computes what is built in `checkpoint` again in backward instead of keeping it. The training option of this name sets it
   * on all modules while a step is traced; it may be set on single ones.
   */
  gradientCheckpointing = false;
  /** Where this module stands below the root it was last named under (`nameModules`); undefined before. Random masks are keyed by it. */
  path: string | undefined = undefined;

  /** Builds the graph of this module's value from symbolic inputs. Nothing is computed here. */
  abstract forward(...inputs: never[]): unknown;

  /**
   * Builds a part of `forward` that the training option `gradientCheckpointing` may compute twice instead of keeping its activations: with the option
   * only what the part reads from outside stays until backward. Without it just `build()`.
   */
  protected checkpoint<T>(build: () => T): T {
    return this.gradientCheckpointing ? checkpoint(build) : build();
  }

  /** Sets `training` here and below. */
  train(mode = true): this {
    for (const [, module] of walk(this)) module.training = mode;
    return this;
  }

  /** `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  /** Sets `gradientCheckpointing` here and below. */
  enableGradientCheckpointing(mode = true): this {
    for (const [, module] of walk(this)) module.gradientCheckpointing = mode;
    return this;
  }

  /** Every variable here and below by its path, in the order of fields. */
  namedVariables(): Map<string, Variable> {
    const found = new Map<Variable, string>();
    collect(this, '', found, new Set());
    return new Map(Array.from(found, ([variable, name]) => [name, variable]));
  }

  /** Every module here and below, this one included (path ''), each once. */
  namedModules(): Map<string, Module> {
    return new Map(walk(this));
  }
}

/**
 * Names a root and everything below it: each module gets its `path`, each variable its `name`. The variable's name keys its random initialisation and
 * names it in checkpoints, so a root is named before its variables get memory and before it is traced.
 * @returns the variables by name
 * @throws INVALID_OPTION when the root is not a Module
 */
export function nameModules(root: Module): Map<string, Variable> {
  if (!(root instanceof Module)) throw new FerroError('INVALID_OPTION', `bind: the module must extend Module, got ${typeof root}`);
  for (const [path, module] of walk(root)) module.path = path;
  const variables = root.namedVariables();
  for (const [name, variable] of variables) variable.name = name;
  return variables;
}

/** The path of a module that needs one to key its random numbers. */
export function pathOf(module: Module, op: string): string {
  if (module.path === undefined) {
    throw new FerroError(
      'UNBOUND_VARIABLE',
      `${op}: the module must be named before it is traced in training (bind it to an engine), got no path`,
    );
  }
  return module.path === '' ? '(root)' : module.path;
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

/** The fields of a module that are parameters or parts, arrays unrolled: `h` → `h.0`, `h.1`. */
function* parts(module: Module): Generator<[string, Variable | Module]> {
  for (const [key, value] of Object.entries(module)) {
    if (!Array.isArray(value)) {
      if (value instanceof Variable || value instanceof Module) yield [key, value];
      continue;
    }
    for (let i = 0; i < value.length; i++) {
      if (value[i] instanceof Variable || value[i] instanceof Module) yield [`${key}.${i}`, value[i]];
    }
  }
}

/** Field by field, depth first; what was found before keeps its first name. */
function collect(module: Module, path: string, found: Map<Variable, string>, seen: Set<Module>): void {
  seen.add(module);
  for (const [key, value] of parts(module)) {
    const name = join(path, key);
    if (value instanceof Module) {
      if (!seen.has(value)) collect(value, name, found, seen);
    } else if (!found.has(value)) found.set(value, name);
  }
}

/** Depth first, each module once, so a cycle (a part that points to its parent) ends. */
function* walk(root: Module, path = '', seen = new Set<Module>()): Generator<[string, Module]> {
  if (seen.has(root)) return;
  seen.add(root);
  yield [path, root];
  for (const [key, value] of parts(root)) {
    if (value instanceof Module) yield* walk(value, join(path, key), seen);
  }
}
