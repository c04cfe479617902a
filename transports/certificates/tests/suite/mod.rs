//! Certificates from files, good ones and bad ones: the same for every transport that shows them.

// Clippy sees a test only in functions that carry the attribute; these are called by them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use chat_core::transport::{Link, Peer};
use chat_core::{Address, Dialed, Identity, LinkError, Listener, Transport};
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use time::{Duration, OffsetDateTime};
use transport_certificates::Certificates;

/// Makes the transport with these certificates, and defaults otherwise.
pub(crate) type Make = fn(Certificates) -> Box<dyn Transport>;

/// All tests of this suite, for a transport that such a function makes.
macro_rules! tests {
    ($make:path) => {
        $crate::suite::tests! { $make, #[tokio::test]:
            a_self_made_certificate_in_the_trusted_file_proves_its_name
            a_certificate_of_a_trusted_authority_proves_its_name
            each_bad_certificate_is_refused_in_its_own_words
            a_certificate_that_nobody_vouches_for_is_refused
            files_that_are_no_good_are_named_and_nothing_listens
        }
        $crate::suite::tests! { $make, #[tokio::test(start_paused = true)]:
            a_new_certificate_is_shown_to_the_next_and_links_go_on
        }
    };
    ($make:path, #[$test:meta]: $($name:ident)*) => {$(
        #[$test]
        async fn $name() {
            $crate::suite::$name($make).await;
        }
    )*};
}
pub(crate) use tests;

pub(crate) fn link(dialed: Dialed) -> Link {
    match dialed {
        Dialed::Secure(link) => link,
        Dialed::Bare(_) => panic!("TLS is secure by itself"),
    }
}

pub(crate) fn me() -> Identity {
    Identity::from_seed(&[1; 32])
}

pub(crate) fn server() -> Identity {
    Identity::from_seed(&[2; 32])
}

/// What both ends say of one attempt.
pub(crate) async fn attempt(
    listener: &mut dyn Listener,
    client: &dyn Transport,
) -> (Result<Link, LinkError>, Result<Link, LinkError>) {
    let to = listener.address();
    let accepting = async {
        let incoming = listener.next().await.unwrap();
        incoming.handshake().await
    };
    let me = me();
    let (dialed, accepted) = tokio::join!(client.dial(&to, &me), accepting);
    (dialed.map(link), accepted.map(link))
}

/// A folder with certificates as `openssl` would write them.
struct Files {
    folder: tempfile::TempDir,
    make: Make,
}

