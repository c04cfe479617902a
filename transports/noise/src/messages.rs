//! The messages after the handshake, sans-IO: what is sealed, in which order, and when keys change.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use chat_core::LinkError;
use zeroize::Zeroizing;

use crate::primitives::{AesGcm, TAG_LEN};

/// Longest Noise message (Noise §3), which every bare link must carry as one frame.
pub const MAX_MESSAGE_BYTES: usize = 65535;
/// The byte in front of the data, and the tag behind it.
pub(crate) const OVERHEAD: usize = 1 + TAG_LEN;
/// Data in a message that is not the last of its frame.
pub(crate) const FULL: usize = MAX_MESSAGE_BYTES - OVERHEAD;
/// Messages under one key, each way.
const MESSAGES_PER_KEY: u64 = 1 << 20;

const LAST: u8 = 0;
const MORE: u8 = 1;
const CLOSE: u8 = 2;

/// What a message says.
#[derive(Debug, PartialEq)]
pub(crate) enum Message<Data> {
    /// The end of a frame, or the whole of it.
    Last(Data),
    /// A part of a frame, always [`FULL`] bytes, and more follows.
    More(Data),
    /// Nothing will follow.
    Close,
}

/// One direction's key and the number of its next message, which is never sent.
struct Counted {
    cipher: AesGcm,
    next: u64,
    messages_per_key: u64,
}

impl Counted {
    fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        Self { cipher: AesGcm::new(key), next: 0, messages_per_key: MESSAGES_PER_KEY }
    }

    /// Counts a message that was sealed or opened. As in Noise §11.3, a new key goes on with the old count.
    fn advance(&mut self) -> Result<(), LinkError> {
        // 2^64 − 1 is reserved for `REKEY` (Noise §5.1).
        self.next = self.next.checked_add(1).filter(|&next| next != u64::MAX).ok_or_else(exhausted)?;
        if self.next.is_multiple_of(self.messages_per_key) && !self.cipher.rekey() {
            return Err(exhausted());
        }
        Ok(())
    }
}

fn exhausted() -> LinkError {
    LinkError::Io(std::io::Error::other("the key of the link is used up"))
}

/// Seals what we send.
pub(crate) struct Sealer(Counted);

impl Sealer {
    pub(crate) fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        Self(Counted::new(key))
    }

    /// Seals one message; the data is at most [`FULL`] bytes, in `More` exactly that.
    pub(crate) fn seal(&mut self, message: Message<&[u8]>) -> Result<Bytes, LinkError> {
        let (kind, data) = match message {
            Message::Last(data) => (LAST, data),
            Message::More(data) => (MORE, data),
            Message::Close => (CLOSE, &[][..]),
        };
        let mut sealed = BytesMut::with_capacity(data.len() + OVERHEAD);
        sealed.put_u8(kind);
        sealed.put_slice(data);
        let tag = self.0.cipher.seal(self.0.next, &[], &mut sealed).ok_or_else(exhausted)?;
        self.0.advance()?;
        sealed.put_slice(&tag);
        Ok(sealed.freeze())
    }
}

/// Opens what we receive, in the order it was sealed and in no other.
pub(crate) struct Opener(Counted);

impl Opener {
    pub(crate) fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        Self(Counted::new(key))
    }

    /// Opens the next message, in place if nobody else holds its bytes. After an error the link is over.
    pub(crate) fn open(&mut self, sealed: Bytes) -> Result<Message<BytesMut>, LinkError> {
        const FORGED: LinkError = LinkError::NotAuthenticated("a forged, damaged or misplaced message");
        if sealed.len() > MAX_MESSAGE_BYTES {
            return Err(LinkError::FrameTooLarge { len: sealed.len(), max: MAX_MESSAGE_BYTES });
        }
        let mut data = sealed.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let Some((text, &mut tag)) = data.split_last_chunk_mut::<TAG_LEN>() else { return Err(FORGED) };
        if !self.0.cipher.open(self.0.next, &[], text, &tag) {
            return Err(FORGED);
        }
        self.0.advance()?;
        data.truncate(data.len() - TAG_LEN);
        if data.is_empty() {
            return Err(MALFORMED);
        }
        match (data.get_u8(), data.len()) {
            (LAST, 0..=FULL) => Ok(Message::Last(data)),
            (MORE, FULL) => Ok(Message::More(data)),
            (CLOSE, 0) => Ok(Message::Close),
            _ => Err(MALFORMED),
        }
    }
}

