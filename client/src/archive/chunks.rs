//! The bytes of an export: `lp(sealed key)`, then chunks of `length u32 ‖ ciphertext ‖ tag`, each bound to its number and
//! to whether it is the last, so that none can be left out, moved, or cut off. XChaCha20-Poly1305 under a key of the
//! export's own; the nonce is the number.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use chat_core::entropy::Entropy;
use zeroize::Zeroizing;

use super::{ArchiveError, open_portable, seal_portable};

const MAGIC: &[u8; 16] = b"chat-db-export-1";
/// Plaintext of a chunk.
const CHUNK: usize = 64 << 10;
/// Longest sealed key.
const MAX_KEY: usize = 1024;
const TAG: usize = 16;

fn aad(number: u64, last: bool) -> Vec<u8> {
    [&b"chat/export/1 chunk"[..], &number.to_be_bytes(), &[u8::from(last)]].concat()
}

fn nonce(number: u64) -> XNonce {
    let mut nonce = [0; 24];
    nonce.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
    nonce.into()
}

/// Writes an export.
pub(super) struct Sink<W> {
    out: W,
    path: PathBuf,
    cipher: XChaCha20Poly1305,
    buffer: Zeroizing<Vec<u8>>,
    number: u64,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(
        mut out: W,
        path: &Path,
        passphrase: &str,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ArchiveError> {
        let key = Zeroizing::new(entropy.bytes::<32>()?);
        let sealed = seal_portable(MAGIC, passphrase, &*key, entropy)?;
        let io = |source| ArchiveError::Io { path: path.to_owned(), source };
        out.write_all(&length(&sealed).to_be_bytes()).and_then(|()| out.write_all(&sealed)).map_err(io)?;
        Ok(Self::under(out, path, &key))
    }

    /// The chunks behind the sealed key.
    pub(super) fn under(out: W, path: &Path, key: &[u8; 32]) -> Self {
        let cipher = XChaCha20Poly1305::new(key.into());
        let buffer = Zeroizing::new(Vec::with_capacity(CHUNK * 2));
        Self { out, path: path.to_owned(), cipher, buffer, number: 0 }
    }

    /// Adds `lp(record)`.
    pub(super) fn record(&mut self, record: &[u8]) -> Result<(), ArchiveError> {
        self.buffer.extend(length(record).to_be_bytes());
        self.buffer.extend(record);
        while self.buffer.len() > CHUNK {
            let chunk = Zeroizing::new(self.buffer.drain(..CHUNK).collect::<Vec<u8>>());
            self.chunk(&chunk, false)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, ArchiveError> {
        let chunk = std::mem::take(&mut self.buffer);
        self.chunk(&chunk, true)?;
        Ok(self.out)
    }

    fn chunk(&mut self, msg: &[u8], last: bool) -> Result<(), ArchiveError> {
        let payload = Payload { msg, aad: &aad(self.number, last) };
        let failed = |_| ArchiveError::Damaged("a chunk can't be sealed");
        let sealed = self.cipher.encrypt(&nonce(self.number), payload).map_err(failed)?;
        self.number += 1;
        let io = |source| ArchiveError::Io { path: self.path.clone(), source };
        self.out
            .write_all(&length(&sealed).to_be_bytes())
            .and_then(|()| self.out.write_all(&sealed))
            .map_err(io)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Reads an export.
pub(super) struct Source<R> {
    from: R,
    cipher: XChaCha20Poly1305,
    buffer: Zeroizing<Vec<u8>>,
    /// How much of the buffer was given out.
    read: usize,
    number: u64,
    ended: bool,
}

const CUT: ArchiveError = ArchiveError::Damaged("it is cut off");

impl<R: Read> Source<R> {
    pub(super) fn new(mut from: R, passphrase: &str) -> Result<Self, ArchiveError> {
        let sealed = take(&mut from, MAX_KEY)?.ok_or(super::PortableError::Malformed)?;
        let key = open_portable(MAGIC, passphrase, &sealed)?;
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| super::PortableError::Malformed)?;
        Ok(Self::under(from, &Zeroizing::new(key)))
    }

    /// The chunks behind the sealed key.
    pub(super) fn under(from: R, key: &[u8; 32]) -> Self {
        let cipher = XChaCha20Poly1305::new(key.into());
        Self { from, cipher, buffer: Zeroizing::default(), read: 0, number: 0, ended: false }
    }

    /// The next record; `None` after the last.
    pub(super) fn record(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, ArchiveError> {
        if !self.fill(4)? {
            return if self.buffer.len() == self.read { Ok(None) } else { Err(CUT) };
        }
        let head = self.buffer.get(self.read..).and_then(|rest| rest.first_chunk::<4>()).ok_or(CUT)?;
        let len = u32::from_be_bytes(*head) as usize;
        if !self.fill(4 + len)? {
            return Err(CUT);
        }
        let from = self.read + 4;
        let record = self.buffer.get(from..from + len).ok_or(CUT)?.to_vec();
        self.read = from + len;
        Ok(Some(Zeroizing::new(record)))
    }

    /// Whether there are so many bytes; reads chunks until there are. Only what was authenticated is ever held.
    fn fill(&mut self, wanted: usize) -> Result<bool, ArchiveError> {
        while self.buffer.len() - self.read < wanted {
            if self.ended {
                return Ok(false);
            }
            self.buffer.drain(..self.read);
            self.read = 0;
            let sealed = take(&mut self.from, CHUNK + TAG)?.ok_or(CUT)?;
            let open = |last| {
                let payload = Payload { msg: &sealed, aad: &aad(self.number, last) };
                self.cipher.decrypt(&nonce(self.number), payload).ok().map(Zeroizing::new)
            };
            let (chunk, last) = match (open(false), open(true)) {
                (Some(chunk), _) => (chunk, false),
                (None, Some(chunk)) => (chunk, true),
                (None, None) => return Err(ArchiveError::Damaged("a part of it is not what was written")),
            };
            self.buffer.extend(chunk.iter());
            self.number += 1;
            if last {
                self.ended = true;
                if take(&mut self.from, CHUNK + TAG)?.is_some() {
                    return Err(ArchiveError::Damaged("something follows its end"));
                }
            }
        }
        Ok(true)
    }
}

/// `lp(bytes)` of at most `limit` bytes; `None` at the end.
fn take(from: &mut impl Read, limit: usize) -> Result<Option<Vec<u8>>, ArchiveError> {
    let mut head = [0; 4];
    match from.read(&mut head[..1]) {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(_) => return Err(ArchiveError::Damaged("it can't be read")),
    }
    from.read_exact(&mut head[1..]).map_err(|_| CUT)?;
    let len = u32::from_be_bytes(head) as usize;
    if len > limit {
        return Err(ArchiveError::Damaged("a part of it is too long"));
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).map_err(|_| CUT)?;
    Ok(Some(bytes))
}
