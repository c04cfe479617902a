//! One function of bytes a target. Each file says at its top what must hold, and how much may be allocated.

pub mod archive;
pub mod arq_listener;
pub mod arq_packet;
pub mod arq_pair;
pub mod bundle;
pub mod emulated_streams;
pub mod first_message;
pub mod frame_body;
pub mod jsonrpc_line;
pub mod membership;
pub mod noise_frame;
pub mod noise_handshake;
pub mod profile;
pub mod relay_record;
pub mod sealed_row;
pub mod sessions;
pub mod tcp_frame;
pub mod words;

/// A target by its name: what is to be done once before, and what an input does.
pub struct Target {
    pub name: &'static str,
    pub prepare: fn(),
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident),*) => {
        /// All of them.
        pub const ALL: &[Target] =
            &[$(Target { name: stringify!($name), prepare: $name::prepare, run: $name::run }),*];
    };
}

targets!(
    relay_record,
    bundle,
    frame_body,
    membership,
    sealed_row,
    archive,
    tcp_frame,
    emulated_streams,
    noise_frame,
    noise_handshake,
    arq_packet,
    arq_listener,
    arq_pair,
    first_message,
    sessions,
    profile,
    jsonrpc_line,
    words
);
