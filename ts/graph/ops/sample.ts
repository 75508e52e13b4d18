// Draws one token per row of logits, inside the engine. Forward only.
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition, staticLast } from '../op';
import { seedScalars } from '../path';
import { type Operand, type ScalarName, scalarName, type Tensor } from '../tensor';

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

interface SampleAttrs {
  readonly scalars: Readonly<Record<string, string>>;
  /** Only the first `vocab` logits of a row can be drawn. */
  readonly vocab: number;
}

const sampleOp: OpDefinition<SampleAttrs> = {
  name: 'sample',
  infer: ([logits]) => {
    checkRule(logits.rank === 2, 'sample', 'logits must be [R, V]', logits);
    checkDtype('sample', 'logits', logits, 'f32');
    return [{ shape: [logits.shape[0]], dtype: 'i32' }];
  },
  lower: (c) => {
    const [logits] = c.inputs;
    c.emit('sample', { logits: c.view(logits), out: c.out() }, { rows: logits.shape[0], vocab: c.attrs.vocab }, c.attrs.scalars);
  },
};

/**
 * One token per row. logits: f32 [R, V] → i32 [R]. NaN logits stop the run (NON_FINITE_LOGITS). Not differentiable.
 * @param vocabSize only ids below it are drawn (a padded vocabulary); less than V needs R = 1
 */
export function sample(logits: Operand, scalars: SampleScalars = {}, vocabSize?: number): Tensor {
  const op = 'sample';
  const tensor = asTensor(op, 'logits', logits);
  const { temperature = 'temperature', topK = 'topK', topP = 'topP', seed = 'seed', draw = 'draw' } = scalars;
  const names = {
    temperature: scalarName(temperature),
    top_k: scalarName(topK),
    top_p: scalarName(topP),
    ...seedScalars(seed),
    draw: scalarName(draw),
  };
  const columns = staticLast(op, 'logits', tensor);
  const vocab = vocabSize ?? columns;
  checkOption(Number.isInteger(vocab) && vocab >= 1 && vocab <= columns, op, `vocabSize must be an integer from 1 to ${columns}`, vocab);
  checkRule(vocab === columns || tensor.shape[0] === 1, op, 'logits must be [1, V] where fewer than V ids are drawn', tensor);
  return apply(sampleOp, [tensor], { scalars: names, vocab })[0];
}
