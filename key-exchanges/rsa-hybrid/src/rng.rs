//! Randomness in the form that the `rsa` crate takes it.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use chat_core::{CryptoError, Entropy};
use rand_core::{CryptoRng, Error, RngCore};
use zeroize::Zeroizing;

/// A generator that can't fail half-way: 32 bytes of entropy as a key, and the key stream of ChaCha20
/// (RFC 8439) under it. `rsa` calls the methods of `RngCore` that have no way to report an error.
/// Erased on drop. The stream has 256 GiB; an RSA key takes some kilobytes of it.
pub(crate) struct SeededRng(ChaCha20);

impl SeededRng {
    /// # Errors
    /// [`CryptoError::Entropy`]; the only place where randomness can be missing.
    pub(crate) fn draw(entropy: &mut dyn Entropy) -> Result<Self, CryptoError> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut())?;
        Ok(Self(ChaCha20::new(seed.as_ref().into(), &[0; 12].into())))
    }
}

impl RngCore for SeededRng {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.fill(0);
        self.0.apply_keystream(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for SeededRng {}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::testing::{FailingEntropy, TestEntropy};

    #[test]
    fn the_stream_goes_on_and_depends_on_the_seed() {
        let draw = |seed| {
            let mut rng = SeededRng::draw(&mut TestEntropy::new(seed)).unwrap();
            (0..4).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert!(draw(1).iter().all(|word| !draw(2).contains(word)));
        let mut again = draw(1);
        again.dedup();
        assert_eq!(again.len(), 4);
    }

    #[test]
    fn what_was_in_the_buffer_doesnt_count() {
        let (mut zeros, mut ones) = ([0; 40], [0xff; 40]);
        SeededRng::draw(&mut TestEntropy::new(1)).unwrap().fill_bytes(&mut zeros);
        SeededRng::draw(&mut TestEntropy::new(1)).unwrap().fill_bytes(&mut ones);
        assert_eq!(zeros, ones);
    }

    #[test]
    fn without_entropy_there_is_no_generator() {
        assert_eq!(SeededRng::draw(&mut FailingEntropy::after(0)).err(), Some(CryptoError::Entropy));
    }

    /// `rsa` takes what it needs by any of them: each gives the next bytes of the one stream.
    #[test]
    fn every_way_to_draw_gives_the_next_bytes() {
        let rng = || SeededRng::draw(&mut TestEntropy::new(1)).unwrap();
        let mut stream = [0; 20];
        rng().fill_bytes(&mut stream);
        let mut rng = rng();
        let (word, long) = (rng.next_u32().to_le_bytes(), rng.next_u64().to_le_bytes());
        let mut rest = [0; 8];
        rng.try_fill_bytes(&mut rest).unwrap();
        assert_eq!([&word[..], &long, &rest].concat(), stream);
    }
}
