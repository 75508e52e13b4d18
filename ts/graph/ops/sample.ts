// Draws one token per row of logits, inside the engine: plainly (`sample`), or with everything that text generation may ask for (`drawTokens`).
// Forward only. The kernel is crates/kernels/src/sample.
import type { Dim } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type LowerContext, type OpDefinition, staticLast, type View } from '../op';
import { seedScalars } from '../path';
import { type Operand, type ScalarName, scalarName, type Tensor, Variable } from '../tensor';

/** The scalar inputs a draw reads. Values: temperature 0 is greedy; topK 0 and topP 1 are off; draw is the index of the token being drawn. */
export interface SampleScalars {
  /** Default `temperature`. */
  temperature?: ScalarName;
  /** Default `topK`. */
  topK?: ScalarName;
  /** Default `topP`. */
  topP?: ScalarName;
  /** Default `seed`: reads the scalars `seedLo` and `seedHi`. */
  seed?: ScalarName;
  /** Default `draw`. */
  draw?: ScalarName;
}

/** Words of a row's state (`GenerationRules.state`): the end id that finished it plus 1, or 0; seven spare words; its last 32 tokens, −1 where there is none yet. */
export const STATE_WORDS = 40;
/** How many of its last tokens a row remembers. */
export const HISTORY_TOKENS = 32;
/** In a row's counts: this bit says that the token is in the prompt, the bits below how often it was drawn. */
export const IN_PROMPT = 2 ** 30;

/** What changes logits before a token is chosen, and what rows remember for it. V here is the number of ids that can be drawn. */
export interface GenerationRules {
  /** f32 [V]: added to the logits; −infinity for ids that must not come. */
  bias: Variable;
  /** i32 [L]: the number of end ids, these, then phrases that must not come, each as its length and its ids, then 0. */
  lists: Variable;
  /** i32 [R, V], kept only while a penalty is on: see IN_PROMPT. */
  counts: Variable;
  /** i32 [R, STATE_WORDS] */
  state: Variable;
}

/** The scalars of `GenerationRules`: penalties (1, 0 and 0 are off), and the least number of tokens before an end. */
export const RULE_SCALARS = { repetition: 'repetition', presence: 'presence', frequency: 'frequency', min_new: 'minNew' } as const;

const NO_RULES = { repetition: '', presence: '', frequency: '', min_new: '' };

interface SampleAttrs {
  readonly scalars: Readonly<Record<string, string>>;
  /** Only the first `vocab` logits of a row can be drawn. */
  readonly vocab: number;
  readonly rules: GenerationRules | undefined;
  readonly positions: Variable | undefined;
  /** Words of a row's report; 0: none. */
  readonly columns: number;
}

/** The operands and dims of rules for an instruction over `rows` rows of logits. */
export function ruleOperands<A>(
  c: LowerContext<A>,
  rules: GenerationRules | undefined,
  vocab: number,
): { operands: Record<string, View | undefined>; dims: Record<string, Dim> } {
  const [logits] = c.inputs;
  const dims = { rows: logits.shape[0], vocab, stride: staticLast('sample', 'logits', logits), list: rules?.lists.size ?? 0 };
  if (rules === undefined) return { operands: {}, dims };
  const operands = {
    bias: c.view(rules.bias.tensor),
    lists: c.view(rules.lists.tensor),
    counts: c.write(rules.counts),
    state: c.write(rules.state),
  };
  return { operands, dims };
}

/** Checks rules for logits [R, V'] of which the first `vocab` count. @throws INVALID_SHAPE, INVALID_OPTION */
export function checkRules(op: string, logits: Tensor, rules: GenerationRules, vocab: number): void {
  checkRule(logits.rank === 2, op, 'logits must be [R, V]', logits);
  checkDtype(op, 'logits', logits, 'f32');
  const columns = staticLast(op, 'logits', logits);
  checkOption(Number.isInteger(vocab) && vocab >= 1 && vocab <= columns, op, `vocabSize must be an integer from 1 to ${columns}`, vocab);
  const rows = logits.shape[0];
  const expected: Record<keyof GenerationRules, Dim[]> = {
    bias: [vocab],
    lists: [rules.lists.size],
    counts: [rows, vocab],
    state: [rows, STATE_WORDS],
  };
  for (const [name, shape] of Object.entries(expected)) {
    const variable = rules[name as keyof GenerationRules];
    checkOption(variable instanceof Variable, op, `${name} must be a Variable`, variable);
    checkDtype(op, name, variable.tensor, name === 'bias' ? 'f32' : 'i32');
    checkRule(variable.shape.join() === shape.join(), op, `${name} must have the shape [${shape.join(', ')}]`, variable.shape);
  }
}

