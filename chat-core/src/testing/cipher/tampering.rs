//! What must be refused, and how it is refused.

use super::{CipherPlugin, open, seal, text};
use crate::cipher::{AeadKey, TAG_LEN};
use crate::error::CryptoError;
use crate::testing::bytes::{bits_to_try, crossed, extended, flipped, lengths_to_try, shares_a_run};
use crate::testing::entropy::TestEntropy;
use crate::testing::rule::{Must as _, Violation, ensure};

const AAD: &[u8] = b"associated data";

/// Only [`CryptoError::Forged`]: a refusal that tells more is an oracle.
fn is_forged(key: &dyn AeadKey, seq: u64, aad: &[u8], sealed: &[u8], what: &str) -> Result<(), Violation> {
    let error = open(key, seq, aad, sealed).must_fail(what)?;
    ensure!(error == CryptoError::Forged, "{what} is refused as {error:?}");
    Ok(())
}

/// All bits of short messages and of their tags, a sample of long ones' up to 1 MiB, and the parts of two messages
/// put together.
pub fn every_flipped_bit_of_the_ciphertext_is_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let mut tried = 0;
    for len in [0, 1, 47, 5000] {
        let sealed = seal(&*key, 1, AAD, &text(len))?;
        for bit in bits_to_try(sealed.len(), 1000) {
            let what = format!("{len} bytes sealed with bit {bit} flipped");
            is_forged(&*key, 1, AAD, &flipped(&sealed, bit), &what)?;
            tried += 1;
        }
        open(&*key, 1, AAD, &sealed).must("opening what was not damaged")?;
    }
    ensure!(tried >= 1500, "only {tried} bits were tried");
    for (len, most) in [(64 << 10, 16), (1 << 20, 5)] {
        let sealed = seal(&*key, 1, AAD, &text(len))?;
        for n in 1..=most {
            let bit = sealed.len() * 8 / most * n - 1;
            let what = format!("{len} bytes sealed with bit {bit} flipped");
            is_forged(&*key, 1, AAD, &flipped(&sealed, bit), &what)?;
        }
    }
    let (one, other) = (seal(&*key, 1, AAD, &text(40))?, seal(&*key, 1, AAD, &[7; 40])?);
    for crossed in crossed(&one, &other, 100) {
        is_forged(&*key, 1, AAD, &crossed, "a message put together from two")?;
    }
    Ok(())
}

/// Every flipped bit (of long data a sample), shorter, longer, none, and bytes moved between data and text. Sessions
/// have 45 bytes and more of it.
pub fn other_associated_data_is_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    for aad_len in [1, 16, 28, 45, 64, 200] {
        let key = plugin.key(1)?;
        let (aad, plain) = (vec![0; aad_len], text(47));
        let sealed = seal(&*key, 1, &aad, &plain)?;
        let refused = |other: &[u8], what: String| is_forged(&*key, 1, other, &sealed, &what);
        for bit in bits_to_try(aad_len, 100) {
            refused(&flipped(&aad, bit), format!("associated data with bit {bit} flipped"))?;
        }
        for len in lengths_to_try(aad_len, 10) {
            refused(&aad[..len], format!("associated data of {len} bytes for {aad_len}"))?;
        }
        for longer in extended(&aad) {
            refused(&longer, format!("associated data of {} bytes for {aad_len}", longer.len()))?;
        }
        for moved in 1..=16 {
            let longer = [&aad[..], &sealed[..moved]].concat();
            is_forged(&*key, 1, &longer, &sealed[moved..], "text moved into the associated data")?;
        }
    }
    let key = plugin.key(1)?;
    let sealed = seal(&*key, 1, b"", b"text")?;
    is_forged(&*key, 1, b"\0", &sealed, "associated data where there was none")
}

/// Each of the 64 bits of the number.
pub fn another_sequence_number_is_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let last = plugin.cipher.message_limit().saturating_sub(1);
    for seq in [0, 1.min(last), last] {
        let sealed = seal(&*key, seq, AAD, &text(47))?;
        for bit in 0..64 {
            let other = seq ^ (1 << bit);
            let error = open(&*key, other, AAD, &sealed).must_fail(format!("{seq} opened as {other}"))?;
            let plain = matches!(error, CryptoError::Forged | CryptoError::Exhausted(_));
            ensure!(plain, "{seq} opened as {other} is refused as {error:?}");
        }
    }
    Ok(())
}

/// Each bit of the key counts.
pub fn another_key_is_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    let (key, bytes) = (plugin.key(1)?, plugin.key_bytes(1));
    let sealed = seal(&*key, 1, AAD, &text(47))?;
    for bit in 0..bytes.len() * 8 {
        let other = plugin.cipher.key(&flipped(&bytes, bit)).must("making a key")?;
        is_forged(&*other, 1, AAD, &sealed, &format!("a key with bit {bit} flipped"))?;
    }
    Ok(())
}

/// Cut to every shorter length, at either end. What has no room for a tag is `Malformed`.
pub fn every_truncation_is_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    for text_len in [0, 1, 47, 5000] {
        let sealed = seal(&*key, 1, AAD, &text(text_len))?;
        for len in lengths_to_try(sealed.len(), 100) {
            for cut in [&sealed[..len], &sealed[sealed.len() - len..]] {
                let what = format!("{len} of {} bytes", sealed.len());
                let error = open(&*key, 1, AAD, cut).must_fail(&what)?;
                let expected = match error {
                    CryptoError::Malformed(_) => true,
                    CryptoError::Forged => len >= TAG_LEN,
                    _ => false,
                };
                ensure!(expected, "{what} is refused as {error:?}");
            }
        }
    }
    Ok(())
}

/// Longer by any bytes, at either end or inside.
pub fn every_extension_is_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    for text_len in [0, 1, 16, 47] {
        let sealed = seal(&*key, 1, AAD, &text(text_len))?;
        for longer in extended(&sealed) {
            let what = format!("{} bytes for {}", longer.len(), sealed.len());
            let error = open(&*key, 1, AAD, &longer).must_fail(&what)?;
            let expected = matches!(error, CryptoError::Malformed(_) | CryptoError::Forged);
            ensure!(expected, "{what} is refused as {error:?}");
        }
    }
    Ok(())
}

/// Whoever ignores the error finds nothing in the buffer that he could use.
pub fn a_refused_open_leaves_no_plaintext(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let mut refused = 0;
    for len in [24, 100, 20_000] {
        let plain = text(len);
        let sealed = seal(&*key, 1, AAD, &plain)?;
        let last = sealed.len() * 8 - 1;
        let damaged = [flipped(&sealed, last), flipped(&sealed, 0), flipped(&sealed, len * 4)];
        let attempts = damaged.iter().map(|damaged| (damaged, AAD)).chain([(&sealed, &b"other"[..])]);
        for (sealed, aad) in attempts {
            let mut buf = sealed.clone();
            if key.open(1, aad, &mut buf).is_err() {
                ensure!(!shares_a_run(&buf, &plain, 6), "plaintext is left of {len} bytes that were refused");
                refused += 1;
            }
        }
    }
    ensure!(refused > 0, "nothing was refused");
    Ok(())
}

/// Nothing that comes from outside makes a cipher panic, or opens by chance.
pub fn random_bytes_are_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let mut entropy = TestEntropy::new(77);
    for round in 0..1000_u64 {
        let len = TAG_LEN + entropy.below(300);
        let aad_len = entropy.below(40);
        let (bytes, aad) = (entropy.take(len), entropy.take(aad_len));
        open(&*key, round, &aad, &bytes).must_fail(format!("{len} random bytes"))?;
    }
    Ok(())
}
