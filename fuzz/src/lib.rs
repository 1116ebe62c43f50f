//! What must hold for every input. The fuzz targets look for a counterexample; `cargo test` replays what they kept.

pub mod readers;
pub mod wire;
