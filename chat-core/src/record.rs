//! Records of a key exchange that have exactly one encoding: payloads of bundles, first messages, saved state.

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::error::CryptoError;

/// Encodes a record as CBOR (RFC 8949). The bytes erase themselves, as the record may be secret.
///
/// # Errors
/// [`CryptoError::Malformed`] with `what` if the record refuses to be encoded.
pub fn encode<T: Encode<()>>(what: &'static str, record: &T) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    // Measured first, so that no part of it is left behind in freed memory by growing.
    let mut length = Length(0);
    minicbor::encode(record, &mut length).map_err(|_| CryptoError::Malformed(what))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    minicbor::encode(record, &mut *bytes).map_err(|_| CryptoError::Malformed(what))?;
    Ok(bytes)
}

/// Counts what is written.
struct Length(usize);

impl minicbor::encode::Write for Length {
    type Error = std::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// Decodes a record of at most `max_bytes`, if encoding it again gives the same bytes: no trailing byte,
/// no unknown field, no longer way to write a number.
///
/// # Errors
/// [`CryptoError::Malformed`] with `what`.
pub fn decode_strictly<'b, T>(what: &'static str, bytes: &'b [u8], max_bytes: usize) -> Result<T, CryptoError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    let malformed = CryptoError::Malformed(what);
    if bytes.len() > max_bytes {
        return Err(malformed);
    }
    let record: T = minicbor::decode(bytes).map_err(|_| malformed.clone())?;
    let mut again = Zeroizing::new(vec![0; bytes.len()]);
    let mut rest = again.as_mut_slice();
    minicbor::encode(&record, &mut rest).map_err(|_| malformed.clone())?;
    if rest.is_empty() && *again == bytes { Ok(record) } else { Err(malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Pair {
        #[n(0)]
        number: u32,
        #[n(1)]
        maybe: Option<u8>,
    }

    fn decode(bytes: &[u8]) -> Result<Pair, CryptoError> {
        decode_strictly("pair", bytes, 8)
    }

    #[test]
    fn one_encoding_is_accepted_and_no_other() {
        let pair = Pair { number: 7, maybe: Some(1) };
        assert_eq!(encode("pair", &pair).unwrap()[..], [0x82, 7, 1]);
        assert_eq!(decode(&[0x82, 7, 1]), Ok(pair));
        let malformed = Err(CryptoError::Malformed("pair"));
        let others: [&[u8]; 7] = [
            &[],
            &[0x82, 7],
            // A trailing byte, an unknown field, longer forms of a number and of the head, no end given.
            &[0x82, 7, 1, 0],
            &[0x83, 7, 1, 0],
            &[0x82, 0x18, 7, 1],
            &[0x98, 2, 7, 1],
            &[0x9f, 7, 1, 0xff],
        ];
        for other in others {
            assert_eq!(decode(other), malformed, "{other:x?}");
        }
        let longest = Pair { number: u32::MAX, maybe: Some(200) };
        assert_eq!(decode(&[0x82, 0x1a, 0xff, 0xff, 0xff, 0xff, 0x18, 200]), Ok(longest), "at the limit");
        assert_eq!(decode(&[0; 9]), malformed, "over the limit");
    }
}
