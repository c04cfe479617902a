//! X25519 key agreement in one message.
