//! Measures the register tiles of the matrix product on this engine and processor. It only measures: the caller compares and
//! chooses ([`Engine::set_register_tile`]), and since all tiles give the same bits a wrong choice costs speed, nothing else.

use crate::engine::Engine;
use crate::error::{bad, EngineError};
use crate::memory::{rounded, Block};
use kernels::matmul::micro::RegisterTile;
use kernels::matmul::{set_register_tile, Activation, Form, Matmul};
use kernels::stored::Storage;
use kernels::tile::TileOp;

/// One product of 192 x 64 x 256: the depth and the height of the training shapes, everything within a second-level cache
/// (A 192 KiB, B and its packed copy 64 KiB each). About 0.1 ms, so that a burst of two milliseconds is many products.
const ROWS: usize = 192;
const COLS: usize = 64;
const DEPTH: usize = 256;

impl Engine {
    /// How many register tiles there are; they are numbered from 0, the default.
    pub fn register_tiles(&self) -> u32 {
        RegisterTile::ALL.len() as u32
    }

    /// A tile's size, `rows x columns` of the result: "4x8".
    pub fn register_tile_name(&self, tile: u32) -> Result<String, EngineError> {
        named("register_tile_name", tile).map(|tile| format!("{}x{}", tile.mr(), tile.nr()))
    }

    /// The tile that every product of this memory uses from now on. `BUSY` while a run is in progress.
    pub fn set_register_tile(&mut self, tile: u32) -> Result<(), EngineError> {
        self.idle("set_register_tile")?;
        set_register_tile(named("set_register_tile", tile)?);
        Ok(())
    }

    /// Multiplies with one tile for `budget_ms` on this thread; returns GFLOP/s (2 per multiply-add, packing included in the
    /// time). With a clock of coarse steps it begins and ends at a step, so that it may take two steps more. The memory it
    /// needs (about 0.5 MiB) is given back. `OUT_OF_MEMORY`, `BAD_PROGRAM` for a tile that is not there, `BUSY`.
    pub fn tile_self_test(&mut self, tile: u32, budget_ms: f64) -> Result<f64, EngineError> {
        let op = "tile_self_test";
        self.idle(op)?;
        let tile = named(op, tile)?;
        let mut product = Matmul {
            a: core::ptr::null(),
            b: core::ptr::null(),
            init: core::ptr::null(),
            bias: core::ptr::null(),
            out: core::ptr::null_mut(),
            act: core::ptr::null_mut(),
            batch: 1,
            m: ROWS,
            n: COLS,
            k: DEPTH,
            form: Form::Nn,
            storage: Storage::F32,
            activation: Activation::None,
            threads: 1,
        };
        let lengths = [ROWS * DEPTH, DEPTH * COLS, ROWS * COLS, product.scratch_len()];
        let bytes = lengths.map(|length| length as u64 * 4);
        let needed = bytes.iter().map(|&bytes| rounded(bytes)).sum();
        self.reserve(op, needed)?;
        let blocks: Option<Vec<Block>> = bytes.iter().map(|&bytes| Block::zeroed(bytes)).collect();
        let blocks = blocks.ok_or_else(|| self.exhausted(op, needed))?;
        let [a, b, out, scratch] = [0, 1, 2, 3].map(|i| blocks[i].pointer().cast::<f32>());
        for (pointer, length) in [(a, lengths[0]), (b, lengths[1])] {
            // SAFETY: the block holds that many floats and is ours alone.
            unsafe { core::slice::from_raw_parts_mut(pointer, length) }.fill(0.5);
        }
        (product.a, product.b, product.out) = (a, b, out);
        let shared = self.shared.clone();
        let before = shared.now();
        let mut started = shared.now();
        while started == before {
            started = shared.now();
        }
        let mut products = 0u32;
        loop {
            for item in 0..product.tiles() {
                // SAFETY: operands and scratch are as long as the product's dims say; nobody else knows them.
                unsafe { product.run_tile_with(tile, item, scratch) };
            }
            products += 1;
            let elapsed_ms = shared.now() - started;
            if elapsed_ms >= budget_ms && elapsed_ms > 0.0 {
                return Ok(f64::from(products) * (2 * ROWS * COLS * DEPTH) as f64 / (elapsed_ms * 1e6));
            }
        }
    }
}

fn named(op: &str, tile: u32) -> Result<RegisterTile, EngineError> {
    let last = RegisterTile::ALL.len() - 1;
    let found = RegisterTile::ALL.get(tile as usize).copied();
    found.ok_or_else(|| bad(format!("{op}: the register tile must be from 0 to {last}, got {tile}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock of steps of 4 ms that moves on at every eighth look.
    fn coarse() -> f64 {
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        (LOOKS.fetch_add(1, Ordering::Relaxed) / 8 * 4) as f64
    }

    #[test]
    fn every_tile_is_measured_and_can_be_chosen_and_leaves_no_memory_behind() {
        let mut engine = Engine::new(1, coarse).unwrap();
        let before = engine.live_bytes();
        let mut names = Vec::new();
        for tile in 0..engine.register_tiles() {
            names.push(engine.register_tile_name(tile).unwrap());
            engine.set_register_tile(tile).unwrap();
            let rate = engine.tile_self_test(tile, 1.0).unwrap();
            // From one step to the next: 8 looks, each after a product, in 4 ms.
            let products = rate * 4.0 * 1e6 / (2 * ROWS * COLS * DEPTH) as f64;
            assert!((7.9..8.1).contains(&products), "{products}");
        }
        engine.set_register_tile(0).unwrap();
        assert_eq!(names[0], "4x8");
        names.dedup();
        assert_eq!(names.len(), engine.register_tiles() as usize);
        assert_eq!(engine.live_bytes(), before);
    }

    #[test]
    fn a_tile_that_is_not_there_and_memory_that_is_not_granted_are_refused() {
        let mut engine = Engine::new(1, || 0.0).unwrap();
        let beyond = engine.register_tiles();
        for error in [
            engine.register_tile_name(beyond).map(|_| ()).unwrap_err(),
            engine.set_register_tile(beyond).unwrap_err(),
            engine.tile_self_test(beyond, 1.0).map(|_| ()).unwrap_err(),
        ] {
            assert!(error.to_string().starts_with("BAD_PROGRAM: "), "{error}");
        }
        engine.set_memory_limit(1e5);
        let error = engine.tile_self_test(0, 1.0).unwrap_err();
        assert!(error.to_string().starts_with("OUT_OF_MEMORY: tile_self_test: needs "), "{error}");
    }
}
