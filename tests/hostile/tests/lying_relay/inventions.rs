//! Envelopes of the relay's own making, with keys of its own: what it can say in its own name, and what it can't say in
//! anybody else's.

use chat_core::api::MessageState;
use chat_core::api::event::AlarmKind;
use chat_core::nick::RoomName;
use chat_core::wire::body::ReceiptKind;
use chat_core::wire::envelope::{direct_conversation, open_room_conversation};
use chat_core::wire::{Body, Envelope, Plaintext};
use chat_core::{EnvelopeId, MessageId, Timestamp};
use chat_hostile::forge::{Forger, Talk, fresh};
use chat_hostile::scene::identity;
use chat_hostile::{Desk, LOBBY, Scene, Stack, X25519};

use crate::support::{caught, sent, with_each_key_exchange};

with_each_key_exchange!(things_nobody_says, in_the_name_of_another);

/// A genuine session of mallory's with somebody of the scene.
fn talk(scene: &Scene, with: &str) -> Talk {
    let mallory = Forger::new(scene.stack(), identity("mallory"));
    let theirs = scene.relay.with(|desk| desk.bundle(scene.id(with)).unwrap().to_vec());
    mallory.begin(&mallory.signed("mallory"), &theirs)
}

/// P5: mallory's session, and mallory's handshake, with bob's name on the envelope.
async fn in_the_name_of_another(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let mut talk = talk(&scene, "alice");
    let mut said = talk.plaintext(Body::Text("I am bob".into()));
    let as_mallory = talk.seal(&said);
    said.conversation = direct_conversation(alice, bob);
    let as_bob = talk.seal(&said);
    for envelope in [&as_mallory, &as_bob] {
        let forged = Envelope { id: EnvelopeId(fresh()), from: bob, ..envelope.clone() };
        scene.relay.with(|desk| desk.hand(alice, forged));
    }
    scene["alice"].wait_alarm(AlarmKind::Tampered, "bundle of somebody else").await;
    // In a session that is known, too, the name is held against it.
    let hello = talk.plaintext(Body::Text("I am mallory".into()));
    let hello = talk.seal(&hello);
    scene.relay.with(|desk| desk.hand(alice, hello));
    scene["alice"].wait_text("I am mallory").await;
    scene.forget();
    let forged = Envelope { id: EnvelopeId(fresh()), from: bob, ..as_bob.clone() };
    scene.relay.with(|desk| desk.hand(alice, forged));
    scene["alice"].wait_alarm(AlarmKind::Tampered, "session of another peer").await;
    // And in its own name it can't speak in their conversation.
    scene.relay.with(|desk| desk.hand(alice, as_bob));
    scene["alice"].wait_alarm(AlarmKind::Tampered, "direct message in another conversation").await;
    let texts = scene["alice"].texts("bob").await;
    assert!(!texts.contains(&"I am bob".to_owned()), "{texts:?}");
    scene.goes_on("alice", "bob").await;
}

/// P1, P5: what a member of nothing may not say in a session of its own: receipts for what others got, that others have left,
/// that others have not taken it, messages under others' ids, labels that contradict the envelope, another context,
/// padding and types that nobody writes.
async fn things_nobody_says(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let lobby = open_room_conversation(&RoomName::new(LOBBY).unwrap());
    let (open, _) = caught(&mut scene, "alice", "bob", "not yet").await;
    let of_bob = scene.says("bob", "alice", "of bob").await;
    let of_bob_in = sent(&scene, of_bob).message;
    let mut talk = talk(&scene, "alice");
    let plain = |talk: &Talk, body| talk.plaintext(body);
    let text = |words: &str| Body::Text(words.to_owned());
    let hello = plain(&talk, text("hello"));
    let hello = talk.seal(&hello);
    scene.relay.with(|desk| desk.hand(alice, hello));
    scene["alice"].wait_text("hello").await;
    scene.forget();
    let quiet: Vec<Plaintext> = vec![
        plain(&talk, Body::Receipt(ReceiptKind::Delivered, vec![open, of_bob])),
        plain(&talk, Body::Receipt(ReceiptKind::Read, vec![open; 256])),
        Plaintext { conversation: lobby, ..plain(&talk, Body::Left) },
        Plaintext { conversation: lobby, ..plain(&talk, Body::NotTaken(vec![open, of_bob])) },
        plain(&talk, Body::Renewed),
        Plaintext { sent_at: Timestamp(u64::MAX), ..plain(&talk, text("from the end of time")) },
        Plaintext {
            sent_at: Timestamp(0),
            previous: [9; 16],
            ..plain(&talk, text("behind what nobody said"))
        },
        Plaintext { message: of_bob_in, ..plain(&talk, text("under bob's id")) },
        Plaintext { message: open, ..plain(&talk, text("under alice's id")) },
    ];
    for plaintext in &quiet {
        let envelope = talk.seal(plaintext);
        scene.relay.with(|desk| desk.hand(alice, envelope));
    }
    scene["alice"].wait_text("under alice's id").await;
    assert_eq!(scene["alice"].alarms(), []);
    assert_eq!(scene["alice"].state("bob", open).await, MessageState::Stored, "bob has not said so");
    assert!(scene["alice"].members(LOBBY).await.contains(&bob), "bob has not left");
    let texts = scene["alice"].texts("bob").await;
    assert!(texts.iter().any(|it| it.starts_with("of bob")) && !texts.contains(&"under bob's id".to_owned()));
    loud(&mut scene, &mut talk).await;
    scene.relay.with(Desk::catch_up);
    scene["alice"].wait_state(open, MessageState::Delivered).await;
    scene.goes_on("alice", "bob").await;
}

