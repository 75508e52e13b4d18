// Moving a sequence of cache rows that was prefilled alone into its place in a batch. Forward only. (Those that live on in a beam search: beam.ts.)
import { type Dim, dimEquals, dimMul, Extent } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition } from '../op';
import { type Operand, type Tensor, Variable, variableOf } from '../tensor';

interface CopyAttrs {
  readonly variable: Variable;
  /** Which sequence of the variable is written. */
  readonly row: Dim;
  readonly rowsUsed: Dim;
}

/** Input: the cache of one sequence that is read. */
const copySequenceOp: OpDefinition<CopyAttrs> = {
  name: 'copy_sequence',
  infer: (_inputs, { variable }) => [{ shape: variable.shape, dtype: 'f32' }],
  lower: (c) => {
    const { variable, row, rowsUsed } = c.attrs;
    const [source] = c.inputs;
    const [, cacheRows, cols] = variable.shape;
    const src = c.view(source);
    const dst = c.write(variable);
    c.emit(
      'copy_rows',
      { src, dst },
      {
        batch: 1,
        time: rowsUsed,
        cols,
        src_row: cols,
        src_batch: dimMul(source.shape[1], cols),
        src_offset: 0,
        dst_row: cols,
        dst_batch: cacheRows * cols,
        dst_offset: dimMul(row, cacheRows * cols),
      },
    );
    c.alias(0, dst);
  },
};

/** The source of a copy into `cache`, and that both and the rows to copy go together. */
function checkedSource(op: string, cache: Variable, source: Operand, rowsUsed: Extent | number): Tensor {
  checkOption(cache instanceof Variable, op, 'cache must be a Variable', cache);
  const tensor = asTensor(op, 'source', source);
  checkDtype(op, 'cache', cache.tensor, 'f32');
  checkDtype(op, 'source', tensor, 'f32');
  checkRule(cache.shape.length === 3 && tensor.rank === 3, op, 'cache must be [B, P, C] and source [.., P, C]', cache.shape, tensor);
  checkRule(dimEquals(tensor.shape[2], cache.shape[2]), op, 'cache and source must agree in width', cache.shape, tensor);
  checkOption(variableOf(tensor) !== cache, op, 'source must be another variable than the cache', cache.name);
  const most = rowsUsed instanceof Extent ? rowsUsed.max : rowsUsed;
  const held = tensor.shape[1];
  const fits = Number.isInteger(most) && most >= 0 && typeof held === 'number' && most <= held && most <= cache.shape[1];
  checkRule(fits, op, 'rowsUsed must not exceed the rows of cache and source', rowsUsed, cache.shape, tensor);
  return tensor;
}

/**
 * Copies the first `rowsUsed` rows of a sequence into sequence `row` of a cache, and gives the cache after that.
 * cache: Variable f32 [B, P, C]; source: f32 [1, P', C]; row: from 0 to B − 1; rowsUsed: at most P and P' → [B, P, C].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION. Not differentiable.
 */
export function copySequence(
  cache: Variable,
  source: Operand,
  options: { readonly row: Extent | number; readonly rowsUsed: Extent | number },
): Tensor {
  const op = 'copySequence';
  const { row, rowsUsed } = options;
  const tensor = checkedSource(op, cache, source, rowsUsed);
  checkRule(tensor.shape[0] === 1, op, 'source must be [1, P, C]', tensor);
  const last = row instanceof Extent ? row.max : row;
  checkRule(Number.isInteger(last) && last >= 0 && last < cache.shape[0], op, 'row must be a sequence of the cache', row, cache.shape);
  return apply(copySequenceOp, [tensor], { variable: cache, row, rowsUsed })[0];
}