/// Authentic, but not what this protocol says: the peer's mistake, not a stranger's.
pub(crate) const MALFORMED: LinkError =
    LinkError::NotAuthenticated("an authentic message of the wrong shape");

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Zeroizing<[u8; 32]> {
        Zeroizing::new([5; 32])
    }

    fn pair(messages_per_key: u64) -> (Sealer, Opener) {
        let counted = || Counted { messages_per_key, ..Counted::new(&key()) };
        (Sealer(counted()), Opener(counted()))
    }

    /// Seals a plaintext that `Sealer` itself would not make.
    fn odd(plaintext: &[u8]) -> Bytes {
        let mut sealed = plaintext.to_vec();
        let tag = AesGcm::new(&key()).seal(0, &[], &mut sealed).unwrap();
        sealed.extend_from_slice(&tag);
        sealed.into()
    }

    fn refused(sealed: Bytes) -> String {
        Opener::new(&key()).open(sealed).unwrap_err().to_string()
    }

    #[test]
    fn messages_come_through_across_changes_of_key() {
        let (mut sealer, mut opener) = pair(4);
        let full = vec![3; FULL];
        for i in 0..20_u8 {
            let sealed = sealer.seal(Message::Last(&[i])).unwrap();
            assert_eq!(sealed.len(), 1 + OVERHEAD);
            assert_eq!(opener.open(sealed).unwrap(), Message::Last(BytesMut::from(&[i][..])));
            let sealed = sealer.seal(Message::More(&full)).unwrap();
            assert_eq!(sealed.len(), MAX_MESSAGE_BYTES);
            assert_eq!(opener.open(sealed).unwrap(), Message::More(BytesMut::from(&full[..])));
        }
        let close = sealer.seal(Message::Close).unwrap();
        assert_eq!(opener.open(close).unwrap(), Message::Close);
    }

    #[test]
    fn they_are_transport_messages_of_the_noise_specification() {
        let params: snow::params::NoiseParams = "Noise_NN_25519_AESGCM_SHA256".parse().unwrap();
        let mut a = snow::Builder::new(params.clone()).build_initiator().unwrap();
        let mut b = snow::Builder::new(params).build_responder().unwrap();
        let (mut message, mut payload) = ([0; 65535], [0; 65535]);
        let len = a.write_message(&[], &mut message).unwrap();
        b.read_message(&message[..len], &mut payload).unwrap();
        let len = b.write_message(&[], &mut message).unwrap();
        a.read_message(&message[..len], &mut payload).unwrap();
        let (ours, _) = a.dangerously_get_raw_split();
        let mut sealer = Sealer(Counted { messages_per_key: 2, ..Counted::new(&Zeroizing::new(ours)) });
        let mut theirs = b.into_transport_mode().unwrap();
        for i in 0..6_u8 {
            if i > 0 && i % 2 == 0 {
                theirs.rekey_incoming();
            }
            let sealed = sealer.seal(Message::Last(&[i, i])).unwrap();
            let len = theirs.read_message(&sealed, &mut payload).unwrap();
            assert_eq!(payload[..len], [LAST, i, i]);
        }
    }

    #[test]
    fn replayed_skipped_and_reordered_messages_are_refused() {
        let (mut sealer, _) = pair(100);
        let sealed: Vec<_> = (0..3_u8).map(|i| sealer.seal(Message::Last(&[i])).unwrap()).collect();
        let opener_after_first = || {
            let mut opener = Opener::new(&key());
            opener.open(sealed[0].clone()).unwrap();
            opener
        };
        assert!(opener_after_first().open(sealed[0].clone()).is_err(), "replayed");
        assert!(opener_after_first().open(sealed[2].clone()).is_err(), "one left out");
        assert!(opener_after_first().open(sealed[1].clone()).is_ok());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let (mut sealer, _) = pair(100);
        let sealed = sealer.seal(Message::Last(b"some words")).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.to_vec();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(forged.into()).contains("forged"), "{bit}");
        }
        for len in 0..sealed.len() {
            assert!(refused(sealed.slice(..len)).contains("forged"), "{len}");
        }
        let extended = [&sealed[..], &[0]].concat();
        assert!(refused(extended.into()).contains("forged"));
    }

    #[test]
    fn authentic_messages_of_the_wrong_shape_are_refused() {
        let short_more = [&[MORE][..], &[0; FULL - 1]].concat();
        for plaintext in [&[][..], &[3], &[255, 1, 2], &[CLOSE, 0], &[MORE], &short_more] {
            assert!(refused(odd(plaintext)).contains("wrong shape"), "{:?}", plaintext.first());
        }
        let too_long = odd(&[0; FULL + 2]);
        assert!(refused(too_long).contains("over the limit"));
    }

    #[test]
    fn random_bytes_are_refused_without_a_panic() {
        let mut seed = 1_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as u8
        };
        for _ in 0..20_000 {
            let len = usize::from(random());
            let bytes: Vec<u8> = (0..len).map(|_| random()).collect();
            assert!(Opener::new(&key()).open(bytes.into()).is_err());
        }
    }

    #[test]
    fn a_count_at_its_end_is_refused() {
        let (mut sealer, _) = pair(MESSAGES_PER_KEY);
        sealer.0.next = u64::MAX - 2;
        assert!(sealer.seal(Message::Close).is_ok());
        assert!(sealer.seal(Message::Close).is_err());
    }
}