impl Files {
    fn new(make: Make) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), make }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    /// A certificate by itself, and its key, as `name.pem` and `name.key`.
    fn self_made(&self, name: &str, params: &CertificateParams) -> String {
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        self.write(&format!("{name}.pem"), &pem);
        self.write(&format!("{name}.key"), &key.serialize_pem());
        pem
    }

    fn serving(&self, name: &str) -> Box<dyn Transport> {
        (self.make)(Certificates {
            certificate: Some(self.path(&format!("{name}.pem"))),
            key: Some(self.path(&format!("{name}.key"))),
            ..Certificates::default()
        })
    }

    fn trusting(&self, name: &str, server_name: &str) -> Box<dyn Transport> {
        (self.make)(Certificates {
            ca: Some(self.path(&format!("{name}.pem")).to_str().unwrap().to_owned()),
            server_name: Some(server_name.to_owned()),
            ..Certificates::default()
        })
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// As `openssl req -x509` makes it: its own authority.
fn for_name(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) async fn listening(transport: &dyn Transport) -> Box<dyn Listener> {
    transport.listen(&Address::new("127.0.0.1:0"), &server()).await.unwrap()
}

pub(crate) async fn a_self_made_certificate_in_the_trusted_file_proves_its_name(make: Make) {
    let files = Files::new(make);
    files.self_made("server", &for_name("chat.example"));
    let mut listener = listening(&*files.serving("server")).await;
    let (dialed, accepted) = attempt(&mut *listener, &*files.trusting("server", "chat.example")).await;
    let (mut dialed, mut accepted) = (dialed.unwrap(), accepted.unwrap());
    assert_eq!(dialed.peer, Peer::Name("chat.example".to_owned()));
    assert_eq!(accepted.peer, Peer::Key(me().public()), "the client proves its identity all the same");
    dialed.sink.send("hello".into()).await.unwrap();
    assert_eq!(accepted.source.next().await.unwrap().unwrap(), "hello");
}

pub(crate) async fn a_certificate_of_a_trusted_authority_proves_its_name(make: Make) {
    let files = Files::new(make);
    let authority_key = KeyPair::generate().unwrap();
    let authority = for_name("authority");
    files.write("authority.pem", &authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["chat.example".to_owned()]).unwrap();
    files.write("server.pem", &params.signed_by(&key, &issuer).unwrap().pem());
    files.write("server.key", &key.serialize_pem());
    let mut listener = listening(&*files.serving("server")).await;
    let (dialed, _) = attempt(&mut *listener, &*files.trusting("authority", "chat.example")).await;
    assert_eq!(dialed.unwrap().peer, Peer::Name("chat.example".to_owned()));
    let (dialed, _) = attempt(&mut *listener, &*files.trusting("authority", "other.example")).await;
    assert!(dialed.err().unwrap().to_string().contains("another name"));
}

pub(crate) async fn each_bad_certificate_is_refused_in_its_own_words(make: Make) {
    let now = OffsetDateTime::now_utc();
    let dated = |from: i64, to: i64| {
        let mut params = for_name("chat.example");
        (params.not_before, params.not_after) = (now + Duration::days(from), now + Duration::days(to));
        params
    };
    let mut nameless = dated(-1, 1);
    nameless.subject_alt_names.clear();
    for (params, words) in [
        (dated(-2, -1), "expired"),
        (dated(1, 2), "not valid yet"),
        (for_name("other.example"), "another name"),
        (nameless, "common name only"),
    ] {
        let files = Files::new(make);
        files.self_made("server", &params);
        let mut listener = listening(&*files.serving("server")).await;
        let (dialed, accepted) = attempt(&mut *listener, &*files.trusting("server", "chat.example")).await;
        let error = dialed.err().unwrap();
        assert!(
            matches!(error, LinkError::NotAuthenticated(_)) && error.to_string().contains(words),
            "{error}"
        );
        assert!(accepted.is_err());
    }
}

pub(crate) async fn a_certificate_that_nobody_vouches_for_is_refused(make: Make) {
    let files = Files::new(make);
    files.self_made("server", &for_name("chat.example"));
    files.self_made("stranger", &for_name("chat.example"));
    let mut listener = listening(&*files.serving("server")).await;
    let (dialed, accepted) = attempt(&mut *listener, &*files.trusting("stranger", "chat.example")).await;
    assert!(dialed.err().unwrap().to_string().contains("signed by nobody"));
    let refused = accepted.err().unwrap();
    assert!(refused.to_string().contains("refused the certificate"), "{refused}");
    // By whom only identities are taken.
    let (dialed, _) = attempt(&mut *listener, &*make(Certificates::default())).await;
    assert!(dialed.err().unwrap().to_string().contains("not of a chat identity"));
}

pub(crate) async fn files_that_are_no_good_are_named_and_nothing_listens(make: Make) {
    let files = Files::new(make);
    files.self_made("server", &for_name("chat.example"));
    files.self_made("other", &for_name("chat.example"));
    let listen = |chain: &str, key: &str| {
        let (certificate, key) = (Some(files.path(chain)), Some(files.path(key)));
        let transport = make(Certificates { certificate, key, ..Certificates::default() });
        async move {
            let refused = transport.listen(&Address::new("127.0.0.1:0"), &server()).await;
            refused.err().unwrap().to_string()
        }
    };
    assert!(listen("none.pem", "server.key").await.contains("none.pem"));
    assert!(listen("server.key", "server.key").await.contains("no certificate in it"));
    assert!(listen("server.pem", "server.pem").await.contains("no private key"));
    assert!(listen("server.pem", "other.key").await.contains("not the key of the certificate"));
    set_mode(&files.path("server.key"), 0o644);
    assert!(listen("server.pem", "server.key").await.contains("chmod 600"));
}

/// On a clock that is moved.
pub(crate) async fn a_new_certificate_is_shown_to_the_next_and_links_go_on(make: Make) {
    let files = Files::new(make);
    files.self_made("server", &for_name("chat.example"));
    let mut listener = listening(&*files.serving("server")).await;
    let client = files.trusting("server", "chat.example");
    let (dialed, accepted) = attempt(&mut *listener, &*client).await;
    let (mut dialed, mut accepted) = (dialed.unwrap(), accepted.unwrap());

    files.write("server.pem", "no certificate");
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    files.self_made("trusted", &for_name("chat.example"));
    // A bad one changes nothing for anybody; the client reads its file at each attempt, so it has to be another.
    let client = files.trusting("trusted", "chat.example");
    let (refused, _) = attempt(&mut *listener, &*client).await;
    assert!(refused.err().unwrap().to_string().contains("signed by nobody"), "the old one is shown");

    // What was looked at while it was being written is looked at again, though its time is the same.
    for name in ["pem", "key"] {
        let path = files.path(&format!("server.{name}"));
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::copy(files.path(&format!("trusted.{name}")), &path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    }
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    let (dialed_anew, _) = attempt(&mut *listener, &*client).await;
    assert_eq!(dialed_anew.unwrap().peer, Peer::Name("chat.example".to_owned()));
    dialed.sink.send("still here".into()).await.unwrap();
    assert_eq!(accepted.source.next().await.unwrap().unwrap(), "still here");
}

/// A client that looks at nothing.
#[derive(Debug)]
pub(crate) struct AnyServer(pub(crate) std::sync::Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
