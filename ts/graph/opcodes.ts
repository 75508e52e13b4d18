// The opcode table of program format 1: the names, order and direction of operands, dims and parameters of every instruction, and which
// operands may share memory with a result. Encoder, decoder, fusion, planner and tests all read this one table.

/** How an instruction touches an operand. */
export type Access = 'read' | 'write' | 'update';
/** One operand place of an instruction. */
export interface OperandSpec {
  readonly name: string;
  readonly access: Access;
  readonly optional: boolean;
}
/** One parameter place: an integer, the bits of an f32, or the index of a scalar input. */
export interface ParamSpec {
  readonly name: string;
  readonly type: 'int' | 'f32' | 'scalar';
}
/** One kind of instruction. */
export interface OpcodeSpec {
  readonly name: string;
  readonly code: number;
  readonly operands: readonly OperandSpec[];
  readonly dims: readonly string[];
  readonly params: readonly ParamSpec[];
  /** Pairs [operand read, operand written] that may be the very same memory: element i is read before element i is written and not after. */
  readonly inPlace: readonly (readonly [string, string])[];
}

const names = (text: string): string[] => text.split(' ').filter((word) => word !== '');

/** Operands: `x` read, `>x` written, `=x` updated in place, a trailing `?` may be absent. Params: `x` integer, `x:f32`, `x:scalar`. */
function spec<N extends string>(
  code: number,
  name: N,
  operands: string,
  dims: string,
  params = '',
  inPlace = '',
): OpcodeSpec & { readonly name: N } {
  return {
    name,
    code,
    operands: names(operands).map((word) => ({
      name: word.replace(/[>=?]/g, ''),
      access: word.startsWith('>') ? 'write' : word.startsWith('=') ? 'update' : 'read',
      optional: word.endsWith('?'),
    })),
    dims: names(dims),
    params: names(params).map((word) => {
      const [paramName, type = 'int'] = word.split(':');
      return { name: paramName, type: type as ParamSpec['type'] };
    }),
    inPlace: names(inPlace).map((word) => word.split('>') as [string, string]),
  };
}

const DROPOUT = 'p:f32 path_lo path_hi seed_lo:scalar seed_hi:scalar step:scalar micro:scalar';
const ATTENTION_DIMS = 'batch tq tk q_row k_row v_row q_batch k_batch v_batch masks';
const ATTENTION = `heads kv_heads head_dim causal scale:f32 ${DROPOUT}`;
const ADAMW = 'lr:scalar c1:scalar c2:scalar beta1:f32 beta2:f32 eps:f32 weight_decay:f32 one_minus_beta1:f32 one_minus_beta2:f32';

const RULES = 'repetition:scalar presence:scalar frequency:scalar min_new:scalar';
const SAMPLE = `temperature:scalar top_k:scalar top_p:scalar seed_lo:scalar seed_hi:scalar draw:scalar min_p:scalar ${RULES} top_n:scalar`;

const HEAD_DIMS = 'rows vocab cols most stride';

