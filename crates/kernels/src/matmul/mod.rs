//! Matrix products (opcode 1): `out = init + bias + A·B`, `A·Bᵀ` or `Aᵀ·B`, batched, with an optional activation.
//!
//! - `micro.rs`  the register tile (the only hot loop) and the choice of its shape
//! - `panels.rs` the tile over a block: ragged edges, rows with fewer steps (also used by attention and the fused loss)
//! - `pack.rs`   copies of B as the tile reads them
//! - `plan.rs`   work items and cache blocks
//! - `gemv.rs`   at most eight rows: B read in place
//! - `q8.rs`     rows rounded to 16 bits times weights in int8 blocks, for generation (opcode 64)
//!
//! B may be weights in bf16 or int8 blocks (`stored.rs`): they become f32 on the way into the packed copy, so the result has the bits
//! of the product with the f32 numbers they stand for.
//!
//! Numerics: each element is one chain over ascending k from its initial value (`init + bias`), f32, multiply-add fused
//! where the build and the machine fuse. Error at most 5e-7·Σ|a·b| (tested). Blocks of k reload the exact value they
//! stored, so no block size, tile or thread count shows in a bit.

pub mod gemv;
pub mod micro;
pub mod pack;
pub mod panels;
pub mod plan;
pub mod q8;

use crate::gelu::{gelu_erf, gelu_tanh};
use crate::lanes::map1;
use crate::stored::{Bf16, Element, Storage, Stored, STRIP};
use crate::tile::{run_all, Fault, TileOp};
use micro::{register_tile, RegisterTile, Start, MAX_NR};
use pack::{pack_left, packed_len};
use panels::{Left, Product, Steps, Wanted};
use plan::{Plan, FEW_ROWS, MOST_COLS, MOST_DEPTH, MOST_PACKED_ROWS, ROWS};
use simd::F32x4;

pub use micro::set_register_tile;
pub use plan::{set_threads, threads};

/// How the operands lie in memory (all row-major, contiguous).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Form {
    /// `a[m, k]`, `b[k, n]`: A·B.
    Nn = 0,
    /// `a[m, k]`, `b[n, k]`: A·Bᵀ.
    Nt = 1,
    /// `a[k, m]`, `b[k, n]`: Aᵀ·B.
    Tn = 2,
    /// `a[m, k]` rounded to 16 bits, `b[n, k]` in int8 blocks (`q8.rs`). It has an opcode of its own.
    Q8 = 3,
}

/// What is applied to `out` to give `act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Activation {
    /// Nothing; `act` is not written.
    None = 0,
    /// GELU, tanh form.
    GeluTanh = 1,
    /// GELU, erf form.
    GeluErf = 2,
    /// max(0, x); NaN stays NaN.
    Relu = 3,
}

impl Form {
    /// The form of a program word.
    pub fn from_word(word: u32) -> Option<Self> {
        [Self::Nn, Self::Nt, Self::Tn].into_iter().find(|f| *f as u32 == word)
    }
}

impl Activation {
    /// The activation of a program word.
    pub fn from_word(word: u32) -> Option<Self> {
        [Self::None, Self::GeluTanh, Self::GeluErf, Self::Relu].into_iter().find(|f| *f as u32 == word)
    }
}

/// Arguments of the product. Null pointers mean absent.
#[derive(Clone, Copy, Debug)]
pub struct Matmul {
    /// `[batch, m, k]`, or `[batch, k, m]` in the form TN.
    pub a: *const f32,
    /// `[batch, k, n]`, or `[batch, n, k]` in the form NT; in the form Q8 (one matrix only) the words of its cells.
    pub b: *const f32,
    /// `[batch, m, n]` or null: initial values; may be `out`.
    pub init: *const f32,
    /// `[n]` or null: added to the initial values of every row.
    pub bias: *const f32,
    /// `[batch, m, n]`: the result before the activation.
    pub out: *mut f32,
    /// `[batch, m, n]`, or null without an activation: the activated result. Never `out`.
    pub act: *mut f32,
    /// Number of independent products.
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums; 0 gives the initial values.
    pub k: usize,
    /// Layout of `a` and `b`.
    pub form: Form,
    /// How `b` is stored; other than f32 only where it is one matrix and not in the form TN.
    pub storage: Storage,
    /// What gives `act`.
    pub activation: Activation,
    /// How many threads share the work ([`plan::threads`]); no bit depends on it.
    pub threads: usize,
}

