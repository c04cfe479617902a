//! The inputs to begin with: real encodings of every kind, and scripts that go through the ordinary course of things.
//! `cargo run --example seeds` writes them into `corpus/`; a test sees to it that they are what this makes.

use chat_core::api::table::COMMANDS;
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::body::{ClosedText, MAX_RECEIPT_IDS, ReceiptKind, RoomAsk, RoomLog};
use chat_core::wire::bundle::StackProfile;
use chat_core::wire::relay::{Delivery, Refusal};
use chat_core::wire::{
    Body, Bundle, Envelope, FromRelay, Handshake, OneTimeKey, OneTimeKeys, Plaintext, Recipient,
    SignedBundle, SignedOneTimeKey, ToRelay, WIRE_VERSION,
};
use chat_core::{ConversationId, EnvelopeId, MessageId, OneTimeKeyId, PeerId, SessionId, Timestamp};

use crate::parties::{alice, exchanges};
use crate::targets::first_message::RATCHET;
use crate::targets::{bundle, first_message, membership, tcp_frame};

/// A file of a corpus.
pub struct Seed {
    pub target: &'static str,
    pub name: String,
    pub bytes: Vec<u8>,
}

/// All of them.
pub fn all() -> Vec<Seed> {
    let mut seeds = Seeds(Vec::new());
    seeds.records();
    seeds.bundles();
    seeds.bodies();
    seeds.kept();
    seeds.hop();
    seeds.arq();
    seeds.sessions();
    seeds.profiles();
    seeds.lines();
    seeds.0
}

fn envelope(handshake: Option<Vec<u8>>, to: Recipient) -> Envelope {
    Envelope {
        id: EnvelopeId([3; 16]),
        to,
        from: PeerId([1; 32]),
        conversation: ConversationId([2; 16]),
        message: MessageId([4; 16]),
        session: SessionId([5; 16]),
        handshake,
        frame: vec![6; 40],
    }
}

fn profile() -> StackProfile {
    StackProfile {
        wire_version: WIRE_VERSION,
        key_exchange: "x25519".into(),
        key_exchange_options: String::new(),
        cipher: "chacha20-poly1305".into(),
    }
}

/// Alice's bundle for one of the exchanges, before and after it is signed.
fn own_bundle(which: usize) -> (Vec<u8>, Vec<u8>) {
    let bundle = Bundle {
        identity: alice().public().as_bytes().to_vec(),
        profile: profile(),
        nick: nick(),
        payload: exchanges()[which].bundles[0].payload.clone(),
        created: Timestamp(1_700_000_000_000),
        expires: Timestamp(1_700_600_000_000),
    };
    let signed = SignedBundle::sign(&bundle, &alice()).encode();
    // The inside is the first byte string of the outer array.
    let head = 2 + usize::from(signed[1] & 0x1f).saturating_sub(23);
    let inside = signed[head..signed.len() - 66].to_vec();
    assert!(bundle::signed(&inside) == signed, "the inside was found");
    (inside, signed)
}

fn nick() -> Nick {
    Nick::new("alice").unwrap()
}

fn room() -> RoomName {
    RoomName::new("#lobby").unwrap()
}

struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: impl Into<String>, parts: &[&[u8]]) {
        self.0.push(Seed { target, name: name.into(), bytes: parts.concat() });
    }

    fn records(&mut self) {
        let peer = Recipient::Peer(PeerId([9; 32]));
        let to_relay = [
            ("hello", ToRelay::Hello { version: WIRE_VERSION }),
            ("publish", ToRelay::Publish { bundle: vec![1, 2, 3] }),
            ("join", ToRelay::Join { room: room() }),
            ("leave", ToRelay::Leave { room: room() }),
            ("submit", ToRelay::Submit { envelopes: vec![envelope(None, peer.clone()); 2] }),
            ("ack", ToRelay::Ack { through: 70_000 }),
            ("find-peer", ToRelay::Find { peer: Some(PeerId([1; 32])), nick: None }),
            ("find-nick", ToRelay::Find { peer: None, nick: Some(nick()) }),
            ("ping", ToRelay::Ping { n: u64::MAX }),
            (
                "one-time-keys",
                ToRelay::OneTimeKeys { keys: OneTimeKeys(vec![vec![1, 2, 3], vec![4]]), anew: true },
            ),
            ("take-one-time-key", ToRelay::TakeOneTimeKey { peer: PeerId([1; 32]) }),
            ("pass", ToRelay::Pass { envelope: envelope(None, peer.clone()) }),
        ];
        for (name, record) in to_relay {
            self.add("relay_record", name, &[&[0], &record.encode()]);
        }
        let item = Delivery { n: 7, envelope: envelope(Some(vec![8; 20]), Recipient::Room(room())) };
        let from_relay = [
            (
                "welcome",
                FromRelay::Welcome {
                    version: 1,
                    now: Timestamp(1_700_000_000_000),
                    one_time_keys: Some(100),
                },
            ),
            ("stored", FromRelay::Stored { ids: vec![EnvelopeId([1; 16]); 3] }),
            ("refused", FromRelay::Refused { id: EnvelopeId([1; 16]), why: Refusal::MailboxFull }),
            ("deliver", FromRelay::Deliver { items: vec![item] }),
            ("peer", FromRelay::Peer { bundle: vec![1, 2, 3], online: true }),
            ("presence", FromRelay::Presence { peer: PeerId([1; 32]), online: false }),
            ("room", FromRelay::Room { room: room(), members: vec![PeerId([1; 32]), PeerId([2; 32])] }),
            ("unknown", FromRelay::Unknown { peer: None, nick: Some(nick()) }),
            ("pong", FromRelay::Pong { n: 1 }),
            ("error", FromRelay::Error { why: Refusal::Protocol, detail: "why".into() }),
            ("moving", FromRelay::Moving),
            ("one-time-keys-left", FromRelay::OneTimeKeysLeft { left: 99 }),
            ("one-time-key", FromRelay::OneTimeKey { peer: PeerId([1; 32]), key: Some(vec![1, 2, 3]) }),
            ("no-one-time-key", FromRelay::OneTimeKey { peer: PeerId([1; 32]), key: None }),
            ("passed", FromRelay::Passed { envelope: envelope(None, peer.clone()) }),
        ];
        for (name, record) in from_relay {
            self.add("relay_record", name, &[&[1], &record.encode()]);
        }
        self.add("relay_record", "envelope", &[&[2], &envelope(None, peer.clone()).encode()]);
        self.add("relay_record", "envelope-first", &[&[2], &envelope(Some(vec![1; 30]), peer).encode()]);
    }

    fn bundles(&mut self) {
        let key = OneTimeKey {
            key_exchange: "x25519".into(),
            key_exchange_options: String::new(),
            public: vec![5; 40],
            expires: Timestamp(1_700_000_000_000),
        };
        let signed = SignedOneTimeKey::sign(&key, &alice()).encode();
        self.add("bundle", "one-time-key", &[&[0x82], &signed]);
        // Behind the heads of the two arrays and of the byte string: what was signed.
        let inside = &signed[3..signed.len() - 66];
        self.add("bundle", "inside-one-time-key", &[&[0x81], inside]);
        for (which, name) in ["x25519", "rsa", "ratchet"].into_iter().enumerate() {
            let (inside, signed) = own_bundle(which);
            self.add("bundle", format!("signed-{name}"), &[&[0], &signed]);
            self.add("bundle", format!("inside-{name}"), &[&[1], &inside]);
            let first = first_message::genuine(which);
            let handshake = Handshake {
                bundle: signed,
                peer_bundle_hash: vec![7; 32],
                first: first.clone(),
                one_time: None,
            };
            self.add("bundle", format!("handshake-{name}"), &[&[2], &handshake.encode()]);
            let with_key = Handshake { one_time: Some(OneTimeKeyId([6; 16])), ..handshake };
            self.add("bundle", format!("handshake-one-time-{name}"), &[&[2], &with_key.encode()]);

            // The lowest bit chooses one of the older exchanges, the others what is read.
            let kind = |what: u8| [if which == RATCHET { 10 + what } else { what * 2 + which as u8 }];
            self.add("first_message", format!("first-{name}"), &[&kind(0), &first]);
            self.add(
                "first_message",
                format!("bundle-{name}"),
                &[&kind(1), &exchanges()[which].bundles[1].payload],
            );
            self.add("first_message", format!("saved-{name}"), &[&kind(2), &first_message::stored(which)]);
            self.add("first_message", format!("damaged-{name}"), &[&kind(3), &[0, 12, 4, 3, 1]]);
        }
        self.add("first_message", "under-rsa", &[&[8], &[1; 256]]);
    }

    fn bodies(&mut self) {
        let ids = vec![MessageId([7; 16]); 2];
        let bodies = [
            ("text", Body::Text("hello".into())),
            ("room-text", Body::RoomText("ünï 日本".into())),
            ("delivered", Body::Receipt(ReceiptKind::Delivered, ids.clone())),
            ("read", Body::Receipt(ReceiptKind::Read, vec![MessageId([7; 16]); MAX_RECEIPT_IDS / 16])),
            ("renewed", Body::Renewed),
            ("left", Body::Left),
            ("not-taken", Body::NotTaken(ids)),
            ("typing", Body::Typing(true)),
            (
                "closed-text",
                Body::ClosedText(ClosedText {
                    roster: [8; 16],
                    room: ConversationId([6; 16]),
                    message: MessageId([5; 16]),
                    text: "only us".into(),
                }),
            ),
            (
                "room-log",
                Body::RoomLog(RoomLog {
                    room: ConversationId([6; 16]),
                    log: [4; 16],
                    operations: vec![membership::create().signed],
                }),
            ),
            (
                "room-log-empty",
                Body::RoomLog(RoomLog { room: ConversationId([6; 16]), log: [4; 16], operations: vec![] }),
            ),
            ("room-ask", Body::RoomAsk(RoomAsk { room: ConversationId([6; 16]), log: [0; 16] })),
            ("long", Body::Text("x".repeat(400))),
        ];
        for (number, (name, body)) in bodies.into_iter().enumerate() {
            let plaintext = Plaintext {
                context: (number % 2 == 0).then_some([9; 32]),
                conversation: ConversationId([1; 16]),
                message: MessageId([2; 16]),
                sent_at: Timestamp(3),
                previous: [4; 16],
                body,
            };
            self.add("frame_body", name, &[&plaintext.encode()]);
        }
    }

    /// What goes with closed rooms, and what lies in files.
    fn kept(&mut self) {
        let create = membership::create();
        let create = create.signed.encode();
        self.add("membership", "create", &[&[0], &create]);
        let inside = &create[if create[1] == 0x58 { 3 } else { 2 }..create.len() - 66];
        assert!(membership::signed(inside) == create, "the inside was found");
        self.add("membership", "inside-create", &[&[1], inside]);
        // Who, what (admit, remove; upon the newest, upon any, hear), whom.
        let course = [0, 0, 5, 1, 0, 6, 2, 1, 4, 1, 6, 0, 3, 6, 1, 0, 1, 2, 2, 4, 5, 1, 4, 2, 2, 5, 1, 9];
        self.add("membership", "course", &[&[2], &course]);
        let at_once = [0, 0, 5, 1, 0, 6, 2, 0, 5, 3, 1, 4, 4, 1, 3, 0, 6, 4, 0, 1, 5];
        self.add("membership", "at-once", &[&[2], &at_once]);
        let dated_back = [0, 1, 2, 2, 4, 6, 0, 2, 5, 4, 0, 2, 4, 2, 1, 0, 6, 2];
        self.add("membership", "dated-back", &[&[2], &dated_back]);

        let values = [
            &[0, 0, 0, 0, 0][..],
            &[1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9],
            &[3, 0, 0, 0, 5],
            b"hello",
            &[4, 0, 0, 0, 1, 7],
        ];
        self.add("sealed_row", "values", &[&[1], &values.concat()]);
        self.add("sealed_row", "real", &[&[1, 2, 0, 0, 0, 8, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]]);
        self.add("sealed_row", "too-long", &[&[1, 4, 0xff, 0xff, 0xff, 0xff, 1]]);
        self.add("sealed_row", "no-text", &[&[1, 3, 0, 0, 0, 1, 0xff]]);
        self.add("sealed_row", "rubbish", &[&[0], &[9; 60]]);
        self.add("sealed_row", "damaged", &[&[2, 20, 4, 3]]);

        let record = |bytes: &[u8]| [&[bytes.len() as u8][..], bytes].concat();
        // `Record` of client/src/archive/export.rs: a table with its columns, a row, the end.
        let table = b"\x82\0\x82\x65rooms\x84\x6cconversation\x67address\x66closed\x66joined";
        let row = [
            &b"\x82\x01\x81\x84\x82\x04\x81\x50"[..],
            &[7; 16],
            b"\x82\x03\x81\x66#lobby\x82\x01\x81\0\x82\x01\x81\x01",
        ]
        .concat();
        let end = |rows: u8| [0x82, 2, 0x81, rows];
        self.add("archive", "import", &[&[2], &record(table), &record(&row), &record(&end(1))]);
        self.add("archive", "import-cut", &[&[2], &record(table), &record(&row)]);
        self.add("archive", "import-lost", &[&[2], &record(table), &record(&end(1))]);
        self.add("archive", "import-no-table", &[&[2], &record(&row), &record(&end(1))]);
        let other = b"\x82\0\x82\x65nodes\x80";
        self.add("archive", "import-unknown", &[&[2], &record(other), &record(&end(0))]);
        let chunks = client::fuzzing::sealed(&[table, &row]);
        self.add("archive", "chunks", &[&[0], &chunks]);
        self.add("archive", "chunks-cut", &[&[0], &chunks[..chunks.len() - 5]]);
        self.add("archive", "damaged", &[&[1], &[10, 4, 3, 0, 0, 0, 0, 0], &record(table)]);
        let cheap = [&[1][..], &8_u32.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 1], &[5; 60]].concat();
        self.add("archive", "wrapped-cheap", &[&[3], &cheap]);
        self.add("archive", "wrapped", &[&[3, 2], &[5; 80]]);
        self.add("archive", "wrapped-damaged", &[&[4, 16, 4, 1]]);
    }

    fn hop(&mut self) {
        let frames = b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01x";
        self.add("tcp_frame", "stream", &[&[0, 0, 1], &tcp_frame::PREAMBLE, frames]);
        self.add("tcp_frame", "behind-preamble", &[&[1, 3, 0], frames]);
        self.add("tcp_frame", "announced", &[&[1, 0, 5], b"\0\0\0\0\0\0\0\0\0\x1f\xff\xffabc"]);
        self.add("tcp_frame", "over-the-limit", &[&[1, 0, 5], b"\0\x01\0\0"]);
        self.add("tcp_frame", "http", &[&[0, 0, 1], b"GET / HTTP/1.1\r\n"]);
        self.add("tcp_frame", "written", &[&[2, 3, 7], &[0, 0, 5, 1, 0, 0, 3, 0x40, 0, 2, 1, 1]]);
        self.streams();
        self.add("noise_frame", "sink", &[&[0], &[0, 0, 5, 1, 0, 0, 3, 0xff, 0xff]]);
        self.add(
            "noise_frame",
            "kinds",
            &[&[1], &[3, 3, b'a', b'b', b'c', 8, 9, 3, 1, b'd', 10, 3, 1, b'e']],
        );
        self.add("noise_frame", "cut", &[&[1], &[8, 9]]);
        self.add("noise_frame", "empty-last", &[&[1], &[8, 9, 3, 0]]);
        self.add("noise_frame", "too-long", &[&[1], &[[8, 9]; 34].concat()]);
        self.add("noise_frame", "longest", &[&[1], &[9, 0, 0xff, 0xef, 10]]);
        self.add("noise_frame", "damaged", &[&[1], &[3, 1, b'a', 15, 4, 1, 2, 3, 4, 9, 4, 1]]);
        self.add("noise_frame", "odd", &[&[1], &[0, 2, 3, 1]]);
        for kind in 0..4 {
            self.add("noise_handshake", format!("kind-{kind}"), &[&[kind]]);
            let damage = [1, 1, 20, 4, 3, 3, 5, 1, 2, 3, 4, 5, 2, 9, 1, 7];
            self.add("noise_handshake", format!("damaged-{kind}"), &[&[kind], &damage]);
        }
        let low_order = [&[1, 1, 0, 3, 32][..], &[0; 32]].concat();
        self.add("noise_handshake", "low-order", &[&low_order]);
        self.add("noise_handshake", "wrong-name", &[&[2, 2]]);
        self.add("noise_handshake", "wrong-purpose", &[&[3, 3]]);
    }

    fn streams(&mut self) {
        // Room for two frames, greeted; then what a peer says, and what the program does with it.
        let opened = [0, 2, 0, 0, 0, 0, 3, 0x80, 0, 3, 1, 2, 3, 1];
        let accepts = [1, 1, 0, 1, 1, 3, 0, 1];
        self.add("emulated_streams", "accepted", &[&[0, 2, 0], &opened, &accepts]);
        self.add("emulated_streams", "finished", &[&[0, 2, 0], &opened, &accepts, &[0, 6, 0, 0, 1, 1, 3, 0]]);
        self.add("emulated_streams", "reset", &[&[0, 2, 0], &opened, &[0, 7, 0, 0, 1, 0, 8, 0, 0, 1]]);
        self.add("emulated_streams", "ours", &[&[0, 1, 0], &[1, 0, 0, 0, 1, 2, 0, 1, 0, 0, 0, 9, 0x80, 0]]);
        self.add(
            "emulated_streams",
            "datagrams",
            &[&[0, 2, 0], &[0, 10, 0, 0, 4, 1, 2, 3, 4, 1, 1, 6, 0, 3, 7, 7, 7]],
        );
        self.add("emulated_streams", "not-greeted", &[&[0, 2, 1], &opened]);
        self.add("emulated_streams", "unknown", &[&[0, 2, 0, 0, 11, 0, 0, 3, 0x0a, 1, 2, 1]]);
        self.add(
            "emulated_streams",
            "escaped",
            &[&[0, 2, 0, 0, 11, 0, 0, 3, 0xc5, 1, 2, 1, 0, 0, 0, 0, 2, 7, 7]],
        );
        for room in 0..3 {
            let step = [0, 0x20, 0, 0, 1, 0xff, 0xff, 1, 0, 0, 5, 0];
            let others = [1, 0, 0, 2, 0, 0, 0, 0, 0, 2, 2, 0, 0x10, 0, 1, 0, 0, 3, 6, 0, 2, 8, 8];
            self.add("emulated_streams", format!("two-{room}"), &[&[1, room], &step, &others, &step, &step]);
        }
    }

    fn arq(&mut self) {
        let long = |kind: u8, message: &[u8]| {
            let len = (message.len() as u16).to_be_bytes();
            [&[0xc0 | kind, 0x41, 0x52, 0x51, 1][..], &[8; 8], &len, message].concat()
        };
        for kind in 2..=5 {
            self.add("arq_packet", format!("long-{kind}"), &[&[0], &long(kind, b"noise"), b"rest"]);
        }
        let hello = [&long(1, &[9; 32])[..], &[16], &[7; 16], &[0; 1200 - 64]].concat();
        self.add("arq_packet", "hello", &[&[0], &hello]);
        self.add("arq_packet", "short", &[&[0], &[0x41], &[8; 40]]);
        let chunks: [(&str, &[u8]); 6] = [
            ("ping", &[0, 1, 0]),
            ("ack", &[2, 0x40, 100, 10, 2, 10, 83, 0, 2, 1]),
            ("close", &[3, 2]),
            ("credit-fin", &[4, 0x80, 0, 0, 9, 5, 0, 7]),
            ("fragment", &[0x10, 0, 0x40, 70, 0x80, 0x20, 0, 0, 0x40, 99, 4, b'p', b'a', b'r', b't']),
            ("whole", &[0x11, 0, 1, 3, b'a', b'l', b'l', 0x11, 0, 2, 0]),
        ];
        for (name, bytes) in chunks {
            self.add("arq_packet", name, &[&[1], bytes]);
            // Number 64, then the inside, sealed by a peer with other code.
            let packet = [&[14, 0, 64, bytes.len() as u8], bytes].concat();
            self.add("arq_pair", format!("hostile-{name}"), &[&[1, 0, 2, 5, 0x82], &packet]);
        }
        self.add(
            "arq_packet",
            "numbers",
            &[&[2], &[0, 0, 0, 0, 0, 0xac, 0x5c, 2, 0, 0, 0, 0, 0, 0xab, 0xe8, 0xb3]],
        );
        self.add("arq_packet", "cookie", &[&[3, 16], &[7; 20]]);

        // Two frames each way, all of which arrive.
        let exchange = [0, 50, 0x80, 20, 1, 16, 0, 2, 0x82, 0x85, 5, 9, 30, 2, 0x82, 0x85, 5, 11, 2, 0x85];
        for setup in [0, 1, 0x15, 0x2a, 0x3f] {
            self.add("arq_pair", format!("exchange-{setup}"), &[&[0, setup], &exchange]);
        }
        let trouble =
            [1, 64, 0, 2, 0x87, 0, 0x86, 0, 0x88, 0, 4, 4, 1, 0x8d, 9, 9, 9, 10, 40, 2, 0x85, 0x82, 5];
        self.add("arq_pair", "trouble", &[&[0, 2], &trouble]);
        self.add(
            "arq_pair",
            "stopped-reader",
            &[&[0, 0, 0x8c], &[1, 255, 255, 2, 0x85, 0x82, 5].repeat(6), &[0x8c]],
        );
        self.add(
            "arq_pair",
            "finish",
            &[&[0, 0], &[0, 9, 15, 0, 2, 0x85, 0x82, 5, 0x8f, 1, 0x82, 5, 2, 0x85]],
        );
        self.add(
            "arq_pair",
            "gone",
            &[&[0, 0], &[15, 2, 9, 60, 15, 2, 9, 60, 15, 2, 10, 255, 10, 255, 10, 255]],
        );

        // Dial, let in, three messages, frames.
        let connect = [0, 1, 0, 10, 8, 1, 0, 1, 0, 15, 9, 1, 0, 1, 0, 8, 20, 1, 0];
        self.add("arq_listener", "connect", &[&connect]);
        self.add("arq_listener", "two", &[&connect, &connect, &[14, 0, 9, 50, 1, 0]]);
        self.add(
            "arq_listener",
            "damaged",
            &[&[0, 6, 0, 30, 4, 1, 4, 0, 10, 8, 6, 0, 60, 4, 2, 1, 0, 6, 0, 9, 4, 3]],
        );
        self.add(
            "arq_listener",
            "flood",
            &[&[12, 20, 10, 20, 12, 255, 13, 200, 10, 31, 9, 12, 12, 99, 13, 99]],
        );
        self.add("arq_listener", "spoofed", &[&[0, 7, 0, 1, 7, 0, 2, 10, 8, 8, 60, 7, 0, 0, 8, 90, 9, 60]]);
        let made_up =
            [11, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 11, 1, 5, 8, 8, 8, 8, 8, 8, 8, 8, 3, 7, 7, 7, 0, 0];
        self.add("arq_listener", "made-up", &[&[0], &made_up]);
    }

    fn sessions(&mut self) {
        for pairing in 0..12 {
            // Three frames there and one back, in another order, one of them twice.
            let course =
                [0, 5, 1, 1, 1, 1, 1, 0, 0, 0, 0x80, 0, 0x85, 2, 0x86, 0, 0x85, 0, 0x85, 1, 5, 0, 11, 3];
            self.add("sessions", format!("course-{pairing}"), &[&[pairing], &course]);
        }
        let copies =
            [0x0e, 0, 0, 0, 0x0e, 1, 0, 0, 0x85, 1, 0x85, 0, 0x8e, 0, 0, 0, 0x85, 2, 0x8e, 1, 0x85, 2];
        self.add("sessions", "copies", &[&[1], &copies]);
        self.add(
            "sessions",
            "window",
            &[&[0, 0, 0], &[4, 255].repeat(5), &[0, 0, 0x85, 1, 0x85, 0, 0x8d, 0x85, 1]],
        );
        self.add(
            "sessions",
            "damaged",
            &[&[2, 0, 3, 1, 1, 1], &[0x89, 0, 5, 4, 0x8a, 0, 9, 0, 0x8c, 2, 7, 7, 0x85, 0]],
        );
        self.add("sessions", "adversity", &[&[4, 0x0f], &[0xff; 8], &[0, 0, 0x8d, 0x0d, 0x85, 0, 0x8f]]);
    }

    fn profiles(&mut self) {
        let shipped = [
            include_str!("../../configs/udp-rsa.toml"),
            include_str!("../../configs/tcp-x25519.toml"),
            include_str!("../../configs/relay-ratchet.toml"),
            include_str!("../../configs/tls-rsa.toml"),
            include_str!("../../configs/quic-ratchet.toml"),
            include_str!("../../configs/relay.toml"),
            include_str!("../../configs/post-quantum.toml"),
            include_str!("../../configs/legacy-study.toml"),
        ];
        let names = [
            "udp-rsa",
            "tcp-x25519",
            "relay-ratchet",
            "tls-rsa",
            "quic-ratchet",
            "relay",
            "post-quantum",
            "legacy-study",
        ];
        for (name, text) in names.into_iter().zip(shipped) {
            // The comments tell a person something, but not a fuzzer.
            let code = text.lines().map(|line| line.split("  #").next().unwrap_or_default().trim_end());
            let code: Vec<&str> = code.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
            self.add("profile", name, &[code.join("\n").as_bytes()]);
        }
        let head = "schema_version = 1\n[topology]\nrelay = \"127.0.0.1:1\"\n";
        let plugins = "[transport]\nkind = \"tcp\"\nnodelay = true\nkeepalive_seconds = 30\n[key_exchange]\n\
            kind = \"rsa-hybrid\"\nbits = 3072\n[cipher]\nkind = \"xchacha20-poly1305\"\n[frontend]\n\
            kind = \"jsonrpc\"\n";
        let more = "[identity]\nnick = \"alice\"\nkey_file = \"k\"\n[policy]\nrequire = [\"end-to-end\"]\n[relay]\n\
            listen = [\"tcp://0.0.0.0:0\", \"udp-arq://[::]:0\"]\nmax_clients = 7\n[log]\nlevel = \"debug\"\n";
        self.add("profile", "all-tables", &[head.as_bytes(), plugins.as_bytes(), more.as_bytes()]);
        self.add(
            "profile",
            "list",
            &[head.as_bytes(), plugins.replace("[transport]", "[[transport]]").as_bytes()],
        );
        let layers = b"\0CHAT_IDENTITY__NICK=bob\ntransport.kind=udp-arq\ntransport.mtu=1400\nrelay.listen=['tcp://a:1']";
        self.add("profile", "layers", &[head.as_bytes(), plugins.as_bytes(), layers]);
        let wrong = "[topology]\nkind = \"relais\"\nrooms = [\"lobby\", 1]\n[transport]\nkind = \"tpc\"\n[x]\ny = 1\n\
            [cipher]\nkind = \"aes-256-gcm\"\ntoken = \"hunter2\"\n[frontend]\nkind = 1979-05-27T07:32:00Z\n";
        self.add("profile", "wrong", &[wrong.as_bytes()]);
        self.add(
            "profile",
            "broken",
            &[b"schema_version = 1\n[topology\nrelay = \"\n[a]\npassword = '''x\n"],
        );
    }

    fn lines(&mut self) {
        let requests = [
            r#"{"jsonrpc":"2.0","id":1,"method":"msg.send","params":{"to":"bob","text":"h\u00e9\ud83d\ude00"}}"#,
            r##"{"jsonrpc":"2.0","id":"x\"y","method":"msg.history","params":{"with":"#lobby","limit":5}}"##,
            r#"[{"jsonrpc":"2.0","method":"peer.list"},{"jsonrpc":"2.0","id":3,"method":"stack.get"},{"id":null},[]]"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"command.run","params":{"line":"/msg bob hi"}}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"command.run","params":{"line":"/help"}}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"system.hello","params":{"since":"00000001:5"}}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"system.snapshot"}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"system.schema"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"","params":null,"more":[{"a":{"b":[true,false,null]}}]}"#,
            r#"{"id":1,"id":2,"method":"a","method":"b"}"#,
            "[1e308,1e-400,-0,18446744073709551616]",
        ];
        for (number, request) in requests.into_iter().enumerate() {
            self.add("jsonrpc_line", format!("request-{number}"), &[&[255, 3], request.as_bytes(), b"\n"]);
        }
        self.add(
            "jsonrpc_line",
            "several",
            &[&[0, 9], requests[0].as_bytes(), b"\r\n\n\xff\n", requests[4].as_bytes()],
        );
        for spec in COMMANDS {
            if let Some(word) = spec.slash.first() {
                let usage =
                    spec.usage().replace(['[', ']', '…'], "").replace("ROOM", "#lobby").to_lowercase();
                self.add("words", format!("slash-{word}"), &[&[0], usage.as_bytes()]);
            }
        }
        let pin = "ab".repeat(32);
        let words = [
            (1, "help", "help msg"),
            (0, "text", "//etc and / more"),
            (1, "misspelt", "mgs bob hi"),
            (2, "address", "[::1]:5"),
            (2, "pinned", &format!("{pin}@host:1")),
            (3, "room", "#lobby"),
            (3, "nick", "naïve·7f3a"),
            (3, "at", "@bob"),
            (4, "peer-id", &pin),
            (4, "message-id", &pin[..32]),
            (4, "safety-number", "12345 67890 12345 67890 12345 67890 12345 67890 12345 67890 12345 67890"),
            (3, "room-with-digits", "#den·7f3a"),
            (0, "in-a-room", "/admit bob"),
            (5, "escape", "a\u{1b}]0;x\u{7}b\r\nc\td\u{202e}"),
            (5, "marks", "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}"),
            (5, "family", "👩‍👩‍👧‍👦 é 日本 🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        ];
        for (kind, name, text) in words {
            self.add("words", name, &[&[kind], text.as_bytes()]);
        }
    }
}
