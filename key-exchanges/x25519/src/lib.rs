//! `x25519`: agrees on a session by Diffie-Hellman on Curve25519 (RFC 7748) in one message, while the peer
//! may be offline. The shape is that of Noise K, with an optional one-time key as in X3DH, and with ML-KEM-768
//! (FIPS 203) beside it if the profile says `post_quantum = true`.
//!
//! The handshake and its records are those of the crate `x25519-agreement`; `TH` and `SK`, in which it ends, begin a
//! [`StaticSession`].
//!
//! What it gives, honestly: a transcript proves to nobody who wrote it, as either end could have made it.
//! Whoever steals a session's state, or `BK_B` where no one-time key was used, opens its earlier messages.
//! Whoever holds `BK_A` can pose as others **to** Alice until it is rotated, as in X3DH. With `post_quantum` a session
//! that was recorded stays closed to a quantum computer; one that is there while the handshake runs can pose as anybody.

use chat_core::key_exchange::{
    Context, KeyExchange, NewBundle, OneTimePair, OwnBundle, PeerBundle, Properties,
};
use chat_core::{CryptoError, Plugin, ProfileError, SavedSession, Session};
use static_session::{Role, StaticSession};
pub use x25519_agreement::Options;
use x25519_agreement::{Agreed, Agreement};

/// The key exchange `x25519`.
#[derive(Debug, Default, Clone, Copy)]
pub struct X25519 {
    agreement: Agreement,
}

impl Plugin<dyn KeyExchange> for X25519 {
    const NAME: &'static str = "x25519";
    const SUMMARY: &'static str = "X25519 in one message; one key a direction for the life of the session";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"x25519\"\n";
    type Options = Options;

    fn build(options: Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Self { agreement: options.into() }))
    }
}

const POSE: &str = "Whoever steals your bundle key can pose as others to you until it is rotated.";
const NO_FORWARD_SECRECY: &str = "Whoever steals a session's state, or the bundle key that a first message without \
                                  one-time key was for, reads its earlier messages.";

impl KeyExchange for X25519 {
    fn properties(&self) -> Properties {
        let post_quantum = self.agreement.is_post_quantum();
        Properties { forward_secrecy: false, healing: false, post_quantum, deniable: true }
    }

    fn caveats(&self) -> &'static [&'static str] {
        if self.agreement.is_post_quantum() {
            &[POSE, NO_FORWARD_SECRECY, x25519_agreement::POST_QUANTUM_CAVEAT]
        } else {
            &[POSE, NO_FORWARD_SECRECY]
        }
    }

    fn shared_options(&self) -> String {
        self.agreement.shared_options()
    }

    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        self.agreement.new_bundle(cx)
    }

    fn uses_one_time_keys(&self) -> bool {
        true
    }

    fn one_time_keys(&self, count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
        self.agreement.one_time_keys(count, cx)
    }

    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let initiated = self.agreement.initiate(own, peer, cx)?;
        Ok((initiated.first, session(Role::Initiator, &initiated.agreed, cx)?))
    }

    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        let accepted = self.agreement.accept(own, peer, first, cx)?;
        session(Role::Responder, &accepted.agreed, cx)
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        Ok(Box::new(StaticSession::restore(saved, cx)?))
    }
}

fn session(role: Role, agreed: &Agreed, cx: &Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
    Ok(Box::new(StaticSession::new(role, agreed.transcript, &agreed.session_key, cx)?))
}

chat_core::register!(dyn KeyExchange, X25519);

#[cfg(test)]
mod tests;
