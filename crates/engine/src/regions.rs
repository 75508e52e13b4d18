//! Persistent memory by number: parameters, moments, gradients, caches, inputs and outputs. A region keeps its address for
//! life, its number is never used again. What lives only during a run is in `arena.rs`.

use crate::by_id::ById;
use crate::error::{bad, EngineError};
use crate::memory::Block;

/// Number of a region; 0 is none.
pub type RegionId = u32;

#[derive(Debug)]
struct Region {
    block: Block,
    /// As asked for; the block is rounded up.
    bytes: u64,
    version: u32,
}

/// All regions of an engine.
#[derive(Debug, Default)]
pub struct Regions {
    map: ById<Region>,
    last_id: RegionId,
    live_bytes: u64,
}

impl Regions {
    /// Takes over a zeroed block of at least `bytes` as a new region of version 1.
    pub fn insert(&mut self, block: Block, bytes: u64) -> RegionId {
        self.last_id += 1;
        self.live_bytes += block.bytes();
        self.map.push(self.last_id, Region { block, bytes, version: 1 });
        self.last_id
    }

    /// Frees a region. `BAD_PROGRAM` if there is none of that number.
    pub fn remove(&mut self, id: RegionId) -> Result<(), EngineError> {
        let region = self.map.remove(id).ok_or_else(|| unknown("region_free", id))?;
        self.live_bytes -= region.block.bytes();
        Ok(())
    }

    /// Address and size in bytes of a region.
    pub fn get(&self, op: &str, id: RegionId) -> Result<(*mut u8, u64), EngineError> {
        self.map.get(id).map(|region| (region.block.pointer(), region.bytes)).ok_or_else(|| unknown(op, id))
    }

    /// The region's contents version: changes whenever it is written by a run, a fill or a [`touch`](Self::touch).
    pub fn version(&self, id: RegionId) -> Result<u32, EngineError> {
        self.map.get(id).map(|region| region.version).ok_or_else(|| unknown("region_version", id))
    }

    /// Notes that the contents changed. An unknown number is ignored: the region went away together with its version.
    pub fn touch(&mut self, id: RegionId) {
        if let Some(region) = self.map.get_mut(id) {
            region.version = region.version.wrapping_add(1);
        }
    }

    /// Bytes of all regions, rounding included.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }
}

fn unknown(op: &str, id: RegionId) -> EngineError {
    bad(format!("{op}: the region must exist, got {id}"))
}
