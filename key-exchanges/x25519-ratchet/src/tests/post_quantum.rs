//! The same with `post_quantum = true`.

use chat_core::key_exchange::KeyExchange as _;
use x25519_agreement::{Agreement, Options};

use crate::X25519Ratchet;

mod conformance {
    use cipher_chacha20_poly1305::XChaCha;

    chat_core::key_exchange_suite!(
        crate::X25519Ratchet,
        options: "[key_exchange]\nkind = \"x25519-ratchet\"\npost_quantum = true\n",
        ciphers: [XChaCha],
    );
}

#[test]
fn it_is_claimed_of_the_handshake_and_not_of_the_turns() {
    let exchange = X25519Ratchet { agreement: Agreement::from(Options { post_quantum: true }) };
    let gives = exchange.properties();
    assert!(gives.deniable && gives.forward_secrecy && gives.healing && gives.post_quantum);
    assert_eq!(exchange.shared_options(), "post_quantum=true");
    let caveats = exchange.caveats().join("\n");
    for exception in
        ["turns of the ratchet are not post-quantum", "who also has a quantum computer", "ML-KEM-768"]
    {
        assert!(caveats.contains(exception), "{caveats}");
    }
}
