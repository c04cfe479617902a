//! A correct key exchange with a session that ratchets, and the many ways in which both can be wrong.
//!
//! The exchange is that of `x25519` in a toy group, with one-time keys; the session is the Double Ratchet with
//! its skipped keys as rows of their own.

mod fault;
mod group;
mod session;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use chat_core::identity::SignedAs;
use chat_core::key_exchange::{
    Context, KeyExchange, NewBundle, OneTimePair, OwnBundle, PeerBundle, Properties, SavedSession,
};
use chat_core::{CryptoError, Entropy, OsEntropy, Plugin, ProfileError, Session};
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub(crate) use fault::Fault;
use group::{agree, hash, public_of, two_keys};
use session::ToySession;
pub(crate) use state::undo_windows;

#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    #[serde(default)]
    pub(crate) fault: Fault,
}

/// A first message by its transcript and proof.
type Accepted = ([u8; 32], Vec<u8>);

pub(crate) struct ToyExchange {
    fault: Fault,
    thread: ThreadId,
    /// What should be in the state of the sessions: the turns that were made.
    turns: Arc<Mutex<Vec<(u64, u64)>>>,
    /// What should be nowhere: messages that were accepted, and the keys of their sessions.
    accepted: Mutex<BTreeMap<Accepted, [u8; 32]>>,
}

impl Plugin<dyn KeyExchange> for ToyExchange {
    const NAME: &'static str = "toy-exchange";
    const SUMMARY: &'static str = "a ratchet in a group for toys";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"toy-exchange\"\n";
    type Options = Options;
    fn build(Options { fault }: Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Self {
            fault,
            thread: thread::current().id(),
            turns: Arc::default(),
            accepted: Mutex::default(),
        }))
    }
}

chat_core::register!(dyn KeyExchange, ToyExchange);

/// A bundle key or one-time key.
#[derive(Encode, Decode)]
struct PublicKey {
    #[n(0)]
    version: u8,
    #[n(1)]
    id: u32,
    #[n(2)]
    public: u64,
}

#[derive(Encode, Decode)]
struct First {
    #[n(0)]
    version: u8,
    #[n(1)]
    ephemeral: u64,
    #[n(2)]
    bundle_key: u32,
    #[n(3)]
    one_time_key: Option<u32>,
    #[cbor(n(4), with = "minicbor::bytes")]
    proof: Vec<u8>,
}

fn encode<T: Encode<()>>(record: &T) -> Vec<u8> {
    minicbor::to_vec(record).unwrap()
}

fn decode_strictly<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) -> Result<T, CryptoError> {
    let record: T = minicbor::decode(bytes).map_err(|_| CryptoError::Malformed("record"))?;
    if encode(&record) == bytes { Ok(record) } else { Err(CryptoError::Malformed("record")) }
}

/// Draws a secret; a fault ignores that there is no randomness.
fn draw(entropy: &mut dyn Entropy, careless: bool) -> Result<u64, CryptoError> {
    let mut bytes = [0; 8];
    match entropy.fill(&mut bytes) {
        Err(error) if !careless => return Err(error),
        _ => {}
    }
    Ok(u64::from_be_bytes(bytes) >> 4 | 1)
}

/// The private half as it is kept: `id ‖ secret`.
fn keep(id: u32, secret: u64) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&id.to_be_bytes()[..], &secret.to_be_bytes()].concat())
}

fn kept(bytes: &[u8]) -> Option<(u32, u64)> {
    let (id, secret) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*id), u64::from_be_bytes(secret.try_into().ok()?)))
}

fn public_key(bytes: &[u8]) -> Result<PublicKey, CryptoError> {
    let key: PublicKey = decode_strictly(bytes)?;
    if key.version == 1 { Ok(key) } else { Err(CryptoError::Malformed("key")) }
}

