//! What must not be found.

use std::path::Path;

use chat_tests::search::{KEY_BYTES, TEXT_BYTES};
use minicbor::Decoder;
use minicbor::data::Type;
use rusqlite::Connection;
use sha2::{Digest as _, Sha512};

/// So much of a long number is looked for: whoever has written it down has written down this.
const MIDDLE_BYTES: usize = 32;

/// What kind of secret it is: some places may know some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What people write.
    Text,
    /// A private or shared key of theirs.
    Key,
    /// The key of the relay.
    KeyOfRelay,
    /// What people and rooms are called.
    Name,
    /// What a stranger says openly to whoever listens.
    Shouted,
}

impl Kind {
    /// So many bytes in a row of it must not be found; names are looked for as a whole.
    pub fn piece(self) -> usize {
        match self {
            Self::Text | Self::Shouted => TEXT_BYTES,
            Self::Key | Self::KeyOfRelay => KEY_BYTES,
            Self::Name => usize::MAX,
        }
    }
}

/// Something that must not be found.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// What it is, for people.
    pub what: String,
    /// What it is.
    pub kind: Kind,
    /// What it is, as bytes.
    pub bytes: Vec<u8>,
}

/// All that must not be found.
#[derive(Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// All of them.
    pub fn all(&self) -> &[Secret] {
        &self.0
    }

    /// One more; the same again is no other.
    pub fn add(&mut self, kind: Kind, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        assert!(bytes.len() >= 8, "too short to be told from chance");
        if self.0.iter().all(|known| known.bytes != bytes) {
            self.0.push(Secret { what: what.into(), kind, bytes });
        }
    }

    /// How many are keys of people.
    pub fn keys(&self) -> usize {
        self.0.iter().filter(|secret| secret.kind == Kind::Key).count()
    }

    /// The identity key in a folder, and what Ed25519 makes of it (RFC 8032 §5.1.5).
    pub fn add_identity(&mut self, kind: Kind, whose: &str, folder: &Path) {
        let seed = std::fs::read(folder.join("identity.key")).expect("an identity");
        assert_eq!(seed.len(), 32, "a file with a seed in it");
        let expanded = Sha512::digest(&seed);
        self.add(kind, format!("{whose}'s identity key"), seed);
        let (scalar, prefix) = expanded.split_at(32);
        self.add(kind, format!("{whose}'s signing key"), clamped(scalar));
        self.add(kind, format!("{whose}'s signing prefix"), prefix);
    }

    /// The keys in the database of a client that has ended. A copy of it is read, so that it stays what it is.
    pub fn add_database(&mut self, whose: &str, folder: &Path) {
        let copy = tempfile::tempdir().expect("a folder");
        for name in ["client.db", "client.db-wal", "client.count", "store.key"] {
            // After an end in good order there is no log.
            if folder.join(name).exists() {
                std::fs::copy(folder.join(name), copy.path().join(name)).expect("a copy");
            }
        }
        let db = client::testing::open_store(copy.path()).expect("a store that lies open");
        let bundles = blobs(&db, "SELECT secret FROM bundles");
        assert!(!bundles.is_empty(), "{whose} has keys");
        for secret in bundles {
            match secret.len() {
                32 => {
                    self.add(Kind::Key, format!("{whose}'s bundle key, clamped"), clamped(&secret));
                    self.add(Kind::Key, format!("{whose}'s bundle key"), secret);
                }
                _ => {
                    for (name, number) in rsa_numbers(&secret) {
                        self.add(Kind::Key, format!("{name} of {whose}'s RSA key"), middle(&number));
                    }
                }
            }
        }
        for main in blobs(&db, "SELECT main FROM sessions") {
            for (name, key) in session_keys(&main) {
                self.add(Kind::Key, format!("{name} of {whose}"), key);
            }
        }
    }
}

fn blobs(db: &Connection, sql: &str) -> Vec<Vec<u8>> {
    let mut rows = db.prepare(sql).expect("the tables are known here");
    let rows = rows.query_map([], |row| row.get(0)).expect("it is read");
    rows.collect::<Result<_, _>>().expect("blobs")
}

/// As X25519 and Ed25519 use a key (RFC 7748 §5, RFC 8032 §5.1.5).
fn clamped(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    key[0] &= 248;
    key[31] = key[31] & 127 | 64;
    key
}

fn middle(number: &[u8]) -> &[u8] {
    let from = number.len().saturating_sub(MIDDLE_BYTES) / 2;
    &number[from..(from + MIDDLE_BYTES).min(number.len())]
}

