//! What every transport must hold, of Noise over memory.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

use chat_core::Plugin as _;
use chat_core::testing::transport::Subject;
use transport_memory::{Memory, MemoryOptions};
use transport_noise::OverNoise;

fn over_memory() -> Subject {
    let memory = || Memory::build(MemoryOptions::default()).unwrap();
    Subject::new(move || Box::new(OverNoise(memory())), || "suite:0".into()).on_virtual_time()
}

chat_core::transport_suite!(subject: over_memory());

/// With the streams and datagrams that the core gives to a link that has none.
mod completed {
    use chat_core::Plugin as _;
    use chat_core::testing::transport::Subject;
    use chat_core::transport::emulated::Complete;
    use transport_memory::{Memory, MemoryOptions};
    use transport_noise::OverNoise;

    fn over_memory() -> Subject {
        let memory = || Memory::build(MemoryOptions::default()).unwrap();
        let completed = move || Box::new(Complete(Box::new(OverNoise(memory())))) as _;
        Subject::new(completed, || "completed:0".into()).on_virtual_time()
    }

    chat_core::transport_suite!(subject: over_memory());
}
