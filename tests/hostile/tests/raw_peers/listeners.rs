//! A false relay that speaks the transport and alters its answer: a client that dials it gets an error, not a link, and hangs
//! up without having said who it is.

use std::sync::Arc;
use std::thread;

use chat_core::transport::Peer;
use chat_core::{Address, Identity};
use chat_hostile::mangle::alterations;
use chat_hostile::raw::TcpServer;
use chat_hostile::stack::transport;
use tokio::runtime::Builder;

/// P5, P8: each byte of preamble and Noise message 2 changed, cut, more put on.
#[test]
fn any_answer_to_a_client() {
    let server = Arc::new(TcpServer::bind());
    let (me, relay) = (Identity::from_seed(&[3; 32]), Identity::from_seed(&[4; 32]));
    let address = Address::new(server.address());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let dial = |turn: Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>| {
        let (answering, relay) = (Arc::clone(&server), relay.clone());
        let answering = thread::spawn(move || answering.answer(&relay, turn));
        let tcp = transport("tcp");
        let link = runtime.block_on(transport_noise::dial(&*tcp, &address, &me));
        let link = link.map(|link| link.peer);
        (link, answering.join().expect("the server has not panicked"))
    };
    let (link, said) = dial(Box::new(|genuine| genuine));
    assert_eq!(link.unwrap(), Peer::Key(relay.public()), "with nothing changed it is a link");
    assert!(said > 160);
    let mut tried = 0;
    let cases = alterations(&[0; 8 + 4 + 192]).len();
    for n in 0..cases {
        let (link, said) = dial(Box::new(move |genuine| {
            let altered = alterations(&genuine).swap_remove(n);
            // More behind the answer is the beginning of what comes next, and refused there.
            if altered.starts_with(&genuine) { vec![0; 100] } else { altered }
        }));
        assert!(link.is_err(), "case {n} was taken for an answer");
        assert_eq!(said, 0, "case {n}: the third message says who calls");
        tried += 1;
    }
    assert!(tried > 200, "{tried}");
}
