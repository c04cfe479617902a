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
        _ if text.starts_with(b"{") || text.starts_with(b"[") => "looks like JSON",
        _ if first_bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            "looks like text"
        }
        _ => "unknown bytes",
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
            (b" {\"jsonrpc\":\"2.0\"", "looks like JSON"),
            (b"[1,2]", "looks like JSON"),
            (b"220 mail ready\r\n", "looks like text"),
            (b"\xff\x00\x01", "unknown bytes"),
            (b"caf\xc3\xa9", "unknown bytes"),
        ] {
            assert_eq!(looks_like(bytes), expected, "{bytes:?}");
        }
    }
}
