//! Certificates from files, good ones and bad ones; and who speaks something else.

#![allow(clippy::unwrap_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

#[path = "../../certificates/tests/suite/mod.rs"]
mod suite;

use std::sync::Arc;

use chat_core::{Address, LinkError, Plugin as _, Transport};
use futures_util::{SinkExt as _, StreamExt as _};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use suite::{AnyServer, link, listening, me, server};
use transport_certificates::Certificates;
use transport_quic::{Quic, QuicOptions};

fn make(certificates: Certificates) -> Box<dyn Transport> {
    let Certificates { certificate, key, ca, server_name } = certificates;
    Quic::build(QuicOptions { certificate, key, ca, server_name, ..QuicOptions::default() }).unwrap()
}

suite::tests!(make);

fn quic() -> Box<dyn Transport> {
    make(Certificates::default())
}

fn any() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A client of the library that shows no certificate and looks at none.
fn stranger(alpn: &str) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone());
    let mut config = config
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

#[tokio::test]
async fn a_dialer_without_certificate_or_with_another_protocol_inside_is_refused() {
    for (alpn, words) in
        [("chat-quic/1", "no certificate"), ("h3", "no chat in it"), ("chat/1", "no chat in it")]
    {
        let mut listener = listening(&*quic()).await;
        let to = listener.address().place.parse().unwrap();
        let endpoint = Endpoint::client(any()).unwrap();
        let dialing = async {
            let connecting = endpoint.connect_with(stranger(alpn), to, "chat.example").unwrap();
            match connecting.await {
                Ok(connection) => connection.closed().await,
                Err(error) => error,
            }
        };
        let accepting = async { listener.next().await.unwrap().handshake().await.err().unwrap() };
        let (told, error) = tokio::join!(dialing, accepting);
        assert!(error.to_string().contains(words), "{error}");
        assert!(told.to_string().contains("cryptographic handshake failed"), "{told}");
    }
}

#[tokio::test]
async fn a_server_with_another_protocol_inside_or_none_at_all_is_named() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["chat.example".to_owned()]).unwrap();
    let chain = vec![params.self_signed(&key).unwrap().der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()));
    let endpoint = Endpoint::server(config, any()).unwrap();
    let to = Address::new(endpoint.local_addr().unwrap().to_string());
    let serving = async { drop(endpoint.accept().await.unwrap().await) };
    let (transport, me) = (quic(), me());
    let (dialed, ()) = tokio::join!(transport.dial(&to, &me), serving);
    let error = dialed.err().unwrap();
    assert!(matches!(error, LinkError::ForeignProtocol { .. }), "{error}");
    assert!(error.to_string().contains("speaks QUIC, but no chat in it"), "{error}");
}

#[tokio::test]
async fn somebody_else_than_the_pinned_one_is_named_and_does_not_learn_who_calls() {
    let mut listener = listening(&*quic()).await;
    let to = Address { pin: Some(me().peer_id()), ..listener.address() };
    let (transport, me) = (quic(), me());
    let accepting = async { listener.next().await.unwrap().handshake().await.err().unwrap() };
    let (dialed, refused) = tokio::join!(transport.dial(&to, &me), accepting);
    let error = dialed.err().unwrap();
    let right = matches!(error, LinkError::WrongPeer { expected, found }
        if expected == me.peer_id() && found == server().peer_id());
    assert!(right, "{error}");
    assert!(refused.to_string().contains("refused the certificate of this node"), "{refused}");
}

/// A client that is ready for both gets no ticket to resume by, so nothing can be said before it has proved who it is.
#[tokio::test]
async fn who_was_here_before_proves_itself_anew() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let params = rcgen::CertificateParams::new(vec!["somebody.example".to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap().der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_client_auth_cert(
            vec![own],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"chat-quic/1".to_vec()];
    config.enable_early_data = true;
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let mut listener = listening(&*quic()).await;
    let to = listener.address().place.parse().unwrap();
    let endpoint = Endpoint::client(any()).unwrap();
    for time in 1..=2 {
        let dialing = async {
            let connecting = endpoint.connect_with(config.clone(), to, "chat.example").unwrap();
            let Err(connecting) = connecting.into_0rtt() else { panic!("early data, time {time}") };
            let connection = connecting.await.unwrap();
            let (mut send, receive) = connection.open_bi().await.unwrap();
            // As our own dialer begins, and an empty frame.
            send.write_all(&[1, 0, 0, 0, 0]).await.unwrap();
            (connection, send, receive)
        };
        let accepting = async { link(listener.next().await.unwrap().handshake().await.unwrap()) };
        let ((connection, ..), mut accepted) = tokio::join!(dialing, accepting);
        assert!(accepted.source.next().await.unwrap().unwrap().is_empty());
        // What comes back comes after whatever else the server had to say.
        accepted.sink.send("so you are".into()).await.unwrap();
        drop(accepted);
        connection.closed().await;
    }
}
