//! Certificates from files, good ones and bad ones; and who speaks something else.

#![allow(clippy::unwrap_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

#[path = "../../certificates/tests/suite/mod.rs"]
mod suite;

use chat_core::{Address, Plugin as _, Transport};
use suite::{AnyServer, listening, me};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_certificates::Certificates;
use transport_tls::{Tls, TlsOptions};

fn tls(options: TlsOptions) -> Box<dyn Transport> {
    Tls::build(options).unwrap()
}

fn make(certificates: Certificates) -> Box<dyn Transport> {
    let Certificates { certificate, key, ca, server_name } = certificates;
    tls(TlsOptions { certificate, key, ca, server_name, ..TlsOptions::default() })
}

suite::tests!(make);

#[tokio::test]
async fn another_protocol_is_named_at_both_ends() {
    let transport = tls(TlsOptions::default());
    for (bytes, words) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "looks like HTTP"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "looks like SSH"),
        (b"chattcp\x01", "looks like chat over tcp"),
    ] {
        let mut listener = listening(&*transport).await;
        let mut stream = tokio::net::TcpStream::connect(listener.address().place).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let error = listener.next().await.unwrap().handshake().await.err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
        // One clean close, with an alert or without.
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert!(said.len() < 100);

        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Address::new(socket.local_addr().unwrap().to_string());
        let foreign = async {
            let (mut stream, _) = socket.accept().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.ok();
        };
        let me = me();
        let (dialed, ()) = tokio::join!(transport.dial(&to, &me), foreign);
        let error = dialed.err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_dialer_without_certificate_or_with_another_protocol_inside_is_refused() {
    use rustls::pki_types::ServerName;
    use std::sync::Arc;

    let transport = tls(TlsOptions::default());
    for (alpn, words) in [("chat/1", "no certificate"), ("http/1.1", "no chat in it")] {
        let mut listener = listening(&*transport).await;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider.clone());
        let mut config = config
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.into()];
        let stream = tokio::net::TcpStream::connect(listener.address().place).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let dialing = async {
            let name = ServerName::try_from("chat.example").unwrap();
            if let Ok(mut stream) = connector.connect(name, stream).await {
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await.ok();
            }
        };
        let accepting = async { listener.next().await.unwrap().handshake().await.err().unwrap() };
        let ((), error) = tokio::join!(dialing, accepting);
        assert!(error.to_string().contains(words), "{error}");
    }
}
