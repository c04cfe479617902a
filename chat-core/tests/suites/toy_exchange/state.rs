//! What a session of the toy remembers.

use std::collections::BTreeMap;

use chat_core::CryptoError;
use chat_core::key_exchange::{SavedSession, StateChange};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::group::hash;
use super::{Fault, decode_strictly, encode};

/// The key of the row that one of the faults counts in.
const COUNT_ROW: &[u8] = b"count";

/// The main record. Skipped message keys are rows: `public key u64 ‖ number u32` → 32 bytes.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(super) struct State {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    pub(super) cipher: String,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(super) transcript: [u8; 32],
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(super) root: [u8; 32],
    /// The pair whose public half goes into headers.
    #[n(4)]
    pub(super) own_secret: u64,
    #[n(5)]
    pub(super) peer_public: u64,
    /// The sending chain; without one, the next seal turns the ratchet.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub(super) sending: Option<[u8; 32]>,
    #[cbor(n(7), with = "minicbor::bytes")]
    pub(super) receiving: Option<[u8; 32]>,
    #[n(8)]
    pub(super) sent: u32,
    #[n(9)]
    pub(super) sent_before: u32,
    #[n(10)]
    pub(super) received: u32,
    #[n(11)]
    pub(super) created_ms: u64,
    /// All that was ever sealed.
    #[n(12)]
    pub(super) sealed: u64,
    #[n(13)]
    pub(super) refusals: u32,
    #[cbor(n(14), with = "minicbor::bytes")]
    pub(super) history: Vec<u8>,
    /// How often the pair was changed.
    #[n(15)]
    pub(super) turns: u32,
}

pub(super) type Skipped = BTreeMap<(u64, u32), [u8; 32]>;

/// State and skipped keys, with what of them is not yet saved.
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) state: State,
    pub(super) skipped: Skipped,
}

fn row_key((public, number): (u64, u32)) -> Vec<u8> {
    [&public.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

impl Memory {
    /// What leads from `before` to this.
    pub(super) fn changes(&self, before: Option<&Self>, fault: Fault) -> StateChange {
        let none = Skipped::new();
        let old = before.map_or(&none, |before| &before.skipped);
        let new = self.skipped.iter().filter(|(key, _)| !old.contains_key(key));
        let mut change = StateChange {
            main: (before.map(|b| &b.state) != Some(&self.state)).then(|| self.main(fault)),
            put: new.map(|(key, value)| (row_key(*key), Zeroizing::new(value.to_vec()))).collect(),
            delete: old
                .keys()
                .filter(|key| !self.skipped.contains_key(key))
                .map(|key| row_key(*key))
                .collect(),
        };
        if fault == Fault::HashedStaticStateAndCountInARow && change.main.is_some() {
            let count = self.state.received.to_be_bytes();
            change.put.push((COUNT_ROW.to_vec(), Zeroizing::new(count.to_vec())));
        }
        change
    }

    fn main(&self, fault: Fault) -> Zeroizing<Vec<u8>> {
        let mut state = self.state.clone();
        if fault == Fault::HashedStaticStateAndCountInARow {
            state.received = 0;
        }
        let bytes = encode(&state);
        let digest = hash(b"state", &[&bytes]);
        Zeroizing::new(if fault.hashes_its_state() { [&digest[..], &bytes].concat() } else { bytes })
    }

    pub(super) fn of(saved: &SavedSession, fault: Fault) -> Result<Self, CryptoError> {
        let malformed = CryptoError::Malformed("saved session");
        let mut main = &saved.main[..];
        if fault.hashes_its_state() {
            let (digest, bytes) = main.split_first_chunk().ok_or(malformed.clone())?;
            if *digest != hash(b"state", &[bytes]) {
                return Err(malformed);
            }
            main = bytes;
        }
        let mut state: State = match fault {
            Fault::StateWithTrailingBytes => {
                let state: State = minicbor::decode(&saved.main).map_err(|_| malformed.clone())?;
                if saved.main.starts_with(&encode(&state)) { state } else { return Err(malformed) }
            }
            _ => decode_strictly(main)?,
        };
        if state.version != 1 {
            return Err(malformed);
        }
        let mut skipped = Skipped::new();
        for (key, value) in &saved.rows {
            if fault == Fault::HashedStaticStateAndCountInARow && key == COUNT_ROW {
                let count = value.as_slice().try_into().map_err(|_| malformed.clone())?;
                state.received = u32::from_be_bytes(count);
                continue;
            }
            let key = key.split_first_chunk().and_then(|(public, number)| {
                Some((u64::from_be_bytes(*public), u32::from_be_bytes(number.try_into().ok()?)))
            });
            match (key, value.as_slice().try_into()) {
                (Some(key), Ok(value)) => drop(skipped.insert(key, value)),
                _ if fault == Fault::ForeignRowsIgnored => {}
                _ => return Err(malformed),
            }
        }
        Ok(Self { state, skipped })
    }
}

/// What a thief makes of a state that begins with its own hash, if he knows this code: the same, with nothing received.
pub(crate) fn undo_windows(saved: &SavedSession) -> Vec<SavedSession> {
    let mut memory = Memory::of(saved, Fault::HashedState).unwrap();
    memory.state.received = 0;
    vec![SavedSession { main: memory.main(Fault::HashedState), rows: saved.rows.clone() }]
}
