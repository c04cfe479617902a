//! The session that x25519 and rsa-hybrid share: one key a direction, salted per message.
