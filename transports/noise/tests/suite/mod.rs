//! What must hold for Noise over any bare transport, beside what every transport must hold; run for each of them.

// Clippy sees a test only in functions that carry the attribute; these are called by them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chat_core::transport::{BareLink, FrameSink, FrameSource, HANDSHAKE_DEADLINE, Peer};
use chat_core::{Address, Dialed, Identity, Link, LinkError, Listener, Transport};
use futures_util::future::join;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use transport_noise::{MESSAGE_LENGTHS, accept, check_pin, dial, secure};

pub(crate) fn alice() -> Identity {
    Identity::from_seed(&[1; 32])
}

pub(crate) fn bob() -> Identity {
    Identity::from_seed(&[2; 32])
}

pub(crate) fn bare(dialed: Dialed) -> BareLink {
    match dialed {
        Dialed::Bare(link) => link,
        Dialed::Secure(_) => panic!("not a bare transport"),
    }
}

async fn listen(transport: &dyn Transport, on: &Address) -> Box<dyn Listener> {
    transport.listen(on, &bob()).await.unwrap()
}

async fn accept_next(listener: &mut dyn Listener) -> Result<Link, LinkError> {
    accept(listener.next().await?, &bob()).await
}

/// A link from Alice to Bob, both ends.
pub(crate) async fn links(transport: &dyn Transport, on: &Address) -> (Link, Link) {
    let mut listener = listen(transport, on).await;
    let me = alice();
    let (ours, theirs) = join(dial(transport, &listener.address(), &me), accept_next(&mut *listener)).await;
    (ours.unwrap(), theirs.unwrap())
}

pub(crate) async fn a_drop_is_an_error_not_an_end(transport: &dyn Transport, on: &Address) {
    let (mut a, mut b) = links(transport, on).await;
    a.sink.send(Bytes::from_static(b"last")).await.unwrap();
    drop(a);
    assert_eq!(b.source.next().await.unwrap().unwrap(), "last");
    let error = b.source.next().await.unwrap().unwrap_err();
    assert!(matches!(error, LinkError::Io(_)), "{error}");
    assert!(b.source.next().await.is_none(), "an error is told once");
}

pub(crate) async fn the_pinned_peer_must_answer(transport: &dyn Transport, on: &Address) {
    let mut listener = listen(transport, on).await;
    let pinned = |peer: &Identity| Address { pin: Some(peer.peer_id()), ..listener.address() };
    let (right, wrong) = (pinned(&bob()), pinned(&alice()));
    let (me, bob_id, alice_id) = (alice(), bob().peer_id(), alice().peer_id());
    let (link, _) = join(dial(transport, &right, &me), accept_next(&mut *listener)).await;
    let mut link = link.unwrap();
    assert!(check_pin(&link, &listener.address()).is_ok());
    link.peer = Peer::Name("a.name".into());
    assert!(matches!(check_pin(&link, &right), Err(LinkError::NotAuthenticated(_))));
    let (refused, met) = join(dial(transport, &wrong, &me), accept_next(&mut *listener)).await;
    assert!(met.is_err(), "who is not the pinned one is not told who called");
    let refused = refused.err().unwrap();
    assert!(
        matches!(refused, LinkError::WrongPeer { expected, found } if expected == alice_id && found == bob_id),
        "{refused}"
    );
    // The node that hosts dials itself.
    let (own, _) = join(dial(transport, &right, &bob()), accept_next(&mut *listener)).await;
    assert_eq!(own.unwrap().peer, Peer::Key(bob().public()));
}

/// What somebody on the way does with the frames of a direction.
type Edit = Box<dyn FnMut(Bytes) -> Vec<Bytes> + Send>;

fn nothing() -> Edit {
    Box::new(|frame| vec![frame])
}

/// Changes the frame of this number and leaves the others.
fn at(number: usize, mut edit: impl FnMut(Bytes) -> Vec<Bytes> + Send + 'static) -> Edit {
    let mut seen = 0;
    Box::new(move |frame| {
        seen += 1;
        if seen - 1 == number { edit(frame) } else { vec![frame] }
    })
}

fn flip(position: usize, frame: &[u8]) -> Bytes {
    let mut frame = frame.to_vec();
    frame[position] ^= 0x40;
    frame.into()
}

