//! The ends of what a key may do.

use super::{CipherPlugin, open, seal, text};
use crate::error::CryptoError;
use crate::testing::rule::{Must as _, Violation, ensure};

/// Sessions of this project renew themselves at half a limit; below this that would be all the time.
const LEAST_LIMIT: u64 = 1 << 16;

/// There is a limit; all numbers below it seal, none from it on, and a seal that is refused leaves the
/// buffer as it was.
pub fn the_message_limit_holds(plugin: &CipherPlugin) -> Result<(), Violation> {
    let limit = plugin.cipher.message_limit();
    ensure!(limit >= LEAST_LIMIT, "{limit} messages under one key are too few");
    ensure!(limit < u64::MAX, "no algorithm has no limit");
    let key = plugin.key(1)?;
    for seq in [0, 1, limit / 2, limit - 1] {
        let sealed = seal(&*key, seq, b"aad", &text(20))?;
        let opened = open(&*key, seq, b"aad", &sealed).must(format!("opening number {seq}"))?;
        ensure!(opened == text(20), "number {seq} opens to something else");
    }
    for seq in [limit, limit.saturating_add(1), u64::MAX] {
        let mut buf = text(20);
        let error = key.seal(seq, b"aad", &mut buf).must_fail(format!("sealing with number {seq}"))?;
        ensure!(matches!(error, CryptoError::Exhausted(_)), "number {seq} is refused as {error:?}");
        ensure!(buf == text(20), "a refused seal changed the buffer");
    }
    Ok(())
}

/// A peer may send any number: opening at the limits never panics and never succeeds by chance.
pub fn the_ends_of_the_sequence_numbers_are_safe(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let limit = plugin.cipher.message_limit();
    for seq in [0, limit - 1, limit, limit.saturating_add(1), u64::MAX - 1, u64::MAX] {
        for len in [16, 17, 100] {
            let error = open(&*key, seq, b"aad", &text(len)).must_fail(format!("rubbish opened as {seq}"))?;
            let plain =
                matches!(error, CryptoError::Forged | CryptoError::Malformed(_) | CryptoError::Exhausted(_));
            ensure!(plain, "rubbish opened as {seq} is refused as {error:?}");
        }
    }
    Ok(())
}
