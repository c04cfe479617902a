//! What the fuzz targets do. Each is a function of bytes in [`targets`] that panics on a finding, so that the same
//! code runs under libFuzzer (`fuzz_targets/`) and, over the corpora that are checked in, under `cargo test`.

pub mod alloc;
pub mod cbor;
pub mod parties;
pub mod script;
pub mod seeds;
pub mod targets;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;
