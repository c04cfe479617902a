use std::net::SocketAddr;

/// Methods of HTTP/1 requests, the preface of HTTP/2, and the beginning of a response.
const HTTP: [&[u8]; 11] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * ",
    b"HTTP/",
];

const UNKNOWN: &str = "unknown bytes";

/// Guesses what spoke, from the first bytes of something that is not ours; for
/// [`LinkError::ForeignProtocol`](chat_core::LinkError::ForeignProtocol).
pub fn looks_like(first_bytes: &[u8]) -> &'static str {
    let text = first_bytes.trim_ascii_start();
    match first_bytes {
        [] => "nothing was sent",
        // A TLS record: handshake or alert, then the major version (RFC 8446 §5.1).
        [0x16 | 0x15, 0x03, ..] => "looks like TLS",
        _ if HTTP.iter().any(|start| first_bytes.starts_with(start)) => "looks like HTTP",
        _ if first_bytes.starts_with(b"SSH-") => "looks like SSH",
        // The preamble of our own transport `tcp`.
        _ if first_bytes.starts_with(b"chattcp") => "looks like chat over tcp",
        _ if text.starts_with(b"{") || text.starts_with(b"[") => "looks like JSON",
        _ if first_bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            "looks like text"
        }
        _ => UNKNOWN,
    }
}

/// The same of a whole datagram; `None` if it looks like nothing in particular.
pub fn datagram_looks_like(datagram: &[u8]) -> Option<&'static str> {
    /// Of a packet that says its version (RFC 8999 §5.1).
    const LONG_HEADER: u8 = 0x80;
    let guess = match datagram {
        [] => return None,
        // Versions 1 (RFC 9000 §15) and 2 (RFC 9369 §3.1), and an offer of versions.
        [first, 0, 0, 0, 0 | 1, ..] | [first, 0x6b, 0x33, 0x43, 0xcf, ..] if first & LONG_HEADER != 0 => {
            "looks like QUIC"
        }
        [first, b'A', b'R', b'Q', ..] if first & LONG_HEADER != 0 => "looks like chat over udp-arq",
        // RFC 9147 §5.1: the versions count down.
        [0x14..=0x17, 0xfe, 0xfc..=0xff, ..] => "looks like DTLS",
        // What is sealed may begin like anything, but does not go on so.
        _ if datagram.is_ascii() || is_distinct(datagram) => looks_like(datagram),
        _ => UNKNOWN,
    };
    (guess != UNKNOWN).then_some(guess)
}

/// Begins with four bytes at least that nothing sealed begins with but by an odd chance, or with one that nothing of ours does.
fn is_distinct(bytes: &[u8]) -> bool {
    HTTP.iter().any(|start| bytes.starts_with(start))
        || bytes.starts_with(b"SSH-")
        || bytes.starts_with(&[0x16, 0x03])
}

/// Tells the log of datagrams of other protocols: of each the 1st, 2nd, 4th, 8th …, so that a flood is a line a doubling.
#[derive(Debug, Default)]
pub struct Strangers {
    /// By what they look like: as many as there are guesses.
    counts: Vec<(&'static str, u64)>,
}

impl Strangers {
    /// Looks at a datagram that nobody here has understood. Logs at `info`.
    pub fn note(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(guess) = datagram_looks_like(datagram) else { return };
        let known = self.counts.iter_mut().find(|(name, _)| *name == guess);
        let count = match known {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.counts.push((guess, 1));
                1
            }
        };
        if count.is_power_of_two() {
            tracing::info!(%from, count, "datagrams of another protocol came: {guess}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        for (bytes, expected) in [
            (&b""[..], "nothing was sent"),
            (b"GET / HTTP/1.1\r\n", "looks like HTTP"),
            (b"PRI * HTTP/2.0\r\n", "looks like HTTP"),
            (b"HTTP/1.1 400 Bad Request\r\n", "looks like HTTP"),
            (b"\x16\x03\x01\x02\x00\x01", "looks like TLS"),
            (b"\x15\x03\x03\x00\x02", "looks like TLS"),
            (b"SSH-2.0-OpenSSH_9.9\r\n", "looks like SSH"),
            (b"chattcp\x01\x00\x00\x00\x20", "looks like chat over tcp"),
            (b" {\"jsonrpc\":\"2.0\"", "looks like JSON"),
            (b"[1,2]", "looks like JSON"),
            (b"220 mail ready\r\n", "looks like text"),
            (b"\xff\x00\x01", "unknown bytes"),
            (b"caf\xc3\xa9", "unknown bytes"),
        ] {
            assert_eq!(looks_like(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn guesses_of_datagrams() {
        for (bytes, expected) in [
            (&b""[..], None),
            (b"\xc7\x00\x00\x00\x01\x08", Some("looks like QUIC")),
            (b"\xd1\x6b\x33\x43\xcf\x08", Some("looks like QUIC")),
            (b"\x8a\x00\x00\x00\x00", Some("looks like QUIC")),
            (b"\x47\x00\x00\x00\x01", None),
            (b"\xc1ARQ\x01", Some("looks like chat over udp-arq")),
            (b"\x16\xfe\xfd\x00", Some("looks like DTLS")),
            (b"\x16\x03\x01\x02", Some("looks like TLS")),
            (b"GET / HTTP/1.1\r\n", Some("looks like HTTP")),
            (b"SSH-2.0-x\r\n", Some("looks like SSH")),
            (b"\x40\x01\x02", None),
            (b"{\"jsonrpc\":\"2.0\"}", Some("looks like JSON")),
            (b"{\x01\xff\x82abc", None),
            (b"hello there", Some("looks like text")),
            (b"hell\xff there", None),
        ] {
            assert_eq!(datagram_looks_like(bytes), expected, "{bytes:?}");
        }
    }
}
