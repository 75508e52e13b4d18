// Effects: what a program leaves behind in variables. They take place after everything else of the program, in the order listed.
// Reads through `variable.tensor` always see the value at the program's start.
import { FerroError } from '../errors';
import { shapeEquals } from './dims';
import { asTensor, checkDtype, checkOption, checkRule } from './op';
import { isFrozenType, type Operand, type ScalarName, scalarName, type Tensor, Variable } from './tensor';

/** What AdamW is given. Shapes of parameter, gradient, m and v are equal. */
export interface AdamwOptions {
  parameter: Variable;
  /** A variable (read after the effects before this one) or a tensor. */
  gradient: Operand;
  /** First moment. */
  m: Variable;
  /** Second moment. */
  v: Variable;
  /** From `clipFinish`: f32 [4]. */
  clip: Tensor;
  /** Scalar input: the learning rate of this step. Default `lr`. */
  lr?: ScalarName;
  /** Scalar input: 1 − beta1^t. Default `c1`. */
  c1?: ScalarName;
  /** Scalar input: √(1 − beta2^t). Default `c2`. */
  c2?: ScalarName;
  beta1: number;
  beta2: number;
  eps: number;
  /** Decoupled decay; 0 for norms and biases. */
  weightDecay: number;
}

/** What SGD is given. Shapes of parameter, gradient and momentum buffer are equal. */
export interface SgdOptions {
  parameter: Variable;
  gradient: Operand;
  /** Needed when momentum is above 0. */
  momentumBuffer?: Variable;
  clip: Tensor;
  /** Scalar input. Default `lr`. */
  lr?: ScalarName;
  /** Default 0. */
  momentum?: number;
  /** Default 0. */
  weightDecay?: number;
  /** Default false. */
  nesterov?: boolean;
}

/** variable ← tensor. */
export interface AssignEffect {
  readonly kind: 'assign';
  readonly variable: Variable;
  readonly tensor: Tensor;
}
/** variable ← variable + tensor. */
export interface AccumulateEffect {
  readonly kind: 'accumulate';
  readonly variable: Variable;
  readonly tensor: Tensor;
}
/** One AdamW update. */
export interface AdamwEffect {
  readonly kind: 'adamw';
  readonly parameter: Variable;
  readonly gradient: Variable | Tensor;
  readonly m: Variable;
  readonly v: Variable;
  readonly clip: Tensor;
  readonly params: Readonly<Record<string, number | string>>;
}
/** One SGD update. */
export interface SgdEffect {
  readonly kind: 'sgd';
  readonly parameter: Variable;
  readonly gradient: Variable | Tensor;
  readonly momentumBuffer: Variable | undefined;
  readonly clip: Tensor;
  readonly params: Readonly<Record<string, number | string>>;
}
/** One effect. */
export type Effect = AssignEffect | AccumulateEffect | AdamwEffect | SgdEffect;

function target(op: string, variable: Variable, source: Operand): Tensor {
  checkOption(variable instanceof Variable, op, 'variable must be a Variable', variable);
  const tensor = asTensor(op, 'tensor', source);
  checkDtype(op, `what goes to "${variable.name}"`, tensor, variable.dtype);
  if (isFrozenType(variable.dtype))
    throw new FerroError(
      'INVALID_DTYPE',
      `${op}: frozen weights are written from outside alone, got "${variable.name}" of ${variable.dtype}`,
    );
  checkRule(shapeEquals(variable.shape, tensor.shape), op, `the tensor must have the shape of "${variable.name}"`, tensor, variable.shape);
  return tensor;
}

/** variable ← tensor, of equal shape and dtype. Where it is safe the producing instruction writes into the variable itself. @throws INVALID_SHAPE, INVALID_DTYPE. */
export function assign(variable: Variable, tensor: Operand): Effect {
  return { kind: 'assign', variable, tensor: target('assign', variable, tensor) };
}

/** variable ← variable + tensor, f32. The tensor is computed from zero first, then added once: the same bits wherever it was computed. */
export function accumulate(variable: Variable, tensor: Operand): Effect {
  const source = target('accumulate', variable, tensor);
  checkDtype('accumulate', 'tensor', source, 'f32');
  return { kind: 'accumulate', variable, tensor: source };
}

