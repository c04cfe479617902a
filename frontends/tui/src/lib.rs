//! A terminal screen: messages, input, status.