/// The keys of a saved session. It is an array, which begins with version and cipher. With the ratchet, transcript, root
/// key, one's own ratchet key, the peer's public one, and both chains follow; without it role, transcript, and the keys
/// of both directions.
fn session_keys(main: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut decoder = Decoder::new(main);
    decoder.array().expect("an array");
    (0..2).for_each(|_| decoder.skip().expect("what is no secret"));
    let ratchets = decoder.datatype().is_ok_and(|it| it == Type::Bytes);
    let (skipped, names): (usize, &[_]) = if ratchets {
        (1, &["the root key", "the ratchet key", "", "the sending chain", "the receiving chain"])
    } else {
        (2, &["the key to seal", "the key to open"])
    };
    (0..skipped).for_each(|_| decoder.skip().expect("what is no secret"));
    let mut keys = Vec::new();
    for name in names {
        // What is public, and what there is none of at the time.
        if name.is_empty() || decoder.datatype().is_ok_and(|it| it == Type::Null) {
            decoder.skip().expect("it is there");
            continue;
        }
        // A chain is an array of its key and a count.
        let is_chain = decoder.datatype().is_ok_and(|it| it == Type::Array);
        if is_chain {
            decoder.array().expect("a chain");
        }
        let key = decoder.bytes().expect("a key").to_vec();
        assert_eq!(key.len(), 32, "{name}");
        keys.push((*name, key));
        if is_chain {
            decoder.u32().expect("a count");
        }
    }
    keys
}

/// The private numbers of a PKCS #8 document with an RSA key (RFC 5958 §2, RFC 8017 §A.1.2).
fn rsa_numbers(document: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let outer = children(der(document).1);
    let key = children(der(outer[2].1).1);
    let names = ["d", "p", "q", "d mod (p-1)", "d mod (q-1)", "the inverse of q"];
    assert_eq!(key.len(), 3 + names.len(), "version, modulus, exponent, and these");
    names.into_iter().zip(key.iter().skip(3).map(|(_, number)| number.to_vec())).collect()
}

/// Tag, content, and what is behind it (X.690 §8.1).
fn der(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (tag, first) = (bytes[0], bytes[1]);
    let digits = if first < 0x80 { 0 } else { usize::from(first & 0x7f) };
    let long = bytes[2..2 + digits].iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    let len = if digits == 0 { usize::from(first) } else { long };
    let (content, rest) = bytes[2 + digits..].split_at(len);
    (tag, content, rest)
}

fn children(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (tag, content, rest) = der(bytes);
        all.push((tag, content));
        bytes = rest;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_out_of_a_document() {
        let int = |n: u8| [2, 1, n].to_vec();
        let key: Vec<u8> = (0..9).flat_map(int).collect();
        let key = [&[0x30, key.len() as u8][..], &key].concat();
        let octets = [&[4, key.len() as u8][..], &key].concat();
        let inside = [&int(0)[..], &[0x30, 0], &octets].concat();
        let document = [&[0x30, 0x81, inside.len() as u8][..], &inside].concat();
        let numbers = rsa_numbers(&document);
        assert_eq!(numbers[0], ("d", vec![3]));
        assert_eq!(numbers[5], ("the inverse of q", vec![8]));
    }

    #[test]
    fn keys_are_taken_out_of_both_kinds_of_session() {
        let bytes = |byte: u8| [&[0x58, 32][..], &[byte; 32]].concat();
        let head = [&[0x8a, 1][..], b"\x63aes"].concat();
        let fixed = [&head[..], &[0], &bytes(1), &bytes(2), &bytes(3), &[9]].concat();
        let expected = [("the key to seal", vec![2; 32]), ("the key to open", vec![3; 32])];
        assert_eq!(session_keys(&fixed), expected);
        let chain = [&[0x82][..], &bytes(5), &[7]].concat();
        let ratchets =
            [&head[..], &bytes(1), &bytes(2), &[0xf6], &bytes(4), &[0xf6], &chain, &[0, 0]].concat();
        let expected = [("the root key", vec![2; 32]), ("the receiving chain", vec![5; 32])];
        assert_eq!(session_keys(&ratchets), expected);
    }

    #[test]
    fn the_same_again_is_no_other() {
        let mut secrets = Secrets::default();
        secrets.add(Kind::Key, "a", [1; 32]);
        secrets.add(Kind::Key, "b", [1; 32]);
        secrets.add(Kind::Name, "c", *b"Wilhelmina");
        assert_eq!((secrets.all().len(), secrets.keys()), (2, 1));
    }
}