impl ToyExchange {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn new_key(&self, entropy: &mut dyn Entropy) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), CryptoError> {
        let secret = draw(entropy, self.is(Fault::BundleWithoutEntropy))?;
        let id = match self.fault {
            Fault::BundleFromTheSystem => draw(&mut OsEntropy, false)? as u32,
            _ => public_of(secret) as u32,
        };
        let mut public = encode(&PublicKey { version: 1, id, public: public_of(secret) });
        if self.is(Fault::SecretInTheBundle) {
            public.extend_from_slice(&keep(id, secret));
        }
        Ok((public, keep(id, secret)))
    }

    fn one_time_key(&self, entropy: &mut dyn Entropy, careless: Fault) -> Result<OneTimePair, CryptoError> {
        let secret = draw(entropy, self.is(careless))?;
        let id = public_of(secret) as u32;
        Ok((encode(&PublicKey { version: 1, id, public: public_of(secret) }), keep(id, secret)))
    }

    fn bundle_key(&self, bytes: &[u8]) -> Result<PublicKey, CryptoError> {
        let malformed = CryptoError::Malformed("key");
        match self.fault {
            Fault::BundleWithTrailingBytes => minicbor::decode(bytes).map_err(|_| malformed),
            Fault::SecretInTheBundle => {
                let len = bytes.len().checked_sub(keep(0, 0).len()).ok_or(malformed)?;
                public_key(&bytes[..len])
            }
            _ => public_key(bytes),
        }
    }

    fn first(&self, bytes: &[u8]) -> Result<First, CryptoError> {
        if self.is(Fault::PanicsOnOnes) {
            assert!(!bytes.windows(16).any(|run| run == [0xff; 16]), "what a length");
        }
        let malformed = CryptoError::Malformed("first message");
        let first: First = match self.fault {
            Fault::FirstDecodedLoosely => {
                let mut decoder = minicbor::Decoder::new(bytes);
                let first = decoder.decode().map_err(|_| malformed.clone())?;
                if decoder.position() == bytes.len() { first } else { return Err(malformed) }
            }
            Fault::FirstWithTrailingBytes => {
                let first: First = minicbor::decode(bytes).map_err(|_| malformed.clone())?;
                let rest = bytes.strip_prefix(&encode(&first)[..]).ok_or(malformed.clone())?;
                if rest.len() != 1 || rest[0] > 1 { first } else { return Err(malformed) }
            }
            _ => decode_strictly(bytes)?,
        };
        if first.version == 1 { Ok(first) } else { Err(malformed) }
    }

    /// `TH`
    fn transcript(
        &self,
        cx: &Context<'_>,
        ephemeral: u64,
        ids: (u32, Option<u32>),
        one_time: Option<u64>,
    ) -> [u8; 32] {
        let hash = match self.fault {
            Fault::BindingLeftOut => Sha256::new(),
            _ => Sha256::new_with_prefix(cx.binding),
        };
        hash.chain_update(ephemeral.to_be_bytes())
            .chain_update(format!("{ids:?} {one_time:?}"))
            .finalize()
            .into()
    }

    /// `DH1`, which only the two can know.
    fn dh_of_both(
        &self,
        own: &OwnBundle<'_>,
        own_secret: u64,
        theirs: &PublicKey,
    ) -> Result<u64, CryptoError> {
        match self.fault {
            Fault::SenderOnlyNamed => Ok(self.bundle_key(own.payload)?.public ^ theirs.public),
            _ => agree(own_secret, theirs.public),
        }
    }

    /// `SK`, and the key of the proof.
    fn secrets(&self, transcript: &[u8; 32], dh: [u64; 3]) -> ([u8; 32], [u8; 32]) {
        let [dh1, dh2, dh3] = match (self.fault, dh) {
            (Fault::SenderLeftOut, [_, dh2, dh3]) => [0, dh2, dh3],
            (Fault::ReflectionAccepted, [dh1, _, dh3]) => [dh1, 0, dh3],
            (Fault::AnybodyAccepts, _) => [0; 3],
            (_, dh) => dh,
        };
        two_keys(transcript, &[dh1.to_be_bytes(), dh2.to_be_bytes(), dh3.to_be_bytes()].concat())
    }

    /// The responder's first pair is that of its bundle, if the fault doesn't use one that everybody knows.
    fn first_pair(&self, of_bundle: u64, known: fn(u64) -> u64) -> u64 {
        match self.fault {
            Fault::AnybodyAccepts | Fault::ReflectionAccepted => known(12_345),
            _ => of_bundle,
        }
    }

    fn check_thread(&self) -> Result<(), CryptoError> {
        let same = !self.is(Fault::BoundToItsThread) || thread::current().id() == self.thread;
        if same { Ok(()) } else { Err(CryptoError::Failed("another thread")) }
    }
}

impl KeyExchange for ToyExchange {
    fn properties(&self) -> Properties {
        let heals = !matches!(self.fault, Fault::NeverDue | Fault::YoungUnderAFalseClock);
        Properties { forward_secrecy: true, healing: heals, ..Properties::default() }
    }

