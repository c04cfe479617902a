//! A row as it is sealed: `version u64 ‖ nonce 24 ‖ ciphertext ‖ tag 16` of its hidden values; associated data is
//! the table, the values beside it, which hold its key, and the version.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use chat_core::entropy::Entropy;
use chat_core::error::CryptoError;
use rusqlite::types::{Value, ValueRef};
use zeroize::{Zeroize, Zeroizing};

const VERSION_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Writes a value so that no two lists of values give the same bytes.
pub(super) fn put(value: ValueRef<'_>, out: &mut Vec<u8>) {
    let (kind, bytes): (u8, &[u8]) = match &value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(number) => (1, &number.to_be_bytes()),
        ValueRef::Real(number) => (2, &number.to_be_bytes()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    out.push(kind);
    // SQLite's values are shorter than 2³¹ bytes.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// The kind and the bytes of the next value.
fn split<'b>(bytes: &mut &'b [u8]) -> Option<(u8, &'b [u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    *bytes = rest;
    Some((*kind, value))
}

fn take(bytes: &mut &[u8]) -> Option<Value> {
    let (kind, value) = split(bytes)?;
    Some(match kind {
        0 if value.is_empty() => Value::Null,
        1 => Value::Integer(i64::from_be_bytes(value.try_into().ok()?)),
        2 => Value::Real(f64::from_be_bytes(value.try_into().ok()?)),
        3 => Value::Text(String::from_utf8(value.to_vec()).ok()?),
        4 => Value::Blob(value.to_vec()),
        _ => return None,
    })
}

/// The values, one after the other.
pub(super) fn encode<'v>(values: impl Iterator<Item = ValueRef<'v>>) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::new());
    values.for_each(|value| put(value, &mut out));
    out
}

/// The values of [`encode`].
fn decode(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        values.push(take(&mut bytes)?);
    }
    Some(values)
}

/// What a row's hidden values are bound to.
fn associated(table: &str, beside: &[u8], version: u64, out: &mut Vec<u8>) {
    out.clear();
    out.extend(u32::try_from(table.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(table.as_bytes());
    out.extend(version.to_be_bytes());
    out.extend(beside);
}

/// Room for opening rows one after the other.
#[derive(Default)]
pub(super) struct Scratch {
    aad: Vec<u8>,
    body: Zeroizing<Vec<u8>>,
}

impl Scratch {
    /// A text among the values that were opened last.
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        let mut bytes = self.body.as_slice();
        for _ in 0..place {
            split(&mut bytes)?;
        }
        match split(&mut bytes)? {
            (3, text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }
}

/// The key of a table's rows.
pub(super) struct RowKey {
    table: String,
    cipher: XChaCha20Poly1305,
}

impl RowKey {
    pub(super) fn new(table: &str, key: &[u8; 32]) -> Self {
        Self { table: table.to_owned(), cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// Seals `hidden`, values of [`encode`], beside `beside`, which are such ones too.
    pub(super) fn seal(
        &self,
        version: u64,
        beside: &[u8],
        hidden: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, CryptoError> {
        let nonce: [u8; NONCE_BYTES] = entropy.bytes()?;
        let mut out = Vec::with_capacity(VERSION_BYTES + NONCE_BYTES + hidden.len() + TAG_BYTES);
        out.extend(version.to_be_bytes());
        out.extend(nonce);
        out.extend(hidden);
        let body = out.get_mut(VERSION_BYTES + NONCE_BYTES..).unwrap_or_default();
        let mut aad = Vec::new();
        associated(&self.table, beside, version, &mut aad);
        let tag = self
            .cipher
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), &aad, body)
            .map_err(|_| CryptoError::Failed("a row is too long to be sealed"))?;
        out.extend(tag);
        Ok(out)
    }

    /// The hidden values, if the row is what was sealed.
    pub(super) fn open(&self, sealed: &[u8], beside: &[u8]) -> Option<Vec<Value>> {
        let mut scratch = Scratch::default();
        self.open_in(sealed, beside, &mut scratch)?;
        decode(&scratch.body)
    }

    /// Opens a row, for [`Scratch::text`]; `None` if it is not what was sealed.
    pub(super) fn open_in(&self, sealed: &[u8], beside: &[u8], scratch: &mut Scratch) -> Option<()> {
        let version = version(sealed)?;
        let rest = sealed.get(VERSION_BYTES..)?;
        let (nonce, rest) = rest.split_at_checked(NONCE_BYTES)?;
        let (body, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        let Scratch { aad, body: opened } = scratch;
        associated(&self.table, beside, version, aad);
        opened.zeroize();
        opened.extend(body);
        let nonce = XNonce::from_slice(nonce);
        self.cipher.decrypt_in_place_detached(nonce, aad, opened, tag.into()).ok()
    }
}

/// The version of a sealed row, not checked.
pub(super) fn version(sealed: &[u8]) -> Option<u64> {
    sealed.first_chunk().map(|version| u64::from_be_bytes(*version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::entropy::OsEntropy;

    fn encoded(values: &[Value]) -> Zeroizing<Vec<u8>> {
        encode(values.iter().map(ValueRef::from))
    }

    #[test]
    fn a_row_opens_as_it_was_sealed_and_in_no_other_way() {
        let (key, other) = (RowKey::new("messages", &[1; 32]), RowKey::new("contacts", &[1; 32]));
        let values = [
            Value::Null,
            Value::Integer(-5),
            Value::Text("hällo".into()),
            Value::Blob(vec![1, 2, 3]),
            Value::Real(0.5),
        ];
        let beside = encoded(&[Value::Integer(7), Value::Blob(vec![9])]);
        let sealed = key.seal(3, &beside, &encoded(&values), &mut OsEntropy).unwrap();
        assert_eq!(key.open(&sealed, &beside).unwrap(), values);
        assert_eq!(version(&sealed), Some(3));
        assert!(key.open(&sealed, &encoded(&[Value::Integer(8), Value::Blob(vec![9])])).is_none());
        assert!(other.open(&sealed, &beside).is_none(), "another table's");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&flipped, &beside).is_none(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(key.open(&sealed[..len], &beside).is_none(), "{len} bytes");
        }
        let again = key.seal(3, &beside, &encoded(&values), &mut OsEntropy).unwrap();
        assert_ne!(sealed, again, "a nonce of its own");
    }

    #[test]
    fn no_two_rows_look_the_same_to_the_cipher() {
        let lists = [
            vec![Value::Text("ab".into()), Value::Text("c".into())],
            vec![Value::Text("a".into()), Value::Text("bc".into())],
            vec![Value::Blob(b"ab".to_vec()), Value::Blob(b"c".to_vec())],
            vec![Value::Text("abc".into())],
            vec![Value::Text("abc".into()), Value::Null],
        ];
        let all: std::collections::BTreeSet<Vec<u8>> =
            lists.iter().map(|list| encoded(list).to_vec()).collect();
        assert_eq!(all.len(), lists.len());
    }
}