async fn pump(mut source: FrameSource, mut sink: FrameSink, mut edit: Edit) {
    while let Some(Ok(frame)) = source.next().await {
        for frame in edit(frame) {
            if sink.send(frame).await.is_err() {
                return;
            }
        }
    }
    // Even a cut is passed on as a close in good order: Noise must notice by itself.
    if let Err(error) = sink.close().await {
        assert!(!matches!(error, LinkError::FrameTooLarge { .. }), "{error}");
    }
}

/// Both ends of a link through somebody who edits frames on the way up and down.
async fn through(
    transport: &dyn Transport,
    on: &Address,
    up: Edit,
    down: Edit,
) -> (Result<Link, LinkError>, Result<Link, LinkError>) {
    let (mut real, mut false_one) = (listen(transport, on).await, listen(transport, on).await);
    let real_address = real.address();
    let (false_address, me) = (false_one.address(), alice());
    let between = async {
        let near = bare(false_one.next().await.unwrap().handshake().await.unwrap());
        let far = bare(transport.dial(&real_address, &me).await.unwrap());
        tokio::spawn(pump(near.source, far.sink, up));
        tokio::spawn(pump(far.source, near.sink, down));
    };
    let ends = join(dial(transport, &false_address, &me), accept_next(&mut *real));
    join(ends, between).await.0
}