/// What is refused with an alarm, one by one; none of it is shown.
async fn loud(scene: &mut Scene, talk: &mut Talk) {
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let lobby = open_room_conversation(&RoomName::new(LOBBY).unwrap());
    let before = scene["alice"].texts(LOBBY).await;
    let honest = talk.plaintext(Body::Text("never shown".into()));
    let in_room = Body::RoomText("never shown".into());
    let of_others = direct_conversation(alice, bob);
    let mut sealed: Vec<Envelope> = [
        Plaintext { context: Some([7; 32]), ..honest.clone() },
        Plaintext { conversation: lobby, ..honest.clone() },
        Plaintext { conversation: of_others, ..honest.clone() },
        Plaintext { body: in_room, ..honest.clone() },
        Plaintext { body: Body::Left, ..honest.clone() },
        Plaintext { body: Body::NotTaken(vec![honest.message]), ..honest.clone() },
        Plaintext { conversation: lobby, body: Body::Renewed, ..honest.clone() },
    ]
    .iter()
    .map(|plaintext| talk.seal(plaintext))
    .collect();
    let bytes = honest.encode();
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let last = bytes.len() - 1;
    let shapes = [
        Vec::new(),
        vec![0; 192],
        vec![0x80; 192],
        bytes[..last].to_vec(),
        [&bytes[..], &[0; 256]].concat(),
        with(0, 0),
        with(0, 0x7f),
        with(0, 0xff),
        with(last, 1),
        // Not UTF-8, behind the head with its context.
        with(1 + 32 + 16 + 16 + 8 + 16, 0xff),
        vec![0x81; 1 << 20],
    ];
    for shape in shapes {
        let frame = talk.seal_bytes(&shape).expect("it is sealed");
        sealed.push(talk.envelope(honest.conversation, honest.message, frame));
    }
    let mut elsewhere = talk.seal(&honest);
    elsewhere.message = MessageId([4; 16]);
    sealed.push(elsewhere);
    for envelope in sealed {
        scene.forget();
        scene.relay.with(|desk| desk.hand(alice, envelope));
        scene["alice"].wait_alarm(AlarmKind::Tampered, "").await;
        assert_eq!(scene["alice"].new_texts(), Vec::<String>::new());
    }
    assert_eq!(scene["alice"].texts(LOBBY).await, before);
}

/// P7: whoever has a session may say much; what it says is shown as what it is, in its own conversation, and what others say
/// arrives between.
#[tokio::test(start_paused = true)]
async fn a_stranger_who_talks_and_talks() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    let mut talk = talk(&scene, "alice");
    let mut previous = [0; 16];
    let all: Vec<Envelope> = (0..1000)
        .map(|n| {
            let plaintext = Plaintext { previous, ..talk.plaintext(Body::Text(format!("spam {n}"))) };
            previous = plaintext.chain_link();
            talk.seal(&plaintext)
        })
        .collect();
    scene.relay.with(|desk| all.into_iter().for_each(|envelope| desk.hand(alice, envelope)));
    scene.goes_on("alice", "bob").await;
    assert!(scene.relay.lies() >= 1000);
    let spam = scene["alice"].texts(&identity("mallory").peer_id().to_string()).await;
    assert!(spam.iter().all(|text| text.starts_with("spam ")));
    assert!(scene["alice"].texts("bob").await.iter().all(|text| !text.starts_with("spam")));
}