/// The part of the result that one work item computes.
struct Item {
    row: usize,
    rows: usize,
    col: usize,
    cols: usize,
    /// Elements before this batch entry in a, b and out.
    base: [usize; 3],
}

impl Matmul {
    fn plan(&self) -> Plan {
        match self.form {
            Form::Q8 => q8::plan(self.threads, self.m, self.n, self.k),
            form => {
                let m = if self.in_place() { self.m } else { self.m.max(FEW_ROWS + 1) };
                Plan::new(self.threads, form, self.batch, m, self.n, self.k)
            }
        }
    }

    /// Whether B is read where it lies (`gemv.rs`).
    fn in_place(&self) -> bool {
        self.m <= FEW_ROWS && self.storage != Storage::Q8
    }

    fn item(&self, plan: &Plan, tile: usize) -> Item {
        let (entry, tile) = (tile / plan.items(self.m, self.n), tile % plan.items(self.m, self.n));
        // Columns run fastest: neighbours in the queue share rows of A.
        let across = self.n.div_ceil(plan.cols);
        let (row, col) = (tile / across * plan.rows, tile % across * plan.cols);
        Item {
            row,
            rows: plan.rows.min(self.m - row),
            col,
            cols: plan.cols.min(self.n - col),
            base: [entry * self.m * self.k, entry * self.k * self.n, entry * self.m * self.n],
        }
    }

    /// Rows of A from (`row`, step `k`) on.
    fn left(&self, item: &Item, k: usize) -> Left {
        let (row, step) = match self.form {
            Form::Tn => (1, self.m),
            _ => (self.k, 1),
        };
        Left { ptr: self.a.wrapping_add(item.base[0] + item.row * row + k * step), row, step }
    }

    fn start(&self, item: &Item) -> Start {
        let offset = item.base[2] + item.row * self.n + item.col;
        let bias = if self.bias.is_null() { self.bias } else { self.bias.wrapping_add(item.col) };
        match (self.init.is_null(), bias.is_null()) {
            (true, true) => Start::zero(),
            (true, false) => Start { from: bias, row: 0, add: core::ptr::null() },
            (false, _) => Start { from: self.init.wrapping_add(offset), row: self.n, add: bias },
        }
    }

    /// Runs one tile with a given register tile; [`TileOp::run_tile`] takes the one in use.
    ///
    /// # Safety
    /// As [`TileOp::run_tile`].
    pub unsafe fn run_tile_with(&self, register: RegisterTile, tile: usize, scratch: *mut f32) {
        let plan = self.plan();
        let item = self.item(&plan, tile);
        let out = self.out.wrapping_add(item.base[2] + item.row * self.n + item.col);
        // SAFETY (both): the item lies inside the operands the caller vouches for.
        unsafe {
            if self.form == Form::Q8 {
                let (left, start) = (self.left(&item, 0), self.start(&item));
                let cells = (self.b as *const i32).wrapping_add(q8::words(item.col, self.k));
                q8::product(item.rows, left, cells, self.k, item.cols, start, out, self.n, scratch);
            } else if self.in_place() {
                match self.storage {
                    Storage::F32 => self.few_rows(&item, self.b.wrapping_add(item.base[1]), out),
                    _ if self.form == Form::Nt || self.n >= gemv::LEAST_BF16 => {
                        self.few_rows(&item, self.b as *const Bf16, out)
                    }
                    _ => self.few_rows_widened(&item, out, scratch),
                }
            } else {
                self.many_rows(&plan, &item, register, out, scratch);
            }
            self.activate(&item);
        }
    }

