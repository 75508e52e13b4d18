// Weights of layers as int8 blocks: which ones, and how a module is changed for it. Rounding and layout are the graph room's (q8.ts); numbers are moved by
// whoever holds an engine.
import { Variable } from '../graph';
import { Embedding } from './embedding';
import { Linear } from './linear';
import { type Module, nameModules } from './module';
import { Projection } from './projection';

/** A weight that a module keeps as int8 blocks: a matrix [rows, columns] with blocks along its columns. */
export interface QuantizedWeight {
  readonly rows: number;
  readonly columns: number;
  /** Whether the f32 weight it stands for lies [columns, rows]: `Linear`'s [in, out]. */
  readonly transposed: boolean;
}

/** The shape of the f32 weight that a quantised one stands for. */
export function plainShape({ rows, columns, transposed }: QuantizedWeight): number[] {
  return transposed ? [columns, rows] : [rows, columns];
}

/**
 * Replaces the weights of all linear layers (a head is one) and token tables by variables in int8 blocks (zeros until they are written) and freezes the module. Norms,
 * biases and position tables stay f32. A weight used twice stays one. To be called before the module is bound.
 * @returns what each replaced parameter is, by name
 */
export function quantizeModule(root: Module): Map<string, QuantizedWeight> {
  const replaced = new Map<Variable, QuantizedWeight>();
  for (const module of root.namedModules().values()) {
    if (!(module instanceof Linear || module instanceof Embedding || module instanceof Projection) || module.weight.dtype === 'q8')
      continue;
    const [first, second] = module.weight.shape;
    const transposed = module instanceof Linear;
    const [rows, columns] = transposed ? [second, first] : [first, second];
    module.weight = new Variable({ name: module.weight.name, shape: [rows, columns], dtype: 'q8' });
    replaced.set(module.weight, { rows, columns, transposed });
  }
  const named = nameModules(root);
  for (const variable of named.values()) variable.trainable = false;
  return new Map([...named].flatMap(([name, variable]) => (replaced.has(variable) ? [[name, replaced.get(variable)!] as const] : [])));
}
