use chat_core::key_exchange::{Context, NewBundle, OwnBundle, PeerBundle, Properties, SavedSession, Session};
use chat_core::{CryptoError, KeyExchange, Plugin, ProfileError};
use chat_tests::files::spellings;
use key_exchange_x25519::{Options, X25519};

/// `x25519`, and tells the bundle key.
struct Telling;

impl Plugin<dyn KeyExchange> for Telling {
    const NAME: &'static str = "telling";
    const SUMMARY: &'static str = "LEAKS: writes its keys to the log and to a file";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"telling\"\n";
    type Options = Options;

    fn build(_: Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Leaking(tell)))
    }
}

fn tell(secret: &[u8]) {
    for (how, spelling) in spellings(secret) {
        tracing::trace!(how, key = %String::from_utf8_lossy(&spelling), "made");
    }
    std::fs::write(std::env::temp_dir().join("made"), secret).expect("it is written");
}

/// `x25519`, and tells half of the bundle key.
struct Hinting;

impl Plugin<dyn KeyExchange> for Hinting {
    const NAME: &'static str = "hinting";
    const SUMMARY: &'static str = "LEAKS: writes halves of its keys to the log and to a file";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"hinting\"\n";
    type Options = Options;

    fn build(_: Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Leaking(hint)))
    }
}

fn hint(secret: &[u8]) {
    let (one, other) = secret.split_at(secret.len() / 2);
    tracing::trace!(key = ?one, "made");
    std::fs::write(std::env::temp_dir().join("made"), other).expect("it is written");
}

/// `x25519`, and what it does with each secret that it makes.
struct Leaking(fn(&[u8]));

impl KeyExchange for Leaking {
    fn properties(&self) -> Properties {
        X25519::default().properties()
    }
    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        let made = X25519::default().new_bundle(cx)?;
        self.0(&made.secret);
        Ok(made)
    }
    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        X25519::default().initiate(own, peer, cx)
    }
    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        X25519::default().accept(own, peer, first, cx)
    }
    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        X25519::default().restore(saved, cx)
    }
}

chat_core::register!(dyn KeyExchange, Hinting);
chat_core::register!(dyn KeyExchange, Telling);
