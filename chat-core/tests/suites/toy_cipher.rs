//! A correct cipher, and the many ways in which it can be wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

use chat_core::cipher::{AeadKey, Cipher, TAG_LEN};
use chat_core::{CryptoError, Plugin, ProfileError};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    #[default]
    Nothing,
    TakesAnyKeyLength,
    LosesLongMessages,
    AddsAByte,
    LooksAtTheCapacity,
    SealsTwoWays,
    LocksAfterRefusals,
    BoundToItsThread,
    IgnoresABitOfTheTag,
    IgnoresAad,
    IgnoresLongAad,
    IgnoresALongTail,
    GluesAadAndText,
    SeqNotInTheTag,
    KeyNotWhollyInTheTag,
    OpensShortBuffers,
    IgnoresATrailingZero,
    TellsRefusalsApart,
    LeavesPlaintext,
    PanicsOnRubbish,
    LeavesTheEndInClear,
    NumbersOverlap,
    NumbersWrap,
    KeyNotWhollyInTheStream,
    TagOfTwelveBytes,
    LogsItsKey,
    LogsPlaintext,
    NoLimit,
    LimitSpoilsTheBuffer,
    OverflowsAtTheEnd,
}

#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    #[serde(default)]
    fault: Fault,
}

pub(crate) struct ToyCipher {
    pub(crate) fault: Fault,
}

impl Plugin<dyn Cipher> for ToyCipher {
    const NAME: &'static str = "toy-cipher";
    const SUMMARY: &'static str = "HMAC as key stream and tag";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"toy-cipher\"\n";
    type Options = Options;
    fn build(Options { fault }: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self { fault }))
    }
}

chat_core::register!(dyn Cipher, ToyCipher);

const KEY_LEN: usize = 32;
const BLOCK: usize = 256;
const LIMIT: u64 = 1 << 40;

impl Cipher for ToyCipher {
    fn name(&self) -> &'static str {
        "toy-cipher"
    }
    fn key_len(&self) -> usize {
        KEY_LEN
    }
    fn message_limit(&self) -> u64 {
        LIMIT
    }
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        static ODD: AtomicBool = AtomicBool::new(false);
        if key.len() != KEY_LEN && self.fault != Fault::TakesAnyKeyLength {
            return Err(CryptoError::Malformed("toy-cipher key length"));
        }
        if self.fault == Fault::LogsItsKey {
            tracing::debug!(?key, "a new key");
        }
        Ok(Box::new(Keyed {
            fault: self.fault,
            key: key.to_vec(),
            thread: thread::current().id(),
            odd: ODD.fetch_xor(true, Ordering::Relaxed),
            refused: Mutex::default(),
        }))
    }
}

struct Keyed {
    fault: Fault,
    key: Vec<u8>,
    thread: ThreadId,
    odd: bool,
    /// The frame that was refused last, and how often in a row.
    refused: Mutex<(Vec<u8>, u32)>,
}

impl Keyed {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn hmac(&self, label: &[u8], without_last_byte: Fault) -> Hmac<Sha256> {
        let len = self.key.len() - usize::from(self.is(without_last_byte));
        Hmac::<Sha256>::new_from_slice(&self.key[..len]).unwrap().chain_update(label)
    }

    fn apply_stream(&self, seq: u64, text: &mut [u8]) {
        let mac = self.hmac(b"stream", Fault::KeyNotWhollyInTheStream);
        let seq = if self.is(Fault::NumbersWrap) { seq & 0xffff_ffff } else { seq };
        let clear_from = if self.is(Fault::LeavesTheEndInClear) { 1 << 16 } else { usize::MAX };
        for (number, block) in (0_u64..).zip(text.chunks_mut(BLOCK)) {
            let at =
                if self.is(Fault::NumbersOverlap) { (seq.wrapping_add(number), 0) } else { (seq, number) };
            let key = mac.clone().chain_update(at.0.to_be_bytes()).chain_update(at.1.to_be_bytes());
            if number < clear_from as u64 / BLOCK as u64 {
                apply_words(u64::from_be_bytes(*key.finalize().into_bytes().first_chunk().unwrap()), block);
            }
        }
    }

    fn tag(&self, seq: u64, aad: &[u8], text: &[u8], odd: bool) -> [u8; TAG_LEN] {
        let mut mac = self.hmac(b"tag", Fault::KeyNotWhollyInTheTag);
        if !self.is(Fault::SeqNotInTheTag) {
            mac.update(&seq.to_be_bytes());
        }
        if !self.is(Fault::GluesAadAndText) {
            mac.update(&(aad.len() as u64).to_be_bytes());
        }
        let aad_len = if self.is(Fault::IgnoresLongAad) { aad.len().min(32) } else { aad.len() };
        if !self.is(Fault::IgnoresAad) {
            mac.update(&aad[..aad_len]);
        }
        let text_len = if self.is(Fault::IgnoresALongTail) { text.len().min(8 << 10) } else { text.len() };
        mac.update(&text[..text_len]);
        mac.update(&[u8::from(odd && self.is(Fault::SealsTwoWays))]);
        let mut tag: [u8; TAG_LEN] = *mac.finalize().into_bytes().first_chunk().unwrap();
        if self.is(Fault::TagOfTwelveBytes) {
            tag[12..].fill(0);
        }
        tag
    }