const sampleOp: OpDefinition<SampleAttrs> = {
  name: 'sample',
  infer: ([logits], { columns }) => {
    checkRule(logits.rank === 2, 'sample', 'logits must be [R, V]', logits);
    checkDtype('sample', 'logits', logits, 'f32');
    const next = { shape: [logits.shape[0]], dtype: 'i32' as const };
    return columns === 0 ? [next] : [next, { shape: [logits.shape[0], columns], dtype: 'i32' }];
  },
  lower: (c) => {
    const [logits] = c.inputs;
    const { rules, positions, columns, vocab, scalars } = c.attrs;
    const { operands, dims } = ruleOperands(c, rules, vocab);
    const places = { positions: positions && c.write(positions), out: c.out(), report: columns === 0 ? undefined : c.out(1) };
    c.emit('sample', { logits: c.view(logits), ...operands, ...places }, { ...dims, columns: Math.max(2, columns) }, scalars);
  },
};

function scalarNames(scalars: SampleScalars): Record<string, string> {
  const { temperature = 'temperature', topK = 'topK', topP = 'topP', seed = 'seed', draw = 'draw' } = scalars;
  return {
    temperature: scalarName(temperature),
    top_k: scalarName(topK),
    top_p: scalarName(topP),
    ...seedScalars(seed),
    draw: scalarName(draw),
  };
}

/**
 * One token per row; row r draws what a single row draws under seed + r. logits: f32 [R, V] → i32 [R]. NaN logits stop the run (NON_FINITE_LOGITS).
 * Not differentiable.
 * @param vocabSize only ids below it are drawn (a padded vocabulary)
 */
export function sample(logits: Operand, scalars: SampleScalars = {}, vocabSize?: number): Tensor {
  const op = 'sample';
  const tensor = asTensor(op, 'logits', logits);
  const columns = staticLast(op, 'logits', tensor);
  const vocab = vocabSize ?? columns;
  checkOption(Number.isInteger(vocab) && vocab >= 1 && vocab <= columns, op, `vocabSize must be an integer from 1 to ${columns}`, vocab);
  const names = { ...scalarNames(scalars), min_p: '', ...NO_RULES, top_n: '' };
  return apply(sampleOp, [tensor], { scalars: names, vocab, rules: undefined, positions: undefined, columns: 0 })[0];
}

/** What `drawTokens` is given beside the logits. */
export interface DrawOptions {
  rules: GenerationRules;
  /** i32 [R]: grows by one for each row that is not finished. */
  positions?: Variable;
  /** Likeliest tokens that a report has room for. */
  topLogProbs: number;
  /** Only ids below it are drawn. */
  vocabSize: number;
}

/**
 * One token per row under all the rules of text generation, and a report of it. Reads the scalars of `sample`, `RULE_SCALARS`, `minP` (0 is off) and `topN` (pairs wanted
 * in the report). Updates counts, state and positions: an id among the end ids finishes its row, which then gives that id again.
 * logits: f32 [R, V] → next i32 [R]; report i32 [R, 2 + 2·topLogProbs]: the id, the bits of its f32 log-probability, then pairs of the same, likeliest first (−1: none). Log-probabilities
 * are those of the logits as given, before rules and temperature. Not differentiable.
 */
export function drawTokens(logits: Operand, options: DrawOptions): { next: Tensor; report: Tensor } {
  const op = 'drawTokens';
  const tensor = asTensor(op, 'logits', logits);
  const { rules, positions, topLogProbs, vocabSize } = options;
  checkRules(op, tensor, rules, vocabSize);
  if (positions !== undefined) checkRule(positions.shape.join() === String(tensor.shape[0]), op, 'positions must be [R]', positions.shape);
  const scalars = { ...scalarNames({}), min_p: 'minP', ...RULE_SCALARS, top_n: 'topN' };
  const attrs = { scalars, vocab: vocabSize, rules, positions, columns: 2 + 2 * topLogProbs };
  const [next, report] = apply(sampleOp, [tensor, rules.bias.tensor, rules.lists.tensor], attrs);
  return { next, report };
}
