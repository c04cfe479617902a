//! One program, any secure-chat stack.