    fn caveats(&self) -> &'static [&'static str] {
        if self.is(Fault::CaveatWithoutEnd) { &["Breaks at a"] } else { &["Breaks at a glance."] }
    }

    fn shared_options(&self) -> String {
        let words = if self.is(Fault::SharedOptionsWithBlanks) { "a = 1" } else { "bits=61 for=toys" };
        words.to_owned()
    }

    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        let (payload, secret) = self.new_key(cx.entropy)?;
        let one_time = (0..2).map(|_| self.one_time_key(cx.entropy, Fault::BundleWithoutEntropy));
        let one_time = one_time.collect::<Result<_, _>>()?;
        Ok(NewBundle { payload, secret, one_time })
    }

    fn uses_one_time_keys(&self) -> bool {
        !self.is(Fault::OneTimeKeysThoughNoneAreUsed)
    }

    fn one_time_keys(&self, count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
        let more = usize::from(self.is(Fault::OneTimeKeyTooMany));
        (0..count + more).map(|_| self.one_time_key(cx.entropy, Fault::OneTimeKeysWithoutEntropy)).collect()
    }

    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let (_, own_secret) = kept(own.secret).ok_or(CryptoError::UnknownKey("own"))?;
        let theirs = self.bundle_key(peer.payload)?;
        let named = peer.one_time.map(public_key).transpose()?;
        let one_time = named.as_ref().filter(|_| !self.is(Fault::OneTimeKeyIgnored));
        let mut ephemeral = draw(cx.entropy, self.is(Fault::EphemeralWithoutEntropy))?;
        if self.is(Fault::SameEphemeralAgain) {
            ephemeral = own_secret ^ 2;
        }
        let public = public_of(ephemeral);
        let ids = (theirs.id, named.as_ref().map(|key| key.id));
        let transcript = self.transcript(cx, public, ids, one_time.map(|key| key.public));
        let dh3 = one_time.map(|key| agree(ephemeral, key.public)).transpose()?;
        let dh1 = self.dh_of_both(own, own_secret, &theirs)?;
        let dh = [dh1, agree(ephemeral, theirs.public)?, dh3.unwrap_or_default()];
        let (session_key, proof_key) = self.secrets(&transcript, dh);
        let proof = match self.fault {
            Fault::AnybodyAccepts => own.identity.sign(SignedAs::Rsa, &transcript).to_vec(),
            _ => hash(&proof_key, &[b"proof"]).to_vec(),
        };
        let first = First {
            version: 1,
            ephemeral: public,
            bundle_key: theirs.id,
            one_time_key: named.as_ref().map(|key| key.id),
            proof,
        };
        let session = ToySession::initiator(
            self,
            cx,
            transcript,
            session_key,
            self.first_pair(theirs.public, public_of),
        )?;
        Ok((encode(&first), Box::new(session)))
    }

    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        self.check_thread()?;
        let first = self.first(first)?;
        if peer.identity == own.identity.public() {
            return Err(CryptoError::Untrusted("one's own identity"));
        }
        let theirs = self.bundle_key(peer.payload)?;
        let (id, own_secret) = kept(own.secret).ok_or(CryptoError::UnknownKey("own"))?;
        let loose = matches!(self.fault, Fault::ReflectionAccepted | Fault::AnybodyAccepts);
        if first.bundle_key != id && !loose {
            return Err(CryptoError::UnknownKey("bundle key"));
        }
        let gone = match self.fault {
            Fault::ErasedOneTimeKeyIsForged => CryptoError::Forged,
            _ => CryptoError::UnknownKey("one-time key"),
        };
        let one_time = match first.one_time_key {
            Some(id) if !self.is(Fault::OneTimeKeyIgnored) => {
                let kept = own.one_time.and_then(kept).filter(|(kept, _)| *kept == id);
                Some(kept.ok_or(gone)?.1)
            }
            None if own.one_time.is_some() && !self.is(Fault::UnusedOneTimeKeyIgnored) => {
                return Err(CryptoError::Malformed("a one-time key that is not used"));
            }
            _ => None,
        };
        let ids = (first.bundle_key, first.one_time_key);
        let transcript = self.transcript(cx, first.ephemeral, ids, one_time.map(public_of));
        let dh3 = one_time.map(|secret| agree(secret, first.ephemeral)).transpose()?;
        let dh1 = self.dh_of_both(own, own_secret, &theirs)?;
        let dh = [dh1, agree(own_secret, first.ephemeral)?, dh3.unwrap_or_default()];
        let (mut session_key, proof_key) = self.secrets(&transcript, dh);
        let seen = (transcript, first.proof.clone());
        let accepted = self.accepted.lock().unwrap().get(&seen).copied();
        if let Some(key) = accepted {
            session_key = key;
        } else if self.is(Fault::AnybodyAccepts) {
            peer.identity.verify(SignedAs::Rsa, &transcript, &first.proof)?;
        } else {
            let (mut proof, mut found) = (hash(&proof_key, &[b"proof"]), first.proof);
            if let (true, Some(last)) = (self.is(Fault::ABitOfTheProofIgnored), found.last_mut()) {
                (proof[31], *last) = (proof[31] | 1, *last | 1);
            }
            if found != proof {
                return Err(CryptoError::Forged);
            }
        }
        if self.is(Fault::RemembersWhatItAccepted) {
            self.accepted.lock().unwrap().insert(seen, session_key);
        }
        let pair = self.first_pair(own_secret, |secret| secret);
        let mut session = ToySession::responder(self, cx, transcript, session_key, pair)?;
        if let (true, Some(secret)) = (self.is(Fault::OneTimeKeyKept), own.one_time) {
            session.remember(secret);
        }
        Ok(Box::new(session))
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        Ok(Box::new(ToySession::restore(self, saved, cx)?))
    }
}
