// Checks gradient rules: the gradient program against central differences of the forward program, both interpreted in f64, for every element.
import { expect } from 'vitest';
import { differentiate } from '../autodiff';
import { compileDetailed } from '../compile';
import { assign } from '../effects';
import { add, mul } from '../ops/binary';
import { sum } from '../ops/reduce';
import { constant, type Tensor, Variable } from '../tensor';
import { interpret, type RunRequest, randomValues, type Values } from './interpreter';
import { Random } from './random';

/** f32 constants with `size` values in [low, high), for weighting outputs so that every Jacobian element counts. */
export function randomConstant(shape: readonly number[], seed: number, low = -1, high = 1): Tensor {
  const random = new Random(seed);
  const size = shape.reduce((product, dim) => product * dim, 1);
  return constant(
    Float32Array.from({ length: size }, () => random.uniform(low, high)),
    shape,
  );
}

/** Σ of every output times random weights: its gradient is a random combination of all rows of the Jacobian. */
export function weighted(outputs: readonly Tensor[], seed = 77): Tensor {
  return outputs
    .map((output, i) => sum(mul(output, randomConstant(output.shape as number[], seed + i))))
    .reduce((total, term) => add(total, term));
}

/** Options of a check. */
export interface GradcheckOptions extends RunRequest {
  /** Relative to 1 + the largest gradient. Default 1e-6. */
  readonly tolerance?: number;
  readonly values?: Values;
  /** Default 3e-5: error of order h² and 1e-16/h. */
  readonly step?: number;
}

/** Expects d loss / d variable to equal central differences, element by element. `loss` has any shape; its sum is differentiated. */
export function gradcheck(loss: Tensor, variables: readonly Variable[], options: GradcheckOptions = {}): void {
  const { tolerance = 1e-6, step = 3e-5 } = options;
  const gradients = differentiate(loss, variables);
  const targets = new Map(variables.map((variable) => [variable, new Variable({ name: `d ${variable.name}`, shape: variable.shape })]));
  const forward = compileDetailed({ name: 'forward', outputs: { loss: loss.rank === 1 && loss.shape[0] === 1 ? loss : sum(loss) } });
  const backward = compileDetailed({
    name: 'backward',
    effects: [...targets].map(([variable, target]) => assign(target, gradients.get(variable) as Tensor)),
  });
  const values = options.values ?? randomValues(variables, 5);
  const results: Values = new Map([...targets.values()].map((target) => [target, new Float64Array(target.size).fill(Number.NaN)]));
  interpret(backward, { ...options, variables: new Map([...values, ...results]) });
  for (const variable of variables) {
    const data = values.get(variable) as Float64Array;
    const analytic = results.get(targets.get(variable) as Variable) as Float64Array;
    const numeric = data.map((value, i) => {
      const at = (x: number): number => {
        data[i] = x;
        const [loss] = interpret(forward, { ...options, variables: values }).loss;
        data[i] = value;
        return loss;
      };
      return (at(value + step) - at(value - step)) / (2 * step);
    });
    const scale = 1 + Math.max(0, ...numeric.map(Math.abs));
    const worst = analytic.map((value, i) => Math.abs(value - numeric[i]) / scale);
    const bad = [...worst.keys()]
      .filter((i) => !(worst[i] <= tolerance))
      .map((i) => `${variable.name}[${i}]: got ${analytic[i]}, expected ${numeric[i]}`);
    expect(bad).toEqual([]);
  }
}
