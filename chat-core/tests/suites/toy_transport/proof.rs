//! Who is there, proved: each end signs what both have said, with a challenge of each.

use chat_core::identity::SignedAs;
use chat_core::{Entropy as _, Identity, LinkError, OsEntropy, PeerKey};

/// What an end says of itself.
#[derive(Clone, Copy)]
pub(super) struct Hello {
    pub(super) key: PeerKey,
    challenge: [u8; 32],
}

impl Hello {
    pub(super) fn of(me: &Identity) -> Self {
        let mut challenge = [0; 32];
        OsEntropy.fill(&mut challenge).unwrap();
        Self { key: me.public(), challenge }
    }
}

/// Who listens, proved.
pub(super) struct Answer {
    pub(super) hello: Hello,
    pub(super) proof: Proof,
}

pub(super) type Proof = [u8; 64];

/// Whose proof it is, so that nobody gets his own back.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Dialer = 1,
    Listener = 2,
}

fn transcript(side: Side, dialer: &Hello, listener: &Hello) -> Vec<u8> {
    let said = [dialer, listener].map(|hello| [*hello.key.as_bytes(), hello.challenge].concat());
    [&[side as u8][..], &said.concat()].concat()
}

pub(super) fn sign(side: Side, dialer: &Hello, listener: &Hello, me: &Identity) -> Proof {
    me.sign(SignedAs::Hop, &transcript(side, dialer, listener))
}

/// That who is at that side has the key it claims.
pub(super) fn check(side: Side, dialer: &Hello, listener: &Hello, proof: &Proof) -> Result<(), LinkError> {
    let who = match side {
        Side::Dialer => dialer,
        Side::Listener => listener,
    };
    let verified = who.key.verify(SignedAs::Hop, &transcript(side, dialer, listener), proof);
    verified.map_err(|_| LinkError::NotAuthenticated("a proof that does not hold"))
}
