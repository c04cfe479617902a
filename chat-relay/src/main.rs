//! The relay alone: everything is in the library; here stand the transports it is built with.

use std::process::ExitCode;

// `inventory` keeps a plugin only if its crate is used somewhere.
use {transport_quic as _, transport_tcp as _, transport_tls as _, transport_udp_arq as _};

fn main() -> ExitCode {
    chat_relay::main()
}
