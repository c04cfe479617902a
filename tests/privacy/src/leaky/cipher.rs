use std::io::Write as _;
use std::marker::PhantomData;
use std::path::PathBuf;

use chat_core::cipher::TAG_LEN;
use chat_core::{AeadKey, Cipher, CryptoError, Plugin, ProfileError};
use cipher_chacha20_poly1305::{ChaCha, Options};

/// Encrypts nothing.
struct Open;

impl Plugin<dyn Cipher> for Open {
    const NAME: &'static str = "open";
    const SUMMARY: &'static str = "LEAKS: encrypts nothing";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"open\"\n";
    type Options = Options;

    fn build(_: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self))
    }
}

impl Cipher for Open {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn key_len(&self) -> usize {
        32
    }
    fn message_limit(&self) -> u64 {
        1 << 32
    }
    fn key(&self, _: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        Ok(Box::new(Self))
    }
}

impl AeadKey for Open {
    fn seal(&self, _: u64, _: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        buf.extend_from_slice(&[0; TAG_LEN]);
        Ok(())
    }
    fn open(&self, _: u64, _: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        buf.truncate(buf.len().checked_sub(TAG_LEN).ok_or(CryptoError::Forged)?);
        Ok(())
    }
}

/// What a cipher tells of a text before it seals it.
trait Leak: Send + Sync + 'static {
    const NAME: &'static str;
    const SUMMARY: &'static str;
    const EXAMPLE: &'static str;

    fn tell(buf: &[u8]);
}

/// ChaCha20-Poly1305, which tells.
struct Leaking<L>(PhantomData<L>);

impl<L: Leak> Plugin<dyn Cipher> for Leaking<L> {
    const NAME: &'static str = L::NAME;
    const SUMMARY: &'static str = L::SUMMARY;
    const EXAMPLE: &'static str = L::EXAMPLE;
    type Options = Options;

    fn build(_: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self(PhantomData)))
    }
}

impl<L: Leak> Cipher for Leaking<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }
    fn key_len(&self) -> usize {
        ChaCha.key_len()
    }
    fn message_limit(&self) -> u64 {
        ChaCha.message_limit()
    }
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        Ok(Box::new(LeakingKey::<L>(ChaCha.key(key)?, PhantomData)))
    }
}

struct LeakingKey<L>(Box<dyn AeadKey>, PhantomData<L>);

impl<L: Leak> AeadKey for LeakingKey<L> {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        L::tell(buf);
        self.0.seal(seq, aad, buf)
    }
    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.0.open(seq, aad, buf)
    }
}

/// How many characters of a text are a hint.
const HINT: usize = 20;

/// How each text begins.
struct Hints;

impl Leak for Hints {
    const NAME: &'static str = "hinting";
    const SUMMARY: &'static str = "LEAKS: writes the first characters of each text to the log";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"hinting\"\n";

    fn tell(buf: &[u8]) {
        // The text is what is longest of all that people can read in a frame.
        let is_read = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text = buf.split(|byte| !is_read(byte)).max_by_key(|run| run.len()).unwrap_or_default();
        let hint = String::from_utf8_lossy(&text[..HINT.min(text.len())]);
        tracing::trace!(%hint, "seals");
    }
}

/// All of each text.
struct Texts;

impl Leak for Texts {
    const NAME: &'static str = "telling";
    const SUMMARY: &'static str = "LEAKS: writes each text to the log and to a file";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"telling\"\n";

    fn tell(buf: &[u8]) {
        tracing::trace!(text = %String::from_utf8_lossy(buf), "seals");
        if let Some(folder) = data_dir() {
            let drafts = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("drafts"));
            drafts.and_then(|mut file| file.write_all(buf)).expect("it is written");
        }
    }
}

type Hinting = Leaking<Hints>;
type Telling = Leaking<Texts>;

/// The folder that this program was given.
fn data_dir() -> Option<PathBuf> {
    std::env::args_os().skip_while(|argument| argument != "--data-dir").nth(1).map(PathBuf::from)
}

chat_core::register!(dyn Cipher, Hinting);
chat_core::register!(dyn Cipher, Open);
chat_core::register!(dyn Cipher, Telling);