const SPECS = [
  spec(1, 'matmul', 'a b init? bias? >out >act?', 'batch m n k', 'form activation', 'init>out'),
  spec(2, 'column_sum', 'x >out', 'rows cols'),
  spec(3, 'unary', 'x >out', 'n', 'kind c:f32', 'x>out'),
  spec(4, 'unary_backward', 'x y dy >dx', 'n', 'kind c:f32', 'dy>dx x>dx y>dx'),
  spec(5, 'binary', 'a b >out', 'outer inner', 'kind mode', 'a>out b>out'),
  spec(6, 'row_sum', 'x >out', 'rows cols'),
  spec(7, 'sum_all', 'x >out', 'n', 'scale:f32'),
  spec(8, 'fill', '>out', 'n', 'value:f32'),
  spec(9, 'softmax', 'x >out', 'rows cols', 'log'),
  spec(10, 'softmax_backward', 'y dy >dx', 'rows cols', 'log'),
  spec(11, 'layer_norm', 'x weight? bias? >out >mean >rstd', 'rows cols', 'eps:f32'),
  spec(12, 'layer_norm_backward', 'x weight? mean rstd dy addend? >dx', 'rows cols', '', 'addend>dx'),
  spec(13, 'layer_norm_backward_params', 'x mean rstd dy >dweight >dbias?', 'rows cols'),
  spec(14, 'embedding', 'table ids >out', 'rows cols vocab'),
  spec(15, 'embedding_backward', 'ids dy init? >dtable', 'rows cols vocab', '', 'init>dtable'),
  spec(16, 'add_position', 'x table positions? >out', 'batch time cols position table_rows', '', 'x>out'),
  spec(17, 'add_position_backward', 'dy >dtable', 'batch time cols position table_rows'),
  spec(18, 'dropout', 'x >out', 'n', DROPOUT, 'x>out'),
  spec(19, 'attention', 'q k v key_mask? mask? starts? key_counts? >out >lse', ATTENTION_DIMS, ATTENTION),
  spec(20, 'attention_backward_q', 'q k v key_mask? mask? starts? out lse dout >dq >delta', ATTENTION_DIMS, ATTENTION),
  spec(21, 'attention_backward_kv', 'q k v key_mask? mask? starts? lse dout delta >dk >dv', ATTENTION_DIMS, ATTENTION),
  spec(22, 'cross_entropy', 'logits labels >loss >log_z', 'rows vocab', 'ignore'),
  spec(23, 'cross_entropy_backward', 'logits labels log_z g gz? >dlogits', 'rows vocab', 'ignore', 'logits>dlogits'),
  spec(24, 'linear_cross_entropy', 'x w labels >loss >log_z', 'rows vocab cols', 'ignore'),
  spec(25, 'linear_cross_entropy_backward_x', 'x w labels log_z g gz? >dx', 'rows vocab cols', 'ignore'),
  spec(26, 'linear_cross_entropy_backward_w', 'x w labels log_z g gz? init? >dw', 'rows vocab cols', 'ignore', 'init>dw'),
  spec(27, 'count_labels', 'labels >out', 'n', 'ignore'),
  spec(28, 'squared_norm', 'g >partials', 'n'),
  spec(29, 'clip_finish', 'partials count? >out', 'n_partials', 'max_norm:scalar'),
  spec(30, 'adamw', '=p g =m =v clip', 'n', ADAMW),
  spec(31, 'sgd', '=p g =buf? clip', 'n', 'lr:scalar momentum:f32 weight_decay:f32 nesterov'),
  spec(32, 'copy_rows', 'src positions? >dst', 'batch time cols src_row src_batch src_offset dst_row dst_batch dst_offset'),
  spec(33, 'sample', 'logits bias? lists? =counts? =state? =positions? >out >report?', 'rows vocab stride list columns', SAMPLE),
  spec(34, 'transpose', 'x >out', 'batch m n'),
  spec(35, 'trap', '', '', 'thread'),
  spec(36, 'head_logits', 'x w labels >logits >stats', HEAD_DIMS, 'ignore first'),
  spec(37, 'head_loss', 'labels logits stats >loss >log_z', HEAD_DIMS, 'ignore first'),
  spec(38, 'head_backward_w', 'x labels log_z g init? >dw? =logits', HEAD_DIMS, 'ignore first', 'init>dw'),
  spec(39, 'head_backward_x', 'w labels dlogits >dx', HEAD_DIMS, 'ignore first'),
  spec(40, 'attention_backward', 'q k v key_mask? mask? starts? out lse dout >dq >dk >dv', ATTENTION_DIMS, ATTENTION),
  spec(41, 'rms_norm', 'x weight? >out >rstd', 'rows cols', 'eps:f32'),
  spec(42, 'rms_norm_backward', 'x weight? rstd dy addend? >dx', 'rows cols', '', 'addend>dx'),
  spec(43, 'rms_norm_backward_params', 'x rstd dy >dweight', 'rows cols'),
  spec(44, 'rotary', 'x table positions? >out', 'batch time cols position table_rows', 'heads head_dim inverse', 'x>out'),
  spec(45, 'swiglu', 'gate up >out', 'rows cols gate_row up_row'),
  spec(46, 'swiglu_backward', 'gate up dout >dgate >dup', 'rows cols gate_row up_row'),
  spec(47, 'add_integer', 'x >out', 'n', 'c', 'x>out'),
  spec(
    49,
    'beam_scores',
    'logits tokens scores bias? lists? =counts? =state? >report',
    'rows vocab stride list keep',
    `${RULES} draw:scalar`,
  ),
  spec(50, 'permute_rows', '=x parents', 'batch time cols pitch'),
  spec(64, 'matmul_q8', 'a b init? bias? >out >act?', 'm n k', 'activation', 'init>out'),
] as const;

/** The names of the instructions. */
export type OpcodeName = (typeof SPECS)[number]['name'];

/** Every kind of instruction by its name. */
export const OPCODES = Object.fromEntries(SPECS.map((entry) => [entry.name, entry])) as unknown as Readonly<Record<OpcodeName, OpcodeSpec>>;
/** Every kind of instruction by its number. */
export const OPCODE_BY_CODE: ReadonlyMap<number, OpcodeSpec> = new Map(SPECS.map((entry) => [entry.code, entry]));

/** The kinds of `unary`, in the order of their numbers. */
export const UNARY_KINDS = [
  'copy',
  'neg',
  'exp',
  'log',
  'sqrt',
  'square',
  'tanh',
  'sigmoid',
  'relu',
  'gelu_tanh',
  'gelu_erf',
  'scale',
  'add_scalar',
  'reciprocal',
  'abs',
] as const;
/** A kind of `unary`. */
export type UnaryKind = (typeof UNARY_KINDS)[number];

/** The kinds of `binary`, in the order of their numbers. */
export const BINARY_KINDS = ['add', 'sub', 'mul', 'div'] as const;
/** A kind of `binary`. */
export type BinaryKind = (typeof BINARY_KINDS)[number];
/** How `binary` reads b: as a, one row b[inner] for all, one value b[outer] per row, one value. */
export const BINARY_MODE = { same: 0, row: 1, column: 2, scalar: 3 } as const;

/** Layouts of `matmul`: NN a[m,k] b[k,n], NT a[m,k] b[n,k], TN a[k,m] b[k,n]. */
export const MATMUL_FORM = { NN: 0, NT: 1, TN: 2 } as const;
/** The numbers of `matmul`'s activations by the unary kind that they replace. */
export const MATMUL_ACTIVATION: Readonly<Partial<Record<UnaryKind, number>>> = { gelu_tanh: 1, gelu_erf: 2, relu: 3 };
/** Words that share one row of maxima and one of sums in `head_logits`' stats. */
export const STATS_WORDS = 480;
/** Elements per f64 partial of `squared_norm`. */
export const NORM_BLOCK = 4096;