pub(crate) async fn a_handshake_with_any_byte_changed_is_refused(transport: &dyn Transport, on: &Address) {
    let (a, b) = through(transport, on, nothing(), nothing()).await;
    assert!(a.is_ok() && b.is_ok(), "an honest middle does no harm");
    let mut tried = 0;
    for (message, len) in MESSAGE_LENGTHS.into_iter().enumerate() {
        for position in 0..len {
            let edit = at(message / 2, move |frame| vec![flip(position, &frame)]);
            let (up, down) = if message == 1 { (nothing(), edit) } else { (edit, nothing()) };
            let (a, b) = through(transport, on, up, down).await;
            let refused = b.err().unwrap();
            assert!(
                matches!(refused, LinkError::NotAuthenticated(_) | LinkError::Io(_)),
                "message {message}, byte {position}: {refused}"
            );
            // The dialer is through once it has sent message 3, and then hears nothing good.
            match a {
                Err(_) => assert!(message < 2),
                Ok(mut link) => {
                    assert_eq!(message, 2);
                    assert!(link.source.next().await.unwrap().is_err());
                }
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 384);
}

pub(crate) async fn changed_data_ends_the_link_and_is_not_delivered(transport: &dyn Transport, on: &Address) {
    let held = || {
        let mut held = VecDeque::new();
        let mut seen = 0;
        // Swaps frames 3 and 4 of the direction.
        Box::new(move |frame: Bytes| {
            seen += 1;
            held.push_back(frame);
            match seen - 1 {
                3 => Vec::new(),
                4 => held.drain(..).rev().collect(),
                _ => held.drain(..).collect(),
            }
        })
    };
    // The first two frames up are messages 1 and 3, then come data 2, 3, 4, 5.
    let edits: Vec<(&str, Edit)> = vec![
        ("first byte", at(3, |frame| vec![flip(0, &frame)])),
        ("last byte", at(3, |frame| vec![flip(frame.len() - 1, &frame)])),
        ("shorter", at(3, |frame| vec![frame.slice(1..)])),
        ("longer", at(3, |frame| vec![[&frame[..], b"x"].concat().into()])),
        ("empty", at(3, |_| vec![Bytes::new()])),
        ("left out", at(3, |_| Vec::new())),
        ("repeated", at(2, |frame| vec![frame.clone(), frame])),
        ("made up", at(3, |frame| vec![Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"), frame])),
        ("swapped", held()),
    ];
    for (what, edit) in edits {
        let (a, b) = through(transport, on, edit, nothing()).await;
        let (mut a, mut b) = (a.unwrap(), b.unwrap());
        for word in ["zero", "one", "two", "three"] {
            if a.sink.send(Bytes::from(word)).await.is_err() {
                break; // The other end has noticed and hung up.
            }
        }
        assert_eq!(b.source.next().await.unwrap().unwrap(), "zero", "{what}");
        let error = b.source.next().await.unwrap().unwrap_err();
        assert!(matches!(error, LinkError::NotAuthenticated(_)), "{what}: {error}");
        assert!(b.source.next().await.is_none(), "{what}");
    }
}

/// Neither what is said nor who says it, nor any eight bytes of that, passes whoever looks on; and the same said twice
/// looks different.
pub(crate) async fn nothing_said_is_on_the_wire(transport: &dyn Transport, on: &Address) {
    const WORDS: &[u8] = b"meet me under the old clock tower at noon";
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = || -> Edit {
        let seen = Arc::clone(&seen);
        Box::new(move |frame| {
            seen.lock().unwrap().push(frame.clone());
            vec![frame]
        })
    };
    let (a, b) = through(transport, on, look(), look()).await;
    let (mut a, mut b) = (a.unwrap(), b.unwrap());
    for _ in 0..2 {
        for (from, to) in [(&mut a.sink, &mut b.source), (&mut b.sink, &mut a.source)] {
            from.send(Bytes::from_static(WORDS)).await.unwrap();
            assert_eq!(to.next().await.unwrap().unwrap(), WORDS);
        }
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3 + 4, "the handshake and what was said");
    let said: HashSet<_> = seen.iter().collect();
    assert_eq!(said.len(), seen.len(), "two frames look the same");
    for secret in [WORDS, alice().public().as_bytes(), bob().public().as_bytes()] {
        for piece in secret.windows(8) {
            let shown = seen.iter().any(|frame| frame.windows(8).any(|window| window == piece));
            assert!(!shown, "{} is on the wire", piece.escape_ascii());
        }
    }
}

pub(crate) async fn a_link_cut_short_is_an_error_though_the_transport_closed_well(
    transport: &dyn Transport,
    on: &Address,
) {
    // The fourth frame up is the authenticated close.
    let (a, b) = through(transport, on, at(3, |_| Vec::new()), nothing()).await;
    let (mut a, mut b) = (a.unwrap(), b.unwrap());
    a.sink.send(Bytes::from_static(b"said")).await.unwrap();
    a.sink.close().await.unwrap();
    assert_eq!(b.source.next().await.unwrap().unwrap(), "said");
    assert!(matches!(b.source.next().await, Some(Err(LinkError::Io(_)))));
}

pub(crate) async fn who_says_nothing_is_dropped_at_the_deadline(transport: &dyn Transport, on: &Address) {
    let mut listener = listen(transport, on).await;
    // Needs a paused clock, which moves when nothing else can.
    let began = tokio::time::Instant::now();
    let silent = bare(transport.dial(&listener.address(), &alice()).await.unwrap());
    let refused = accept_next(&mut *listener).await.err().unwrap();
    assert!(matches!(refused, LinkError::Timeout(_)), "{refused}");
    drop(silent);

    let (me, address) = (alice(), listener.address());
    let mut dialing = pin!(dial(transport, &address, &me));
    assert!((&mut dialing).now_or_never().is_none());
    let never_answers = listener.next().await.unwrap();
    let refused = dialing.await.err().unwrap();
    assert!(matches!(refused, LinkError::Timeout(_)), "{refused}");
    drop(never_answers);
    assert_eq!(began.elapsed(), 2 * HANDSHAKE_DEADLINE);
}

pub(crate) async fn foreign_first_frames_are_refused_by_name(transport: &dyn Transport, on: &Address) {
    let mut listener = listen(transport, on).await;
    for (bytes, guess) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "looks like HTTP"),
        (b"\x16\x03\x01\x02\x00", "looks like TLS"),
        (b"SSH-2.0-x\r\n", "looks like SSH"),
        (b"{\"id\":1}", "looks like JSON"),
        (b"", "nothing was sent"),
        (&[0xa5; 31], "unknown bytes"),
    ] {
        let mut stranger = bare(transport.dial(&listener.address(), &alice()).await.unwrap());
        stranger.sink.send(Bytes::from_static(bytes)).await.unwrap();
        let refused = accept_next(&mut *listener).await.err().unwrap();
        assert!(
            matches!(refused, LinkError::ForeignProtocol { looks_like } if looks_like == guess),
            "{guess}: {refused}"
        );
    }
    let (bare_link, me) = (transport.dial(&listener.address(), &alice()).await.unwrap(), alice());
    let (honest, answer) = join(secure(bare(bare_link), &me), accept_next(&mut *listener)).await;
    assert!(honest.is_ok() && answer.is_ok());
}
