//! The client engine: conversations, outbox, message life, sessions, trust, history.
