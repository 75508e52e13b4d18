// Beam search's part in the engine: the best continuations of each beam, and variables whose rows follow the beams that live on. Forward only.
import type { Dim, Extent } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition } from '../op';
import { type Operand, type Tensor, Variable } from '../tensor';
import { checkRules, type GenerationRules, RULE_SCALARS, ruleOperands } from './sample';

interface BeamAttrs {
  readonly rules: GenerationRules;
  readonly vocab: number;
  readonly keep: Extent;
}

const beamScoresOp: OpDefinition<BeamAttrs> = {
  name: 'beam_scores',
  infer: ([logits], { keep }) => [{ shape: [logits.shape[0], keep, 2], dtype: 'i32' }],
  lower: (c) => {
    const [logits, tokens, scores] = c.inputs;
    const { operands, dims } = ruleOperands(c, c.attrs.rules, c.attrs.vocab);
    const own = { logits: c.view(logits), tokens: c.view(tokens), scores: c.view(scores), report: c.out() };
    c.emit('beam_scores', { ...own, ...operands }, { ...dims, keep: c.attrs.keep }, { ...RULE_SCALARS, draw: 'draw' });
  },
};

/**
 * The `keep` best continuations of each beam by score + log-probability, the latter under the rules (as Hugging Face's beam search has it). Reads `RULE_SCALARS` and `draw`;
 * from draw 1 on, `tokens` (what each beam has just read) enter counts and state first.
 * logits: f32 [R, V], tokens: i32 [R], scores: f32 [R] → i32 [R, keep, 2]: the id (−1: no more) and the bits of the f32 sum, best first, lowest ids first among equals.
 */
export function beamScores(
  logits: Operand,
  tokens: Operand,
  scores: Operand,
  options: { rules: GenerationRules; keep: Extent; vocabSize: number },
): Tensor {
  const op = 'beamScores';
  const inputs = [asTensor(op, 'logits', logits), asTensor(op, 'tokens', tokens), asTensor(op, 'scores', scores)];
  checkRules(op, inputs[0], options.rules, options.vocabSize);
  checkDtype(op, 'tokens', inputs[1], 'i32');
  checkDtype(op, 'scores', inputs[2], 'f32');
  const rows = String(inputs[0].shape[0]);
  checkRule(inputs[1].shape.join() === rows && inputs[2].shape.join() === rows, op, 'tokens and scores must be [R]', inputs[1], inputs[2]);
  const { bias, lists } = options.rules;
  return apply(beamScoresOp, [...inputs, bias.tensor, lists.tensor], {
    rules: options.rules,
    vocab: options.vocabSize,
    keep: options.keep,
  })[0];
}

interface PermuteAttrs {
  readonly variable: Variable;
  readonly time: Dim;
}

const permuteRowsOp: OpDefinition<PermuteAttrs> = {
  name: 'permute_rows',
  infer: (_inputs, { variable }) => [{ shape: variable.shape, dtype: variable.dtype }],
  lower: (c) => {
    const { variable, time } = c.attrs;
    const [batch, ...rest] = variable.shape;
    const pitch = rest.reduce((product, size) => product * size, 1);
    const x = c.write(variable);
    // The instruction moves 32-bit words whatever they mean.
    c.emit('permute_rows', { x: { ...x, dtype: 'f32' }, parents: c.view(c.inputs[0]) }, { batch, time, cols: rest.at(-1) ?? 1, pitch });
    c.alias(0, x);
  },
};

/**
 * variable[b] ← variable[parents[b]] for all b at once, in the first `time` rows of each; gives the variable after it.
 * variable [B, P, C] (time up to P) or [B, C] (time up to 1); parents i32 [B], each below B → the variable's shape. A later `writeRows` to the same variable comes after it.
 */
export function permuteRows(variable: Variable, parents: Operand, time: Extent): Tensor {
  const op = 'permuteRows';
  checkOption(variable instanceof Variable, op, 'the variable must be a Variable', variable);
  const { shape } = variable;
  checkRule(shape.length === 2 || shape.length === 3, op, 'the variable must be [B, P, C] or [B, C]', shape);
  const order = asTensor(op, 'parents', parents);
  checkDtype(op, 'parents', order, 'i32');
  checkRule(order.shape.join() === String(shape[0]), op, 'parents must be [B]', order, shape);
  checkRule(time.max <= (shape.length === 3 ? shape[1] : 1), op, 'time must not exceed the rows of the variable', time, shape);
  return apply(permuteRowsOp, [order], { variable, time })[0];
}
