// Runs a compiled program's words in plain f64, honouring its addresses: an engine for tests, slow and strict. Arena memory is NaN until written and
// NaN again once the plan says it is free; the order of instructions within a stage is shuffled, since a real engine promises none.
import { type CompiledDetail, type CompileRequest, type CompileSwitches, compileDetailed } from '../compile';
import { type DecodedOperand, decodeProgram } from '../decode';
import { maxNumel, shapeValue } from '../dims';
import type { OpcodeName } from '../opcodes';
import { isFrozenType, type Variable } from '../tensor';
import { Cells, type KernelArgs } from './cells';
import { KERNELS } from './kernels';
import { Random } from './random';

/** Variables' values during tests; one number per element, f64. */
export type Values = Map<Variable, Float64Array>;

/** What a run is given. */
export interface RunRequest {
  readonly inputs?: Readonly<Record<string, ArrayLike<number>>>;
  readonly extents?: Readonly<Record<string, number>>;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Read and written. */
  readonly variables?: Values;
  /** Seeds the order of instructions within stages. */
  readonly shuffle?: number;
}

/** Outputs by name, their used part only. */
export type RunResult = Readonly<Record<string, Float64Array>>;

/** Runs a compiled program. @throws when an instruction leaves its operand, or reads what was never written or already freed. */
export function interpret(compiled: CompiledDetail, request: RunRequest = {}): RunResult {
  const { program, placements } = compiled;
  const { inputs = {}, extents = {}, scalars = {}, variables = new Map(), shuffle = 1 } = request;
  const decoded = decodeProgram(program.words);
  const banks = decoded.banks.map((bytes) => new Float64Array(bytes / 4).fill(Number.NaN));
  const bindings = program.bindings.map((binding) => {
    if (binding.kind === 'buffer')
      return binding.data === undefined ? new Float64Array(binding.sizeBytes / 4).fill(Number.NaN) : Float64Array.from(binding.data);
    const values = variables.get(binding.variable);
    if (values === undefined) throw new Error(`variable "${binding.variable.name}" has no value`);
    return values;
  });
  for (const { name, binding, shape } of program.inputs) {
    const data = inputs[name];
    const used = shapeValue(shape, extents).reduce((product, size) => product * size, 1);
    if (data === undefined || data.length !== used) throw new Error(`input "${name}" needs ${used} elements, got ${data?.length}`);
    bindings[binding].set(Array.from(data));
  }
  const slots = decoded.slots.map(({ factor, extents: indices }) =>
    indices.reduce((product, index) => product * numberOf(extents, program.extents[index].name), factor),
  );
  const cells = (operand: DecodedOperand, label: string): Cells => {
    const memory = operand.space === 'arena' ? banks[operand.index] : bindings[operand.index];
    // Frozen weights are one number each here, whatever their bytes.
    const bytes = isFrozenType(operand.dtype) ? memory.length * 4 : operand.sizeBytes;
    return new Cells(memory, operand.offsetBytes, bytes, operand.dtype === 'f64', label);
  };
  const random = new Random(shuffle);
  decoded.stages.forEach(({ first, count }, stage) => {
    for (const index of random.permutation(count)) {
      const { spec, operands, dims, params } = decoded.instructions[first + index];
      const views = new Map(
        Object.entries(operands).map(([name, operand]) => [name, operand && cells(operand, `stage ${stage} ${spec.name} ${name}`)]),
      );
      const args: KernelArgs = {
        operand: (name) => present(views.get(name), `${spec.name} ${name}`),
        maybe: (name) => views.get(name),
        dim: (name) => slots[present(dims[name], `${spec.name} ${name}`)],
        param: (name) => present(params[name], `${spec.name} ${name}`),
        scalar: (name) => numberOf(scalars, program.scalars[present(params[name], `${spec.name} ${name}`)]),
      };
      KERNELS[spec.name as OpcodeName](args);
    }
    for (const { bank, offset, bytes, end } of placements)
      if (end === stage) banks[bank].fill(Number.NaN, offset / 4, (offset + bytes) / 4);
  });
  const outputs = program.outputs.map(({ name, binding, shape }) => {
    const used = shapeValue(shape, extents).reduce((product, size) => product * size, 1);
    return [name, bindings[binding].slice(0, used)] as const;
  });
  return Object.fromEntries(outputs);
}

/** Compiles and runs at once. */
export function evaluate(request: Omit<CompileRequest, 'name'>, run: RunRequest = {}, switches: CompileSwitches = {}): RunResult {
  return interpret(compileDetailed({ name: 'test', ...request }, switches), run);
}

/** Values for variables, drawn from [−1, 1). */
export function randomValues(variables: readonly Variable[], seed: number): Values {
  const random = new Random(seed);
  return new Map(
    variables.map((variable) => [variable, Float64Array.from({ length: maxNumel(variable.shape) }, () => random.uniform(-1, 1))]),
  );
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} is absent`);
  return value;
}

function numberOf(values: Readonly<Record<string, number>>, name: string): number {
  if (!(name in values)) throw new Error(`"${name}" has no value`);
  return values[name];
}