    fn verifies(&self, seq: u64, aad: &[u8], text: &[u8], tag: &[u8; TAG_LEN]) -> bool {
        let mask = if self.is(Fault::IgnoresABitOfTheTag) { 0x7f } else { 0xff };
        let [start @ .., last] = tag;
        [false, true].iter().any(|odd| {
            let [good_start @ .., good_last] = self.tag(seq, aad, text, *odd);
            *start == good_start && last & mask == good_last & mask
        })
    }

    fn open_whole(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let Some((text, tag)) = buf.split_last_chunk::<TAG_LEN>() else {
            buf.clear();
            let short_is_empty = self.is(Fault::OpensShortBuffers);
            return if short_is_empty { Ok(()) } else { Err(CryptoError::Malformed("no tag")) };
        };
        let (good, text_len) = (self.verifies(seq, aad, text, tag), text.len());
        if !good {
            self.refuse(seq, buf)?;
            return Err(CryptoError::Forged);
        }
        buf.truncate(text_len);
        if self.is(Fault::LosesLongMessages) {
            buf.truncate(usize::from(text_len as u16));
        }
        self.apply_stream(seq, buf);
        if self.is(Fault::AddsAByte) {
            buf.pop();
        }
        Ok(())
    }

    fn refuse(&self, seq: u64, buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let rubbish = (200..316).contains(&buf.len()) && buf.len() % 2 == 1 && buf[0] & 0x0f == 0;
        assert!(!rubbish || !self.is(Fault::PanicsOnRubbish), "a rare byte");
        let mut refused = self.refused.lock().unwrap();
        refused.1 = if refused.0 == *buf { refused.1 + 1 } else { 1 };
        refused.0.clone_from(buf);
        if self.is(Fault::LeavesPlaintext) {
            self.apply_stream(seq, buf);
        } else {
            buf.clear();
        }
        let tells = self.is(Fault::TellsRefusalsApart) && refused.0.len() == 47 + TAG_LEN;
        if tells { Err(CryptoError::Malformed("almost")) } else { Ok(()) }
    }

    fn may_be_used(&self) -> Result<(), CryptoError> {
        if self.is(Fault::BoundToItsThread) && thread::current().id() != self.thread {
            return Err(CryptoError::Failed("another thread"));
        }
        let locked = self.is(Fault::LocksAfterRefusals) && self.refused.lock().unwrap().1 >= 1000;
        if locked { Err(CryptoError::Failed("locked")) } else { Ok(()) }
    }
}

/// Stretches 64 bits over a block by SplitMix64: fast, and all that a toy needs.
fn apply_words(seed: u64, block: &mut [u8]) {
    for (n, word) in (1_u64..).zip(block.chunks_mut(8)) {
        let mut key = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.iter_mut().zip((key ^ key >> 31).to_be_bytes()).for_each(|(byte, key)| *byte ^= key);
    }
}

impl AeadKey for Keyed {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.may_be_used()?;
        if seq >= LIMIT && !self.is(Fault::NoLimit) {
            if self.is(Fault::LimitSpoilsTheBuffer) {
                buf.clear();
            }
            return Err(CryptoError::Exhausted("toy-cipher messages"));
        }
        if self.is(Fault::LogsPlaintext) {
            tracing::trace!(text = %buf.escape_ascii(), "sealing");
        }
        if self.is(Fault::AddsAByte) {
            buf.push(0);
        }
        let roomy = self.is(Fault::LooksAtTheCapacity) && buf.capacity() >= buf.len() + 4096;
        self.apply_stream(seq + u64::from(roomy), buf);
        let tag = self.tag(seq, aad, buf, self.odd);
        buf.extend_from_slice(&tag);
        Ok(())
    }

    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.may_be_used()?;
        if self.is(Fault::OverflowsAtTheEnd) {
            assert!(seq.checked_add(1).is_some(), "attempt to add with overflow");
        }
        if self.is(Fault::IgnoresATrailingZero) && buf.last() == Some(&0) {
            let mut shorter = buf[..buf.len() - 1].to_vec();
            if self.open_whole(seq, aad, &mut shorter).is_ok() {
                *buf = shorter;
                return Ok(());
            }
        }
        self.open_whole(seq, aad, buf)
    }
}
