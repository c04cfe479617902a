//! `header ‖ salt ‖ ciphertext ‖ tag`

use chat_core::CryptoError;
use chat_core::cipher::TAG_LEN;
use x25519_agreement::KEY_LEN;

use crate::keys::{COUNT_END, SALT_LEN};

pub(crate) const HEADER_LEN: usize = KEY_LEN + 8;

/// In the clear before every message, and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The sender's ratchet key.
    pub(crate) public: [u8; KEY_LEN],
    /// How many messages its chain before had: `pn`.
    pub(crate) previous: u32,
    /// The message's number in its chain, from 0: `n`.
    pub(crate) number: u32,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let (public, counts) = bytes.split_at_mut(KEY_LEN);
        public.copy_from_slice(&self.public);
        let (previous, number) = counts.split_at_mut(4);
        previous.copy_from_slice(&self.previous.to_be_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        bytes
    }
}

/// The parts of a frame.
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) salt: &'a [u8; SALT_LEN],
    /// Ciphertext and tag.
    pub(crate) body: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CryptoError> {
        let frame = Self::split(bytes).ok_or(CryptoError::Malformed("frame shorter than its head"))?;
        let Header { previous, number, .. } = frame.header;
        if previous < COUNT_END && number < COUNT_END {
            Ok(frame)
        } else {
            Err(CryptoError::Malformed("message number"))
        }
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (public, rest) = bytes.split_first_chunk()?;
        let (previous, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (salt, body) = rest.split_first_chunk()?;
        let (previous, number) = (u32::from_be_bytes(*previous), u32::from_be_bytes(*number));
        let header = Header { public: *public, previous, number };
        (body.len() >= TAG_LEN).then_some(Self { header, salt, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_parts_in_order_and_its_counts_below_2_to_the_31() {
        let header = Header { public: [7; 32], previous: 0x0102_0304, number: COUNT_END - 1 };
        let head = header.to_bytes();
        assert_eq!(head[..32], [7; 32]);
        assert_eq!(head[32..], [1, 2, 3, 4, 0x7f, 0xff, 0xff, 0xff]);
        let bytes = [&head[..], &[8; 16], &[9; 16]].concat();
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.header, frame.salt, frame.body), (header, &[8; 16], &[9; 16][..]));
        for len in 0..bytes.len() {
            let error = Frame::parse(&bytes[..len]).err();
            assert_eq!(error, Some(CryptoError::Malformed("frame shorter than its head")), "{len}");
        }
        for (at, high) in [(32, 0x80), (32, 0xff), (36, 0x80), (36, 0xff)] {
            let mut far = bytes.clone();
            far[at] = high;
            assert_eq!(Frame::parse(&far).err(), Some(CryptoError::Malformed("message number")), "{at}");
        }
    }
}
