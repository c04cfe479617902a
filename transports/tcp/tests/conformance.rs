//! What every transport must hold: of TCP by itself, and of Noise over it.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

mod bare {
    use chat_core::testing::transport::TcpWire;
    use transport_tcp::Tcp;

    chat_core::transport_suite!(Tcp, at: "127.0.0.1:0", wire: TcpWire);
}

mod secured {
    use chat_core::Plugin as _;
    use chat_core::testing::transport::{Subject, TcpWire};
    use transport_noise::OverNoise;
    use transport_tcp::{Tcp, TcpOptions};

    fn secured() -> Subject {
        let tcp = || Tcp::build(TcpOptions::default()).unwrap();
        Subject::new(move || Box::new(OverNoise(tcp())), || "127.0.0.1:0".into()).with_wire(TcpWire)
    }

    chat_core::transport_suite!(subject: secured());
}

/// With the streams and datagrams that the core gives to a link that has none.
mod completed {
    use chat_core::Plugin as _;
    use chat_core::testing::transport::{Subject, TcpWire};
    use chat_core::transport::emulated::Complete;
    use transport_noise::OverNoise;
    use transport_tcp::{Tcp, TcpOptions};

    fn completed() -> Subject {
        let tcp = || Tcp::build(TcpOptions::default()).unwrap();
        let completed = move || Box::new(Complete(Box::new(OverNoise(tcp())))) as _;
        Subject::new(completed, || "127.0.0.1:0".into()).with_wire(TcpWire)
    }

    chat_core::transport_suite!(subject: completed());
}
