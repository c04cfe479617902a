//! What Noise is made of here, stricter than `snow`'s own: X25519 refuses points that lead to an all-zero
//! secret and encodings that are not canonical, and every key erases itself.

use aes_gcm::{AeadInPlace, Aes256Gcm, KeyInit};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Length of an AES-GCM tag.
pub(crate) const TAG_LEN: usize = 16;

/// Gives `snow` these primitives, and the ephemeral key that was drawn for this handshake.
pub(crate) struct Resolver {
    pub(crate) ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneKey(self.ephemeral.clone())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::unset())),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::AESGCM => Some(Box::new(AesGcm::new(&[0; 32]))),
            _ => None,
        }
    }
}

/// The "generator" of a handshake: XX draws once, its ephemeral key, and a rebuilt handshake must draw the same.
struct OneKey(Zeroizing<[u8; 32]>);

impl Random for OneKey {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        if dest.len() != self.0.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(self.0.as_ref());
        Ok(())
    }
}

/// X25519 (RFC 7748) that refuses what RFC 7748 §6.1 allows to refuse.
pub(crate) struct X25519 {
    secret: StaticSecret,
    public: PublicKey,
}

impl X25519 {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*secret);
        let public = PublicKey::from(&secret);
        Self { secret, public }
    }

    /// Before `snow` sets or draws a key; costs no arithmetic.
    fn unset() -> Self {
        Self { secret: StaticSecret::from([0; 32]), public: PublicKey::from([0; 32]) }
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }
}

/// The shared secret, if both agree on one that is not known to everybody.
fn agree(secret: &StaticSecret, point: &[u8; 32]) -> Option<SharedSecret> {
    let shared = secret.diffie_hellman(&PublicKey::from(*point));
    (is_canonical(point) && shared.was_contributory()).then_some(shared)
}

/// Whether agreeing with `point` gives a secret at all.
pub(crate) fn is_usable(secret: &[u8; 32], point: &[u8; 32]) -> bool {
    agree(&StaticSecret::from(*secret), point).is_some()
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        // `snow` hands over `priv_len` bytes; any other length leaves the zero key, whose results are refused.
        let mut bytes = Zeroizing::new([0; 32]);
        if privkey.len() == bytes.len() {
            bytes.copy_from_slice(privkey);
        }
        *self = Self::new(&bytes);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(bytes.as_mut())?;
        *self = Self::new(&bytes);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // `snow` passes its widest buffer (56 bytes, for Curve448), of which the first 32 count.
        let point: [u8; 32] = pubkey.get(..32).and_then(|p| p.try_into().ok()).ok_or(snow::Error::Dh)?;
        let shared = agree(&self.secret, &point).ok_or(snow::Error::Dh)?;
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

/// Whether the little-endian number is below 2^255 − 19, so that one point has one encoding.
fn is_canonical(point: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = point;
    let at_least_p = *high == 0x7f && middle.iter().all(|&byte| byte == 0xff) && *low >= 0xed;
    *high <= 0x7f && !at_least_p
}

/// AES-256-GCM as Noise uses it: the nonce is 4 zero bytes and the big-endian counter (Noise §12.4). The
/// expanded key is kept, and erased on drop.
pub(crate) struct AesGcm(Aes256Gcm);

impl AesGcm {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    fn nonce(counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        nonce
    }

    /// Encrypts in place and gives the tag; `None` only beyond 64 GiB.
    pub(crate) fn seal(&self, counter: u64, ad: &[u8], buf: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        self.0.encrypt_in_place_detached(&Self::nonce(counter).into(), ad, buf).ok().map(Into::into)
    }

    /// Decrypts in place if the tag holds; `false` leaves `buf` as it was.
    pub(crate) fn open(&self, counter: u64, ad: &[u8], buf: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
        self.0.decrypt_in_place_detached(&Self::nonce(counter).into(), ad, buf, tag.into()).is_ok()
    }

    /// Noise §4.2 `REKEY`: the key becomes the encryption of 32 zeros under the reserved nonce 2^64 − 1.
    pub(crate) fn rekey(&mut self) -> bool {
        let mut next = Zeroizing::new([0; 32]);
        let sealed = self.seal(u64::MAX, &[], next.as_mut()).is_some();
        *self = Self::new(&next);
        sealed
    }
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        *self = Self::new(key);
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, tag) = out.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        match self.seal(nonce, authtext, text) {
            Some(sealed) => tag[..TAG_LEN].copy_from_slice(&sealed),
            // Unreachable below 64 GiB; the trait has no error, so give nothing away and let it be refused.
            None => text.zeroize(),
        }
        plaintext.len() + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(text);
        if self.open(nonce, authtext, out, tag) { Ok(text.len()) } else { Err(snow::Error::Decrypt) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The canonical points of order 1, 2, 4 and 8 on curve and twist, and what else encodes one (from the
    /// list at <https://cr.yp.to/ecdh.html#validate>).
    pub(crate) const BAD_POINTS: [&str; 8] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0900000000000000000000000000000000000000000000000000000000000080",
    ];

    pub(crate) fn point(hex: &str) -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    #[test]
    fn points_of_low_order_and_second_encodings_are_refused() {
        let key = X25519::new(&[0x42; 32]);
        for bad in BAD_POINTS {
            assert!(!is_usable(&[0x42; 32], &point(bad)), "{bad}");
            assert_eq!(key.dh(&point(bad), &mut [0; 32]), Err(snow::Error::Dh), "{bad}");
        }
        let mut base = [0; 32];
        base[0] = 9;
        assert!(is_usable(&[0x42; 32], &base));
        let mut shared = [0; 32];
        key.dh(&base, &mut shared).unwrap();
        assert_eq!(shared, key.pubkey(), "agreeing with the base point gives the public key");
    }

    #[test]
    fn rekey_is_that_of_the_noise_specification() {
        let mut cipher = AesGcm::new(&[7; 32]);
        let expected: [u8; 32] = {
            let mut zeros = [0; 32];
            AesGcm::new(&[7; 32]).seal(u64::MAX, &[], &mut zeros).unwrap();
            zeros
        };
        assert!(cipher.rekey());
        let (mut a, mut b) = (*b"text", *b"text");
        assert_eq!(cipher.seal(1, b"", &mut a), AesGcm::new(&expected).seal(1, b"", &mut b));
        assert_eq!(a, b);
    }
}
