//! How long an instruction takes on one thread, roughly: from its arithmetic and from the elements it touches. Good enough to
//! decide whether work is worth sharing, and how often to look at the clock. It never decides what is computed.

use super::Op;

/// Of the large products, on a core of a few years ago: 40 GFLOP/s.
const NS_PER_FLOP: f64 = 0.025;
/// Operands of products that are used a few times only (generation): from a second- or third-level cache.
const NS_PER_OPERAND: f64 = 0.12;
/// Elementwise and row-wise work, per element of any operand; between an addition (0.05) and dropout (1).
const NS_PER_ELEMENT: f64 = 0.3;

/// Nanoseconds, within a small factor, for an operation whose operands have `elements` elements together.
pub fn cost_ns(op: &Op, elements: u64) -> f64 {
    let flops = op.flops();
    let per_element = if flops > 0.0 { NS_PER_OPERAND } else { NS_PER_ELEMENT };
    flops * NS_PER_FLOP + elements as f64 * per_element
}
