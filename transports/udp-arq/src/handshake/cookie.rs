//! Cookies: proof, without any state per peer, that whoever sends a HELLO can read what is sent to its address
//! (as RFC 9000 §8.1.2, DTLS RFC 9147 §5.1). `DESIGN.md` §4 has the exchange.
//!
//! ```text
//! cookie = first 16 bytes of HMAC-SHA256(secret, "chat/arq/1 cookie" ‖ address ‖ port ‖ Noise message 1)
//! ```
//! The secret is the window of time: a fresh one every 30 s, the one before it is still good.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chat_core::Entropy;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Age at which a secret makes no more cookies. They are good until it is twice as old.
pub(crate) const ROTATE: Duration = Duration::from_secs(30);

/// What a RETRY carries and the next HELLO brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie(pub(crate) [u8; Self::LEN]);

impl Cookie {
    pub(crate) const LEN: usize = 16;

    /// The cookie between a HELLO's message and its padding, if there is one.
    pub(crate) fn read(after_message: &[u8]) -> Option<Self> {
        let (&len, rest) = after_message.split_first()?;
        if usize::from(len) != Self::LEN {
            return None;
        }
        rest.first_chunk().copied().map(Self)
    }

    /// As [`read`](Self::read) finds it.
    pub(crate) fn to_bytes(self) -> [u8; 1 + Self::LEN] {
        let mut bytes = [Self::LEN as u8; 1 + Self::LEN];
        bytes.iter_mut().skip(1).zip(self.0).for_each(|(to, from)| *to = from);
        bytes
    }
}

struct Secret {
    key: Zeroizing<[u8; 32]>,
    since: Instant,
}

impl Secret {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    fn mac(&self, from: SocketAddr, message: &[u8]) -> Option<Hmac<Sha256>> {
        let ip = match from.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            std::net::IpAddr::V6(ip) => ip,
        };
        // HMAC takes keys of any length; the error is one of the trait, not of it.
        let mac = Hmac::<Sha256>::new_from_slice(self.key.as_ref()).ok()?;
        Some(
            mac.chain_update(b"chat/arq/1 cookie")
                .chain_update(ip.octets())
                .chain_update(from.port().to_be_bytes())
                .chain_update(message),
        )
    }
}

/// Makes and checks cookies with secrets that never leave it.
pub(crate) struct Cookies {
    entropy: Box<dyn Entropy>,
    current: Option<Secret>,
    previous: Option<Secret>,
}

impl Cookies {
    pub(crate) fn new(entropy: Box<dyn Entropy>) -> Self {
        Self { entropy, current: None, previous: None }
    }

    /// The cookie for this HELLO from this address. `None` if there is no randomness for a secret.
    pub(crate) fn bake(&mut self, now: Instant, from: SocketAddr, message: &[u8]) -> Option<Cookie> {
        if self.current.as_ref().is_none_or(|secret| secret.age(now) >= ROTATE) {
            let key = Zeroizing::new(self.entropy.bytes().ok()?);
            self.previous = self.current.replace(Secret { key, since: now });
        }
        let mac = self.current.as_ref()?.mac(from, message)?.finalize().into_bytes();
        mac.first_chunk().copied().map(Cookie)
    }

    /// Whether the cookie was made here, for this HELLO from this address, not long ago. In constant time.
    pub(crate) fn verify(&self, now: Instant, from: SocketAddr, message: &[u8], cookie: Cookie) -> bool {
        let secrets = [&self.current, &self.previous].into_iter().flatten();
        secrets.filter(|secret| secret.age(now) < 2 * ROTATE).any(|secret| {
            secret.mac(from, message).is_some_and(|mac| mac.verify_truncated_left(&cookie.0).is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Rng;

    const SECOND: Duration = Duration::from_secs(1);

    fn from(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_cookie_is_good_for_its_hello_and_its_address_only() {
        let (now, mut cookies) = (Instant::now(), Cookies::new(Box::new(Rng::new(1))));
        let here = from("192.0.2.1:4000");
        let cookie = cookies.bake(now, here, &[7; 32]).unwrap();
        assert!(cookies.verify(now, here, &[7; 32], cookie));
        assert!(cookies.verify(now, from("[::ffff:192.0.2.1]:4000"), &[7; 32], cookie), "the same address");
        assert!(!cookies.verify(now, from("192.0.2.1:4001"), &[7; 32], cookie));
        assert!(!cookies.verify(now, from("192.0.2.2:4000"), &[7; 32], cookie));
        assert!(!cookies.verify(now, from("[2001:db8::1]:4000"), &[7; 32], cookie));
        assert!(!cookies.verify(now, here, &[8; 32], cookie));
        for bit in 0..8 * Cookie::LEN {
            let mut forged = cookie;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!cookies.verify(now, here, &[7; 32], forged), "bit {bit}");
        }
        let stranger = Cookies::new(Box::new(Rng::new(2)));
        assert!(!stranger.verify(now, here, &[7; 32], cookie), "no secret, no cookie");
    }

    #[test]
    fn a_cookie_lives_for_thirty_to_sixty_seconds() {
        let here = from("192.0.2.1:4000");
        for baked_at in [0, 10, 29] {
            let (start, mut cookies) = (Instant::now(), Cookies::new(Box::new(Rng::new(3))));
            cookies.bake(start, here, &[1; 32]).unwrap();
            let cookie = cookies.bake(start + baked_at * SECOND, here, &[7; 32]).unwrap();
            let good = |cookies: &Cookies, at| cookies.verify(start + at * SECOND, here, &[7; 32], cookie);
            assert!(good(&cookies, 59) && !good(&cookies, 60), "with no newer secret");
            // The next secret makes another cookie, and this one is good beside it.
            assert_ne!(cookies.bake(start + 31 * SECOND, here, &[7; 32]), Some(cookie));
            assert!(good(&cookies, 59) && !good(&cookies, 60));
            cookies.bake(start + 61 * SECOND, here, &[7; 32]).unwrap();
            assert!(!good(&cookies, 61) && !good(&cookies, 31), "its secret is gone");
        }
    }

    #[test]
    fn a_cookie_is_found_where_it_was_put() {
        let cookie = Cookie([9; 16]);
        let mut padded = cookie.to_bytes().to_vec();
        assert_eq!(Cookie::read(&padded), Some(cookie));
        padded.resize(1153, 0);
        assert_eq!(Cookie::read(&padded), Some(cookie));
        for cut in 0..Cookie::LEN {
            assert_eq!(Cookie::read(&padded[..cut]), None);
        }
        assert_eq!(Cookie::read(&[0; 1153]), None, "padding alone");
        padded[0] = 17;
        assert_eq!(Cookie::read(&padded), None);
    }
}
