// Draws one token per row of logits, inside the engine. Forward only.
import { apply, asTensor, checkDtype, checkRule, type OpDefinition, staticLast } from '../op';
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

const sampleOp: OpDefinition<Readonly<Record<string, string>>> = {
  name: 'sample',
  infer: ([logits]) => {
    checkRule(logits.rank === 2, 'sample', 'logits must be [R, V]', logits);
    checkDtype('sample', 'logits', logits, 'f32');
    return [{ shape: [logits.shape[0]], dtype: 'i32' }];
  },
  lower: (c) => {
    const [logits] = c.inputs;
    c.emit(
      'sample',
      { logits: c.view(logits), out: c.out() },
      { rows: logits.shape[0], vocab: staticLast('sample', 'logits', logits) },
      c.attrs,
    );
  },
};

/** One token per row. logits: f32 [R, V] → i32 [R]. NaN logits stop the run (NON_FINITE_LOGITS). Not differentiable. */
export function sample(logits: Operand, scalars: SampleScalars = {}): Tensor {
  const { temperature = 'temperature', topK = 'topK', topP = 'topP', seed = 'seed', draw = 'draw' } = scalars;
  const attrs = {
    temperature: scalarName(temperature),
    top_k: scalarName(topK),
    top_p: scalarName(topP),
    ...seedScalars(seed),
    draw: scalarName(draw),
  };
  return apply(sampleOp, [asTensor('sample', 'logits', logits)], attrs)[0];
}