    unsafe fn many_rows(&self, plan: &Plan, item: &Item, register: RegisterTile, out: *mut f32, packed: *mut f32) {
        let nr = register.nr();
        let b = self.stored(item);
        let mut start = self.start(item);
        let mut k = 0;
        loop {
            let depth = plan.depth.min(self.k - k);
            let mut product = Product {
                left: self.left(item, k),
                rows: item.rows,
                packed,
                cols: item.cols,
                depth,
                start,
                out,
                out_row: self.n,
                wanted: Wanted::All,
                steps: Steps::All,
            };
            // SAFETY: the block of B is k..k + depth by the item's columns; scratch holds it packed, and behind it A or a strip.
            unsafe {
                let left = packed.add(packed_len(depth, item.cols, nr));
                match self.form {
                    Form::Nn | Form::Tn => b.pack_rows(k, depth, item.col, item.cols, nr, packed, left),
                    _ => b.pack_columns(item.col, item.cols, k, depth, nr, packed, left),
                }
                if self.form == Form::Tn {
                    pack_left(product.left.ptr, self.m, depth, item.rows, register.mr(), left);
                    product.left.ptr = left;
                    product.run_packed(register);
                } else {
                    product.run(register);
                }
            }
            k += depth;
            if k >= self.k {
                return;
            }
            start = Start { from: out, row: self.n, add: core::ptr::null() };
        }
    }

    fn stored(&self, item: &Item) -> Stored {
        let columns = if self.form == Form::Nt { self.k } else { self.n };
        Stored { base: self.b.wrapping_add(item.base[1]), columns, storage: self.storage }
    }

    /// A·B of few rows with bf16 B of short rows: a few of them become f32 at a time, read one after the other.
    unsafe fn few_rows_widened(&self, item: &Item, out: *mut f32, room: *mut f32) {
        let (b, mut start) = (self.stored(item), self.start(item));
        let (rows, n, cols) = (item.rows, self.n, item.cols);
        // SAFETY: all of k for the item's columns, a strip of B's rows at a time, which the scratch has room for.
        unsafe {
            let mut k = 0;
            loop {
                let steps = gemv::STRIP.min(self.k - k);
                b.widen(k, steps, item.col, cols, room);
                gemv::along_rows(rows, self.left(item, k), room, cols, steps, cols, start, out, n);
                k += steps;
                if k >= self.k {
                    return;
                }
                start = Start { from: out, row: n, add: core::ptr::null() };
            }
        }
    }

    unsafe fn few_rows<E: Element>(&self, item: &Item, b: *const E, out: *mut f32) {
        let (left, start) = (self.left(item, 0), self.start(item));
        let (rows, cols, depth) = (item.rows, item.cols, self.k);
        // SAFETY: all of k for the item's columns.
        unsafe {
            match self.form {
                Form::Nn | Form::Tn => {
                    gemv::along_rows(rows, left, b.wrapping_add(item.col), self.n, depth, cols, start, out, self.n)
                }
                _ => gemv::along_columns(
                    rows,
                    left,
                    b.wrapping_add(item.col * self.k),
                    self.k,
                    depth,
                    cols,
                    start,
                    out,
                    self.n,
                ),
            }
        }
    }

    /// The second pass over the item's block, which is still in the cache.
    unsafe fn activate(&self, item: &Item) {
        for row in item.row..item.row + item.rows {
            let at = item.base[2] + row * self.n + item.col;
            let (x, y) = (self.out.wrapping_add(at), self.act.wrapping_add(at));
            // SAFETY: the item's columns of one row.
            unsafe {
                match self.activation {
                    Activation::None => return,
                    Activation::GeluTanh => gelu_tanh(x, y, item.cols),
                    Activation::GeluErf => gelu_erf(x, y, item.cols),
                    Activation::Relu => map1(x, y, item.cols, |x| x.max(F32x4::zero())),
                }
            }
        }
    }
}

