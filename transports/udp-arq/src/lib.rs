//! Reliable frames over UDP with our own ARQ, every packet sealed.
mod ack;
mod chunk;
mod config;
mod congestion;
mod connection;
mod endpoint;
mod handshake;
mod loss;
mod packet;
mod protect;
mod range_set;
mod replay;
mod rtt;
mod stream;
#[cfg(test)]
mod tests;
mod varint;
