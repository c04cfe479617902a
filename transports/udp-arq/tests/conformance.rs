//! What every transport must hold.

use transport_udp_arq::UdpArq;

chat_core::transport_suite!(UdpArq, at: "127.0.0.1:0");