impl TileOp for Matmul {
    fn tiles(&self) -> usize {
        self.batch * self.plan().items(self.m, self.n)
    }

    /// An upper bound that grows with every dim, so that what the largest extents need is enough for all.
    fn scratch_len(&self) -> usize {
        if self.form == Form::Q8 {
            return q8::scratch_words(self.m, self.k);
        }
        let few = self.storage.room(gemv::STRIP * self.n.min(gemv::LEAST_BF16));
        if self.in_place() {
            return few;
        }
        let depth = self.k.min(MOST_DEPTH);
        let left = if self.form == Form::Tn { packed_len(depth, self.m.min(MOST_PACKED_ROWS), ROWS) } else { 0 };
        (packed_len(depth, self.n.min(MOST_COLS), MAX_NR) + left + self.storage.room(depth * STRIP)).max(few)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        // SAFETY: passed on from the caller.
        unsafe { self.run_tile_with(register_tile(), tile, scratch) };
        Ok(())
    }
}

/// Sizes of a product: `batch` times `[m, k] x [k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Number of independent products.
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
}

/// `out[batch, m, n] = (init +) (bias +) A·B` in the given form, see [`Matmul`].
///
/// # Panics
/// If a slice has not the length that `dims` say.
pub fn matmul_forward(
    form: Form,
    dims: Dims,
    a: &[f32],
    b: &[f32],
    init: Option<&[f32]>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let init = init.map_or(core::ptr::null(), |x| {
        assert_eq!(x.len(), dims.batch * dims.m * dims.n, "matmul: init must be [batch, m, n]");
        x.as_ptr()
    });
    checked(form, dims, a, b, init, bias, out, None);
}

/// `out[batch, m, n] += (bias +) A·B` in the given form, see [`Matmul`].
///
/// # Panics
/// If a slice has not the length that `dims` say.
pub fn matmul_accumulate(form: Form, dims: Dims, a: &[f32], b: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let init = out.as_ptr();
    checked(form, dims, a, b, init, bias, out, None);
}

/// `out = (bias +) A·B` and `act = activation(out)`, see [`Matmul`].
///
/// # Panics
/// If a slice has not the length that `dims` say.
pub fn matmul_activated(
    form: Form,
    dims: Dims,
    a: &[f32],
    b: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    activation: Activation,
    act: &mut [f32],
) {
    assert_eq!(act.len(), dims.batch * dims.m * dims.n, "matmul: act must be [batch, m, n]");
    checked(form, dims, a, b, core::ptr::null(), bias, out, Some((activation, act)));
}

fn checked(
    form: Form,
    dims: Dims,
    a: &[f32],
    b: &[f32],
    init: *const f32,
    bias: Option<&[f32]>,
    out: &mut [f32],
    act: Option<(Activation, &mut [f32])>,
) {
    let Dims { batch, m, n, k } = dims;
    assert_eq!(a.len(), batch * m * k, "matmul: a must hold batch·m·k elements");
    assert_eq!(b.len(), batch * k * n, "matmul: b must hold batch·k·n elements");
    assert_eq!(out.len(), batch * m * n, "matmul: out must be [batch, m, n]");
    let bias = bias.map_or(core::ptr::null(), |x| {
        assert_eq!(x.len(), n, "matmul: bias must be [n]");
        x.as_ptr()
    });
    let (activation, act) = act.map_or((Activation::None, core::ptr::null_mut()), |(kind, x)| (kind, x.as_mut_ptr()));
    let op = Matmul {
        a: a.as_ptr(),
        b: b.as_ptr(),
        init,
        bias,
        out: out.as_mut_ptr(),
        act,
        batch,
        m,
        n,
        k,
        form,
        storage: Storage::F32,
        activation,
        threads: plan::threads(),
    };
    // SAFETY: every slice has the length its dims say; init is a slice of out's length or out itself.
    let result = unsafe { run_all(&op) };
    debug_assert!(result.is_ok(), "a product has no faults");
}

#[cfg(test)]
mod tests;
