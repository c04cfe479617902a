//! What every transport must hold.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

use std::time::Duration;

use chat_core::Plugin as _;
use chat_core::testing::transport::{Subject, UdpWire};
use transport_udp_arq::UdpArq;

/// As its example makes it. On this machine who is silent for 7 s, though asked, is gone.
fn udp_arq() -> Subject {
    let subject = Subject::of::<UdpArq>(UdpArq::EXAMPLE, || "127.0.0.1:0".into());
    subject.with_wire(UdpWire).noticing_silence_within(Duration::from_secs(10))
}

chat_core::transport_suite!(subject: udp_arq());

/// With the streams and datagrams that the core gives to a link that has none.
mod completed {
    use std::time::Duration;

    use chat_core::Plugin as _;
    use chat_core::testing::transport::{Subject, UdpWire};
    use chat_core::transport::emulated::Complete;
    use transport_udp_arq::{Options, UdpArq};

    fn completed() -> Subject {
        let udp_arq = || UdpArq::build(Options::default()).unwrap();
        let subject = Subject::new(move || Box::new(Complete(udp_arq())), || "127.0.0.1:0".into());
        subject.with_wire(UdpWire).noticing_silence_within(Duration::from_secs(10))
    }

    chat_core::transport_suite!(subject: completed());
}
