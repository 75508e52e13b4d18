// Weights of layers as int8 blocks or bf16: which ones, and how a module is changed for it. Rounding and layout are the graph room's (q8.ts); numbers are
// moved by whoever holds an engine.
import { isFrozenType, Variable } from '../graph';
import { Embedding } from './embedding';
import { Linear } from './linear';
import { type Module, nameModules } from './module';
import { Projection } from './projection';

/** How weights are kept: int8 blocks (1.125 bytes each), or bf16 (2 bytes, f32 with 8 bits of precision). */
export type Quantization = 'int8' | 'bf16';

/** A weight that a module keeps as int8 blocks or bf16: a matrix [rows, columns], blocks along its columns. */
export interface QuantizedWeight {
  readonly rows: number;
  readonly columns: number;
  /** Whether the f32 weight it stands for lies [columns, rows]: `Linear`'s [in, out] in int8 blocks. */
  readonly transposed: boolean;
}

/** The shape of the f32 weight that a quantised one stands for. */
export function plainShape({ rows, columns, transposed }: QuantizedWeight): number[] {
  return transposed ? [columns, rows] : [rows, columns];
}

/**
 * Replaces the weights of all linear layers (a head is one) and token tables by variables in int8 blocks or bf16 (zeros until they are written) and freezes the
 * module. Norms, biases and position tables stay f32. A weight used twice stays one. To be called before the module is bound.
 * @returns what each replaced parameter is, by name
 */
export function quantizeModule(root: Module, quantization: Quantization = 'int8'): Map<string, QuantizedWeight> {
  const replaced = new Map<Variable, QuantizedWeight>();
  const blocks = quantization === 'int8';
  for (const module of root.namedModules().values()) {
    if (!(module instanceof Linear || module instanceof Embedding || module instanceof Projection) || isFrozenType(module.weight.dtype))
      continue;
    const [first, second] = module.weight.shape;
    const transposed = blocks && module instanceof Linear;
    const [rows, columns] = transposed ? [second, first] : [first, second];
    module.weight = new Variable({ name: module.weight.name, shape: [rows, columns], dtype: blocks ? 'q8' : 'bf16' });
    replaced.set(module.weight, { rows, columns, transposed });
  }
  const named = nameModules(root);
  for (const variable of named.values()) variable.trainable = false;
  return new Map([...named].flatMap(([name, variable]) => (replaced.has(variable) ? [[name, replaced.get(variable)!] as const] : [])));
}
