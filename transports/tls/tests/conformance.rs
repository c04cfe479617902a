//! What every transport must hold: with certificates of the identity keys, and with a server that shows one from a file.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

use chat_core::testing::transport::TcpWire;
use transport_tls::Tls;

chat_core::transport_suite!(Tls, at: "127.0.0.1:0", wire: TcpWire);

/// With the streams and datagrams that the core gives to a link that has none.
mod completed {
    use chat_core::Plugin as _;
    use chat_core::testing::transport::{Subject, TcpWire};
    use chat_core::transport::emulated::Complete;
    use transport_tls::{Tls, TlsOptions};

    fn completed() -> Subject {
        let tls = || Tls::build(TlsOptions::default()).unwrap();
        Subject::new(move || Box::new(Complete(tls())), || "127.0.0.1:0".into()).with_wire(TcpWire)
    }

    chat_core::transport_suite!(subject: completed());
}
