// The matrix product behind `linear` and `matmul`, forward and backward: one node for the three layouts the kernels have.
// Users see linear.ts and matmul.ts, which check shapes; this file trusts them.
import { type Dim, dimMul, type Shape } from '../dims';
import { apply, type OpDefinition } from '../op';
import { MATMUL_FORM } from '../opcodes';
import type { Tensor } from '../tensor';
import { gather } from './reduce';
import { transpose } from './transpose';

/** NN: a[m,k] b[k,n]; NT: a[m,k] b[n,k]; TN: a[k,m] b[k,n]; each `batch` times. */
export interface GemmAttrs {
  readonly form: keyof typeof MATMUL_FORM;
  readonly batch: Dim;
  readonly m: Dim;
  readonly n: Dim;
  readonly k: Dim;
  /** The shape of the result, with batch·m·n elements. */
  readonly shape: Shape;
}

/** For C = a·b in each form, dA and dB as products again: [form, which of (a, b, dC) is left, right]. The sizes follow from the form. */
const BACKWARD = {
  NN: { da: ['NT', 'dc', 'b'], db: ['TN', 'a', 'dc'] },
  NT: { da: ['NN', 'dc', 'b'], db: ['TN', 'dc', 'a'] },
  TN: { da: ['NT', 'b', 'dc'], db: ['NN', 'a', 'dc'] },
} as const;

/** Up to this many rows of a result the kernel reads its right operand in place (crates/kernels/src/matmul/plan.rs). */
const FEW_ROWS = 8;

const gemmOp: OpDefinition<GemmAttrs> = {
  name: 'matmul',
  infer: (_inputs, { shape }) => [{ shape, dtype: 'f32' }],
  gradient: ({ attrs, inputs: [a, b, bias], upstream: [dc], needed }) => {
    if (dc === undefined) return [];
    const { form, batch, m, n, k } = attrs;
    const tensors = { a, b, dc };
    const product = (
      [newForm, left, right]:
        | (typeof BACKWARD)['NN']['da' | 'db']
        | (typeof BACKWARD)['NT']['da' | 'db']
        | (typeof BACKWARD)['TN']['da' | 'db'],
      like: Tensor,
      rows: Dim,
      cols: Dim,
      inner: Dim,
    ): Tensor => gemm(tensors[left], tensors[right], undefined, { form: newForm, batch, m: rows, n: cols, k: inner, shape: like.shape });
    // a is [m,k] (TN: [k,m]) and b is [k,n] (NT: [n,k]): each gradient has its operand's layout and sums over the third size.
    const da = needed[0] ? (form === 'TN' ? product(BACKWARD.TN.da, a, k, m, n) : product(BACKWARD[form].da, a, m, k, n)) : undefined;
    const weightGradient = (): Tensor => {
      if (form !== 'NT') return product(BACKWARD[form].db, b, k, n, m);
      if (batch !== 1 || typeof k !== 'number' || k > FEW_ROWS || typeof n !== 'number' || n <= FEW_ROWS)
        return product(BACKWARD.NT.db, b, n, k, m);
      // The transpose, a few long rows: dC is read in place instead of being packed for so little. The bits are the same.
      return transpose(gemm(a, dc, undefined, { form: 'TN', batch, m: k, n, k: m, shape: [k, n] }));
    };
    const db = needed[1] ? weightGradient() : undefined;
    const dbias = bias !== undefined && needed[2] ? gather(dc, bias.shape, 'row', dimMul(batch, m), n) : undefined;
    return [da, db, dbias];
  },
  lower: (c) => {
    const { form, batch, m, n, k } = c.attrs;
    const [a, b, bias] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('matmul', { a, b, bias, out: c.out() }, { batch, m, n, k }, { form: MATMUL_FORM[form], activation: 0 });
  },
};

/** A product whose sizes are already checked. */
export function gemm(a: Tensor, b: Tensor, bias: Tensor | undefined, attrs: GemmAttrs): Tensor {
  return apply(gemmOp, bias === undefined ? [a, b] : [a, b, bias], attrs)[0];
}
