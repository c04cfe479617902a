//! A false relay that speaks the transport, and alters its answer or stalls in it: a client that dials it gets an error in
//! time, not a link, and does not say who it is.

use std::sync::Arc;
use std::thread;

use chat_core::transport::Peer;
use chat_core::{Address, Identity, LinkError};
use chat_hostile::mangle::{alterations, garbage};
use chat_hostile::raw::{TcpServer, UdpServer};
use chat_hostile::stack::transport;
use tokio::runtime::Builder;
use transport_noise::MESSAGE_LENGTHS;

/// P5, P8: each byte of preamble and Noise message 2 changed, cut, more put on.
#[test]
fn any_answer_to_a_client_on_tcp() {
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

/// P5, P7: each byte of REPLY changed, cut, others put in its place: whoever sees the wire can send such, so it is ignored, and the
/// genuine one behind all of it counts.
#[test]
fn any_answer_to_a_client_on_udp() {
    let server = UdpServer::bind();
    let (me, relay) = (Identity::from_seed(&[3; 32]), Identity::from_seed(&[4; 32]));
    let (address, identity) = (Address::new(server.address()), relay.clone());
    let answering = thread::spawn(move || {
        server.answer(&identity, |genuine| {
            let mut said = alterations(&genuine);
            // With more behind it it would be as good as genuine.
            said.retain(|altered| !altered.starts_with(&genuine));
            said.extend([garbage(1, genuine.len()), vec![0; genuine.len()], garbage(2, 1200)]);
            assert!(said.len() > 200, "{}", said.len());
            said.push(genuine);
            said
        })
    });
    // The link lives on while its FINISH is waited for.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let udp = transport("udp-arq");
    let link = runtime.block_on(transport_noise::dial(&*udp, &address, &me)).expect("a link");
    assert_eq!(link.peer, Peer::Key(relay.public()));
    assert!(answering.join().expect("the server has not panicked"), "the third message is genuine");
}

/// P7: a relay that accepts and says nothing, or stops in the middle of its answer, or answers with what is not genuine: after the
/// handshake's deadline the client has an error, and it has not said who it is. All at once, as each takes the ten seconds.
#[test]
fn who_stalls_at_any_step() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dial = |kind: &'static str, address: String| {
        runtime.spawn(async move {
            let me = Identity::from_seed(&[3; 32]);
            let link = transport_noise::dial(&*transport(kind), &Address::new(address), &me).await;
            link.map(|link| link.peer)
        })
    };
    let relay = Identity::from_seed(&[4; 32]);
    let (mut dialed, mut servers, mut callees) = (Vec::new(), Vec::new(), Vec::new());
    // Nothing; half a preamble; all of it; half a length; half of message 2; all but its last byte.
    for after in [0, 4, 8, 10, 100, 8 + 4 + MESSAGE_LENGTHS[1] - 1] {
        let (server, relay) = (TcpServer::bind(), relay.clone());
        dialed.push(dial("tcp", server.address()));
        servers.push(thread::spawn(move || server.stall(&relay, after) == 0));
    }
    for says in [false, true] {
        let (server, relay) = (UdpServer::bind(), relay.clone());
        callees.push(server.address());
        dialed.push(dial("udp-arq", server.address()));
        servers.push(thread::spawn(move || {
            let turn =
                |genuine: Vec<u8>| if says { alterations(&genuine[..genuine.len() - 1]) } else { vec![] };
            !server.answer(&relay, turn)
        }));
    }
    for (n, link) in dialed.into_iter().enumerate() {
        let link = runtime.block_on(link).expect("no panic");
        let named = matches!(link, Err(LinkError::Timeout(_) | LinkError::Unreachable { .. }));
        assert!(named, "case {n}: {link:?}");
    }
    callees.iter().for_each(|address| UdpServer::nobody_comes(address));
    for (n, server) in servers.into_iter().enumerate() {
        assert!(server.join().expect("the server has not panicked"), "case {n}: it has said who it is");
    }
}
