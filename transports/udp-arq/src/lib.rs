//! Reliable frames over UDP with our own ARQ, every packet sealed.
