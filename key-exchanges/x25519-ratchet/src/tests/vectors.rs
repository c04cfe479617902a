//! `tests/ratchet.json` comes from an independent implementation: seeds are the successive private keys, salts the
//! successive salts, `bob_spk_priv` is `BK_B`, `ad` is `TH`. A deferred message arrives after all others.

use std::collections::VecDeque;

use serde_json::Value;

use super::*;

fn unhex<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Gives private keys and salts in their order.
struct Scripted {
    seeds: VecDeque<Vec<u8>>,
    salts: VecDeque<Vec<u8>>,
}

impl Scripted {
    fn of(case: &Value, who: &str) -> Self {
        let list = |name: &str| case[name][who].as_array().unwrap().iter().map(bytes).collect();
        Self { seeds: list("seeds"), salts: list("salts") }
    }
}

impl Entropy for Scripted {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        let list = if buf.len() == 32 { &mut self.seeds } else { &mut self.salts };
        buf.copy_from_slice(&list.pop_front().ok_or(CryptoError::Entropy)?);
        Ok(())
    }
}

/// Over a store: every step is saved and restored.
struct Recited {
    session: RatchetSession,
    saved: SavedSession,
    entropy: Scripted,
}

impl Recited {
    fn new(session: RatchetSession, entropy: Scripted) -> Self {
        Self { session, saved: SavedSession::default(), entropy }
    }

    fn step<T>(
        &mut self,
        cipher: &Arc<dyn Cipher>,
        step: impl FnOnce(&mut RatchetSession, &mut Step<'_>) -> Result<T, CryptoError>,
    ) -> T {
        let done = step(&mut self.session, &mut Step { now: NOW, entropy: &mut self.entropy }).unwrap();
        self.saved.apply(self.session.save());
        let cx = context(cipher, &mut self.entropy);
        self.session = RatchetSession::restore(&self.saved, &cx).unwrap();
        done
    }
}

fn recite(case: &Value, cipher: &Arc<dyn Cipher>) -> usize {
    let agreed = Agreed { transcript: unhex(&case["ad"]), session_key: Zeroizing::new(unhex(&case["sk"])) };
    let bundle_key = SecretKey::from_slice(&bytes(&case["bob_spk_priv"])).unwrap();
    let [mut a, b] = ["a", "b"].map(|who| Scripted::of(case, who));
    let cx = &mut context(cipher, &mut a);
    let alice = RatchetSession::initiator(&agreed, bundle_key.public(), cx).unwrap();
    let bob = RatchetSession::responder(&agreed, &bundle_key, cx).unwrap();
    let mut ends = [Recited::new(alice, a), Recited::new(bob, b)];

    let mut deferred = Vec::new();
    let steps = case["steps"].as_array().unwrap();
    for (number, step) in steps.iter().enumerate() {
        let from = usize::from(step["from_"] == "b");
        let (text, frame) = (bytes(&step["pt"]), bytes(&step["msg"]));
        let sealed = ends[from].step(cipher, |session, step| session.seal(&text, step));
        assert_eq!(sealed, frame, "{} message {number}", cipher.name());
        if step["deferred"] == true {
            deferred.push((1 - from, text, frame));
        } else {
            let opened = ends[1 - from].step(cipher, |session, step| session.open(&frame, step));
            assert_eq!(*opened, text, "{} message {number}", cipher.name());
        }
    }
    assert_eq!(ends[0].saved.rows.len() + ends[1].saved.rows.len(), deferred.len());
    for (to, text, frame) in deferred {
        let opened = ends[to].step(cipher, |session, step| session.open(&frame, step));
        assert_eq!(*opened, text);
    }
    assert!(ends.iter().all(|end| end.saved.rows.is_empty()));
    steps.len()
}

/// C02, C04.
#[test]
fn every_vector_to_the_byte() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/ratchet.json")).unwrap();
    let mut seen = Vec::new();
    for case in vectors.as_array().unwrap() {
        let cipher = ciphers().into_iter().find(|cipher| case["suite"] == cipher.name()).unwrap();
        assert_eq!(recite(case, &cipher), 8);
        seen.push(cipher.name());
    }
    assert_eq!(seen, ciphers().map(|cipher| cipher.name()));
}
