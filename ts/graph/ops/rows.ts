// Moving rows: writing new rows into a cache variable, and taking the last row of each sequence. Forward only. (Whole sequences: sequences.ts.)
import { type Dim, dimEquals, dimMax, dimMul, Extent } from '../dims';
import { apply, asSequenceNumbers, asTensor, checkDtype, checkOption, checkRule, type OpDefinition, staticLast, type View } from '../op';
import { UNARY_KINDS } from '../opcodes';
import { type Operand, type Tensor, Variable } from '../tensor';
import { packedHeadDim } from './attention';

const BYTES = 4;

/** One of the three parts of packed projections [B, T, (H + 2·Hkv)·D], as a source of rows. */
export interface QkvPart {
  readonly qkv: Tensor;
  /** The column of qkv with which it begins. */
  readonly column: number;
  readonly width: number;
}

/**
 * The q, k or v part of packed projections qkv [B, T, (H + 2·Hkv)·D], for `writeRows`. No copy, no node. Without `heads` the parts are thirds.
 * @throws INVALID_SHAPE, INVALID_OPTION.
 */
export function qkvPart(
  qkv: Operand,
  part: 'q' | 'k' | 'v',
  heads: { readonly nHead: number; readonly nKvHead?: number } = { nHead: 1 },
): QkvPart {
  const tensor = asTensor('qkvPart', 'qkv', qkv);
  const index = ['q', 'k', 'v'].indexOf(part);
  checkOption(index >= 0, 'qkvPart', "part must be 'q', 'k' or 'v'", part);
  checkRule(tensor.rank === 3, 'qkvPart', 'qkv must have three axes', tensor);
  const { nHead, nKvHead = nHead } = heads;
  const headDim = packedHeadDim('qkvPart', tensor, nHead, nKvHead);
  return { qkv: tensor, column: [0, nHead, nHead + nKvHead][index] * headDim, width: (index === 0 ? nHead : nKvHead) * headDim };
}

interface WriteRowsAttrs {
  readonly variable: Variable;
  /** Where all sequences begin; undefined when a second input, i32 [B], says where each does. */
  readonly position: Dim | undefined;
  /** The first of the C columns of the source rows that are taken. */
  readonly column: number;
}

const writeRowsOp: OpDefinition<WriteRowsAttrs> = {
  name: 'write_rows',
  infer: (_inputs, { variable }) => [{ shape: variable.shape, dtype: 'f32' }],
  lower: (c) => {
    const { variable, position, column } = c.attrs;
    const [rows, positions] = c.inputs;
    const [batch, time, row] = rows.shape;
    const [, cacheRows, cols] = variable.shape;
    const source = c.view(rows);
    const skip = column * BYTES;
    const src: View = { ...source, offset: source.offset + skip, bytes: source.bytes - skip };
    const dst = c.write(variable);
    c.emit(
      'copy_rows',
      { src, positions: positions && c.view(positions), dst },
      {
        batch,
        time,
        cols,
        src_row: row,
        src_batch: dimMul(time, row),
        src_offset: 0,
        dst_row: cols,
        dst_batch: cacheRows * cols,
        dst_offset: dimMul(position ?? 0, cols),
      },
    );
    c.alias(0, dst);
  },
};

/**
 * Writes rows into a cache from row `position` on, and gives the cache after the write. Tensors of `cache.tensor` still read what was there before.
 * cache: Variable f32 [B, P, C]; rows: f32 [B, T, C] or a `qkvPart`; position: Extent or number, or i32 [B] with a position for each
 * sequence → [B, P, C]. Several writes to one cache happen in the order in which they were made.
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION. A position of a sequence out of range ends the run with INVALID_SHAPE. Not differentiable.
 */
export function writeRows(cache: Variable, rows: Operand | QkvPart, position: Extent | number | Operand): Tensor {
  const op = 'writeRows';
  checkOption(cache instanceof Variable, op, 'cache must be a Variable', cache);
  const packed = typeof rows === 'object' && 'qkv' in rows;
  const source = packed ? rows.qkv : asTensor(op, 'rows', rows);
  checkDtype(op, 'rows', source, 'f32');
  checkDtype(op, 'cache', cache.tensor, 'f32');
  checkRule(cache.shape.length === 3 && source.rank === 3, op, 'cache must be [B, P, C] and rows [B, T, C]', cache.shape, source);
  const column = packed ? rows.column : 0;
  checkRule(
    dimEquals(source.shape[0], cache.shape[0]) && (packed ? rows.width : source.shape[2]) === cache.shape[2],
    op,
    'rows must agree with the cache in batch and width',
    source,
    cache.shape,
  );
  checkRule(dimMax(source.shape[1]) <= cache.shape[1], op, 'rows must not be more than the cache holds', source, cache.shape);
  if (typeof position === 'number') {
    const fits = Number.isInteger(position) && position >= 0 && position + dimMax(source.shape[1]) <= cache.shape[1];
    checkRule(fits, op, 'position + rows must not exceed the cache', position, cache.shape);
  } else if (position instanceof Extent) {
    checkRule(position.max <= cache.shape[1], op, 'position must not exceed the rows of the cache', position, cache.shape);
  } else {
    const positions = asSequenceNumbers(op, 'position', position, cache.shape[0]);
    return apply(writeRowsOp, [source, positions], { variable: cache, position: undefined, column })[0];
  }
  return apply(writeRowsOp, [source], { variable: cache, position, column })[0];
}

const lastRowOp: OpDefinition = {
  name: 'last_row',
  infer: ([x]) => {
    checkRule(x.rank === 3, 'lastRow', 'x must be [B, T, C]', x);
    checkDtype('lastRow', 'x', x, 'f32');
    return [{ shape: [x.shape[0], 1, x.shape[2]], dtype: 'f32' }];
  },
  lower: (c) => {
    const [x] = c.inputs;
    const [batch, time] = x.shape;
    const cols = staticLast('lastRow', 'x', x);
    // Row T − 1 begins T·C elements after a point one row before the buffer: a slot can say T·C, but not (T − 1)·C.
    let source = c.view(x);
    if (!c.reserveLead(source, cols * BYTES)) {
      const copy = c.temporary(x.shape);
      c.emit('unary', { x: source, out: copy }, { n: dimMul(...x.shape) }, { kind: UNARY_KINDS.indexOf('copy'), c: 0 });
      c.reserveLead(copy, cols * BYTES);
      source = copy;
    }
    const src: View = { ...source, offset: source.offset - cols * BYTES, bytes: source.bytes + cols * BYTES };
    const size = dimMul(time, cols);
    const strides = { src_row: cols, src_batch: size, src_offset: size, dst_row: cols, dst_batch: cols, dst_offset: 0 };
    c.emit('copy_rows', { src, dst: c.out() }, { batch, time: 1, cols, ...strides });
  },
};

/** The last row of each sequence. x: f32 [B, T, C], T at least 1 → [B, 1, C]. Not differentiable. */
export function lastRow(x: Operand): Tensor {
  return apply(lastRowOp, [asTensor('lastRow', 'x', x)], undefined)[0];
}
