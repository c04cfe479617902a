//! What every transport must hold: with certificates of the identity keys, and with a server that shows one from a file.

use chat_core::testing::transport::TcpWire;
use transport_tls::Tls;

chat_core::transport_suite!(Tls, at: "127.0.0.1:0", wire: TcpWire);