function checkUpdate(
  op: string,
  parameter: Variable,
  gradient: Operand,
  state: Readonly<Record<string, Variable | undefined>>,
  clip: Tensor,
): void {
  checkOption(parameter instanceof Variable, op, 'parameter must be a Variable', parameter);
  checkDtype(op, 'parameter', parameter.tensor, 'f32');
  for (const [name, operand] of Object.entries({ gradient, ...state })) {
    if (operand === undefined) continue;
    const tensor = asTensor(op, name, operand);
    checkDtype(op, name, tensor, 'f32');
    checkRule(
      shapeEquals(parameter.shape, tensor.shape),
      op,
      `${name} must have the shape of "${parameter.name}"`,
      tensor,
      parameter.shape,
    );
  }
  const own = [parameter, ...Object.values(state)];
  checkOption(
    new Set(own).size === own.length && !own.includes(gradient as Variable),
    op,
    'parameter, gradient and state must be different variables',
    parameter.name,
  );
  checkDtype(op, 'clip', clip, 'f32');
  checkRule(shapeEquals(clip.shape, [4]), op, 'clip must be [4], from clipFinish', clip);
}

function checkRange(op: string, name: string, value: number, low: number, below: number): void {
  checkOption(
    value >= low && value < below,
    op,
    `${name} must be at least ${low}${below === Number.POSITIVE_INFINITY ? ' and finite' : ` and below ${below}`}`,
    value,
  );
}

/**
 * AdamW (Loshchilov and Hutter, arXiv:1711.05101) as in torch: p ← p·(1 − lr·wd) − lr ÷ c1·m ÷ (√v ÷ c2 + eps), gradients times clip[1]; nothing when clip[2] is 1.
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION.
 */
export function adamw(options: AdamwOptions): Effect {
  const { parameter, gradient, m, v, clip, lr = 'lr', c1 = 'c1', c2 = 'c2', beta1, beta2, eps, weightDecay } = options;
  checkUpdate('adamw', parameter, gradient, { m, v }, clip);
  checkRange('adamw', 'beta1', beta1, 0, 1);
  checkRange('adamw', 'beta2', beta2, 0, 1);
  checkRange('adamw', 'eps', eps, 0, Number.POSITIVE_INFINITY);
  checkRange('adamw', 'weightDecay', weightDecay, 0, Number.POSITIVE_INFINITY);
  const params = {
    lr: scalarName(lr),
    c1: scalarName(c1),
    c2: scalarName(c2),
    beta1,
    beta2,
    eps,
    weight_decay: weightDecay,
    one_minus_beta1: 1 - beta1,
    one_minus_beta2: 1 - beta2,
  };
  return { kind: 'adamw', parameter, gradient, m, v, clip, params };
}

/**
 * SGD with momentum as in torch (dampening 0): g ← g·clip[1] + wd·p; buf ← momentum·buf + g; p ← p − lr·(nesterov ? g + momentum·buf : buf).
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION.
 */
export function sgd(options: SgdOptions): Effect {
  const { parameter, gradient, momentumBuffer, clip, lr = 'lr', momentum = 0, weightDecay = 0, nesterov = false } = options;
  checkUpdate('sgd', parameter, gradient, momentumBuffer === undefined ? {} : { momentumBuffer }, clip);
  checkRange('sgd', 'momentum', momentum, 0, 1);
  checkRange('sgd', 'weightDecay', weightDecay, 0, Number.POSITIVE_INFINITY);
  if (momentum > 0 !== (momentumBuffer !== undefined)) {
    throw new FerroError('INVALID_OPTION', `sgd: momentumBuffer must be given exactly when momentum is above 0, got momentum ${momentum}`);
  }
  checkOption(!nesterov || momentum > 0, 'sgd', 'nesterov needs momentum above 0', momentum);
  const params = { lr: scalarName(lr), momentum, weight_decay: weightDecay, nesterov: Number(nesterov) };
  return { kind: 'sgd', parameter, gradient, momentumBuffer, clip, params };
}

/** The tensors an effect reads through the graph. */
export function effectTensors(effect: Effect): Tensor[] {
  if (effect.kind === 'assign' || effect.kind === 'accumulate') return [effect.tensor];
  return effect.gradient instanceof Variable ? [effect.clip] : [effect.clip, effect.gradient];
}

/** The variables an effect writes. */
export function effectTargets(effect: Effect): Variable[] {
  if (effect.kind === 'adamw') return [effect.parameter, effect.m, effect.v];
  if (effect.kind === 'sgd') return effect.momentumBuffer === undefined ? [effect.parameter] : [effect.parameter, effect.momentumBuffer];
  return [effect.variable];
}
