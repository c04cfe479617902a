//! Who begins as TLS does and goes on as nobody should: told no, closed, and nothing of it keeps a processor busy.

#![allow(clippy::unwrap_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

use chat_core::{Address, Identity, LinkError, Plugin as _, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport_tls::{Tls, TlsOptions};

fn tls() -> Box<dyn Transport> {
    Tls::build(TlsOptions::default()).unwrap()
}

fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    [&[kind, 3, 3][..], &len.to_be_bytes(), bytes].concat()
}

/// What our own dialer says first.
async fn client_hello() -> Vec<u8> {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Address::new(socket.local_addr().unwrap().to_string());
    let (transport, me) = (tls(), Identity::from_seed(&[1; 32]));
    let hello = async {
        let (mut stream, _) = socket.accept().await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut body).await.unwrap();
        [&head[..], &body].concat()
    };
    tokio::select! {
        _ = transport.dial(&to, &me) => panic!("nobody answers"),
        hello = hello => hello,
    }
}

const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;
const APPLICATION_DATA: u8 = 0x17;
const CHANGE_CIPHER_SPEC: u8 = 0x14;

/// The clock stands still but for waits, so whoever would wait for the deadline meets it; the stranger never hangs up.
#[tokio::test(start_paused = true)]
async fn odd_records_are_refused_at_once_and_the_connection_is_closed() {
    let hello = client_hello().await;
    assert_eq!((hello[0], hello[5]), (HANDSHAKE, 1), "a ClientHello");
    let close_notify = record(ALERT, &[1, 0]);
    let after = |more: &[u8]| [&hello[..], more].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("close_notify at first", close_notify.clone()),
        ("close_notify after ClientHello", after(&close_notify)),
        ("close_notify within ClientHello", [&record(HANDSHAKE, &hello[5..50])[..], &close_notify].concat()),
        ("a fatal alert after ClientHello", after(&record(ALERT, &[2, 80]))),
        ("an empty handshake record", record(HANDSHAKE, &[])),
        ("an empty record after ClientHello", after(&record(APPLICATION_DATA, &[]))),
        ("an empty alert", record(ALERT, &[])),
        ("many changes of the cipher", after(&record(CHANGE_CIPHER_SPEC, &[1]).repeat(200))),
        ("a warning, and then nothing", record(ALERT, &[1, 90])),
        ("many warnings", record(ALERT, &[1, 90]).repeat(200)),
        ("a record over the limit", [&[HANDSHAKE, 3, 1, 0x48, 1][..], &[1; 0x4801]].concat()),
        ("the longest length", [&[HANDSHAKE, 3, 1, 0xff, 0xff][..], &[1; 0xffff]].concat()),
        (
            "a record over the limit after ClientHello",
            after(&[&[APPLICATION_DATA, 3, 3, 0x48, 1][..], &[1; 0x4801]].concat()),
        ),
        ("a handshake message of 16 MiB", record(HANDSHAKE, &[1, 0xff, 0xff, 0xff, 3, 3])),
        ("another message than ClientHello", record(HANDSHAKE, &[2, 0, 0, 2, 3, 3])),
        ("a second ClientHello", after(&hello)),
        ("application data at first", record(APPLICATION_DATA, &[1; 100])),
        ("another version", [&[HANDSHAKE, 9, 9][..], &hello[3..]].concat()),
    ];
    let (transport, me) = (tls(), Identity::from_seed(&[2; 32]));
    let mut listener = transport.listen(&Address::new("127.0.0.1:0"), &me).await.unwrap();
    let mut wrong: Vec<String> = Vec::new();
    for (what, bytes) in &cases {
        let mut stranger = TcpStream::connect(listener.address().place).await.unwrap();
        stranger.write_all(bytes).await.unwrap();
        let error = listener.next().await.unwrap().handshake().await.err();
        let refused = match error {
            None => format!("{what} makes a link"),
            Some(LinkError::Timeout(_)) => format!("{what} is waited for"),
            Some(_) => String::new(),
        };
        wrong.extend(Some(refused).filter(|refused| !refused.is_empty()));
        // One close; a reset, where there was more than was read.
        let mut said = Vec::new();
        stranger.read_to_end(&mut said).await.ok();
        assert!(said.len() < 4096, "{} bytes in answer to {what}", said.len());
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A server that answers with its last word.
#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_within_tls_is_not_waited_for() {
    for answer in [record(ALERT, &[1, 0]), record(ALERT, &[2, 80]), record(HANDSHAKE, &[])] {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Address::new(socket.local_addr().unwrap().to_string());
        let (transport, me) = (tls(), Identity::from_seed(&[1; 32]));
        let answering = async {
            let (mut stream, _) = socket.accept().await.unwrap();
            stream.write_all(&answer).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        };
        let (dialed, ()) = tokio::join!(transport.dial(&to, &me), answering);
        let error = dialed.err().unwrap();
        assert!(!matches!(error, LinkError::Timeout(_)), "{answer:?}: {error}");
    }
}
