//! What udp-arq reads before, and inside, a packet: the front of a datagram, chunks (acknowledgements among them),
//! truncated packet numbers, cookies. The first byte chooses which.
//!
//! What was read, written again, reads as the same. Allocated: 64 bytes for each that came (a chunk of one byte
//! takes that much, and room to grow), and 16 KiB (an ACK of 256 ranges).

use transport_udp_arq::fuzzing;

use crate::alloc::bounded;
use crate::script::Script;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = script.byte();
    bounded(256 * data.len() + (16 << 10), || match kind % 4 {
        0 => fuzzing::datagram(script.rest()),
        1 => fuzzing::chunks(script.rest()),
        2 => fuzzing::numbers(script.u64(), script.u64(), script.u64(), script.u64()),
        _ => fuzzing::cookie(script.rest()),
    });
}
