//! What every transport must hold.

use std::time::Duration;

use chat_core::testing::transport::{Subject, UdpWire};
use transport_quic::Quic;

/// Who is silent for three seconds, though asked, is gone.
fn quic() -> Subject {
    const OPTIONS: &str = "[transport]\nkind = \"quic\"\nkeepalive_seconds = 1\nidle_seconds = 3\n";
    let subject = Subject::of::<Quic>(OPTIONS, || "127.0.0.1:0".into());
    subject.with_wire(UdpWire).noticing_silence_within(Duration::from_secs(5))
}

chat_core::transport_suite!(subject: quic());
