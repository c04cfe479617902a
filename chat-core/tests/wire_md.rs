//! The examples in `WIRE.md` are what the code writes and reads, byte for byte.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chat_core::nick::{Nick, RoomName};
    use chat_core::wire::body::ReceiptKind;
    use chat_core::wire::membership::{Change, Operation, OperationId, SignedOperation};
    use chat_core::wire::relay::{Delivery, Refusal};
    use chat_core::wire::{
        Body, Bundle, Envelope, FromRelay, Handshake, OneTimeKey, OneTimeKeys, Plaintext, Recipient,
        SignedBundle, SignedOneTimeKey, StackProfile, ToRelay,
    };
    use chat_core::{
        ConversationId, EnvelopeId, Identity, MessageId, OneTimeKeyId, PeerId, SessionId, Timestamp,
    };

    const WIRE_MD: &str = include_str!("../WIRE.md");

    /// The blocks of the document that begin with "```hex NAME": digits, with remarks after `#`.
    fn documented() -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut lines = WIRE_MD.lines();
        while let Some(line) = lines.next() {
            let Some(name) = line.strip_prefix("```hex ") else { continue };
            let digits: Vec<u8> = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .flat_map(|line| line.split('#').next().unwrap().bytes())
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            let (pairs, []) = digits.as_chunks::<2>() else { panic!("{name}: half a byte") };
            let bytes =
                pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            assert!(found.insert(name.to_owned(), bytes.collect()).is_none(), "{name} stands there twice");
        }
        found
    }

    #[test]
    fn every_example_is_what_the_code_writes() {
        let mut documented = documented();
        for (name, bytes) in examples() {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(documented.remove(name), Some(bytes), "{name}: {hex}");
        }
        assert!(documented.is_empty(), "no longer written by the code: {documented:?}");
    }

    #[test]
    fn every_example_is_read() {
        let documented = documented();
        let (mut to, mut from) = (0, 0);
        for (name, bytes) in &documented {
            let read = match name.as_str() {
                "Text" | "Receipt with context" => Plaintext::decode(bytes).is_ok(),
                "Operation" => SignedOperation::decode(bytes).is_ok_and(|it| it.verify().is_ok()),
                "Signed bundle" => SignedBundle::verify(bytes).is_ok(),
                "One-time key" => SignedOneTimeKey::read(bytes).is_ok(),
                "Handshake" | "Handshake with a one-time key" => Handshake::decode(bytes).is_ok(),
                "Envelope to a peer" | "Envelope to a room" => Envelope::decode(bytes).is_ok(),
                _ if TO_RELAY.contains(&name.as_str()) => {
                    to += 1;
                    ToRelay::decode(bytes).is_ok()
                }
                _ => {
                    from += 1;
                    FromRelay::decode(bytes).is_ok()
                }
            };
            assert!(read, "{name}");
        }
        assert_eq!((to, from), (TO_RELAY.len(), 15));
    }

    /// The rows of the document's table of limits.
    #[test]
    fn every_limit_is_the_codes() {
        use chat_core::wire::{body, bundle, envelope, one_time, relay};
        let limits = [
            ("frame of a link, so any record", chat_core::transport::MAX_FRAME_BYTES),
            ("sealed frame in an envelope", envelope::MAX_SEALED_BYTES),
            ("bundle", bundle::MAX_BUNDLE_BYTES),
            ("handshake", bundle::MAX_HANDSHAKE_BYTES),
            ("one-time key", one_time::MAX_ONE_TIME_KEY_BYTES),
            ("one-time keys in one record", one_time::MAX_ONE_TIME_KEYS),
            ("envelopes or deliveries in one record", relay::MAX_BATCH),
            ("text", chat_core::nick::MAX_TEXT_BYTES),
            ("message ids in a receipt", body::MAX_RECEIPT_IDS),
            ("`Pass`, as it is encoded", relay::MAX_PASSED_BYTES),
        ];
        let (_, table) = WIRE_MD.split_once("| limit | |\n|---|---|\n").unwrap();
        let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), limits.len());
        for (row, (name, limit)) in rows.iter().zip(limits) {
            let [_, documented, value, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            // In whole bytes, in brackets if there is a shorter form.
            let bytes =
                value.split_once('(').map_or(value, |(_, bytes)| bytes.split(" bytes").next().unwrap());
            assert_eq!((documented, bytes.replace(' ', "").parse()), (name, Ok(limit)), "{row}");
        }
    }

    const TO_RELAY: [&str; 12] = [
        "Hello",
        "Publish",
        "Join",
        "Leave",
        "Submit",
        "Ack",
        "Find peer",
        "Find nick",
        "Ping",
        "OneTimeKeys",
        "TakeOneTimeKey",
        "Pass",
    ];

    fn envelope(to: Recipient, handshake: Option<Vec<u8>>) -> Envelope {
        Envelope {
            id: EnvelopeId([0x11; 16]),
            to,
            from: PeerId([0x22; 32]),
            conversation: ConversationId([0x33; 16]),
            message: MessageId([0x44; 16]),
            session: SessionId([0x55; 16]),
            handshake,
            frame: vec![0x66; 3],
        }
    }

    fn welcome() -> FromRelay {
        FromRelay::Welcome { version: 1, now: Timestamp(1_700_000_000_000), one_time_keys: Some(103) }
    }

    fn handshake(one_time: Option<OneTimeKeyId>) -> Handshake {
        Handshake { bundle: vec![0xcc; 2], peer_bundle_hash: vec![0xdd; 32], first: vec![0xee; 2], one_time }
    }

    fn one_time_key() -> Vec<u8> {
        let key = OneTimeKey {
            key_exchange: "x25519".into(),
            key_exchange_options: String::new(),
            public: vec![0xbb; 5],
            expires: Timestamp(1_700_000_000_000 + 7 * 86_400_000),
        };
        SignedOneTimeKey::sign(&key, &Identity::from_seed(&[9; 32])).encode()
    }

    fn examples() -> Vec<(&'static str, Vec<u8>)> {
        let room = RoomName::new("#lobby").unwrap();
        let nick = Nick::new("bob").unwrap();
        let peer = PeerId([0x77; 32]);
        let to_peer = envelope(Recipient::Peer(peer), None);
        let to_room = envelope(Recipient::Room(room.clone()), Some(vec![0xaa; 2]));
        let me = Identity::from_seed(&[9; 32]);
        let profile = StackProfile {
            wire_version: 1,
            key_exchange: "x25519".into(),
            key_exchange_options: String::new(),
            cipher: "aes-256-gcm".into(),
        };
        let bundle = Bundle {
            identity: me.public().as_bytes().to_vec(),
            profile,
            nick: nick.clone(),
            payload: vec![0xbb; 2],
            created: Timestamp(1_700_000_000_000),
            expires: Timestamp(1_700_604_800_000),
        };
        let plain = Plaintext {
            context: None,
            conversation: ConversationId([0x33; 16]),
            message: MessageId([0x44; 16]),
            sent_at: Timestamp(1_700_000_000_000),
            previous: [0; 16],
            body: Body::Text("hello".into()),
        };
        let mut examples = vec![
            ("Hello", ToRelay::Hello { version: 1 }.encode()),
            ("Publish", ToRelay::Publish { bundle: vec![0xcc; 2] }.encode()),
            ("Join", ToRelay::Join { room: room.clone() }.encode()),
            ("Leave", ToRelay::Leave { room: room.clone() }.encode()),
            ("Submit", ToRelay::Submit { envelopes: vec![to_peer.clone()] }.encode()),
            ("Ack", ToRelay::Ack { through: 300 }.encode()),
            ("Find peer", ToRelay::Find { peer: Some(peer), nick: None }.encode()),
            ("Find nick", ToRelay::Find { peer: None, nick: Some(nick) }.encode()),
            (
                "OneTimeKeys",
                ToRelay::OneTimeKeys { keys: OneTimeKeys(vec![vec![0xcc; 2]]), anew: false }.encode(),
            ),
            ("TakeOneTimeKey", ToRelay::TakeOneTimeKey { peer }.encode()),
            ("OneTimeKeysLeft", FromRelay::OneTimeKeysLeft { left: 103 }.encode()),
            ("OneTimeKey", FromRelay::OneTimeKey { peer, key: Some(vec![0xcc; 2]) }.encode()),
            ("Ping", ToRelay::Ping { n: 7 }.encode()),
            ("Welcome", welcome().encode()),
            ("Pass", ToRelay::Pass { envelope: to_peer.clone() }.encode()),
            ("Stored", FromRelay::Stored { ids: vec![EnvelopeId([0x11; 16])] }.encode()),
            (
                "Refused",
                FromRelay::Refused { id: EnvelopeId([0x11; 16]), why: Refusal::MailboxFull }.encode(),
            ),
            (
                "Deliver",
                FromRelay::Deliver { items: vec![Delivery { n: 300, envelope: to_room.clone() }] }.encode(),
            ),
            ("Peer", FromRelay::Peer { bundle: vec![0xcc; 2], online: true }.encode()),
            ("Presence", FromRelay::Presence { peer, online: false }.encode()),
            ("Members", FromRelay::Members { room: room.clone(), members: vec![peer] }.encode()),
            ("Room", FromRelay::Room { room, members: vec![peer] }.encode()),
            ("Unknown", FromRelay::Unknown { peer: Some(peer), nick: None }.encode()),
            ("Pong", FromRelay::Pong { n: 7 }.encode()),
            ("Error", FromRelay::Error { why: Refusal::Protocol, detail: "x".into() }.encode()),
            ("Moving", FromRelay::Moving.encode()),
            ("Passed", FromRelay::Passed { envelope: to_peer.clone() }.encode()),
            ("Envelope to a peer", to_peer.encode()),
            ("Envelope to a room", to_room.encode()),
            ("Signed bundle", SignedBundle::sign(&bundle, &me).encode()),
            ("Handshake", handshake(None).encode()),
            ("Handshake with a one-time key", handshake(Some(OneTimeKeyId([0x66; 16]))).encode()),
            ("One-time key", one_time_key()),
            ("Text", plain.encode().to_vec()),
        ];
        let receipt = Body::Receipt(ReceiptKind::Read, vec![MessageId([0x44; 16])]);
        let receipt = Plaintext { context: Some([0x99; 32]), body: receipt, ..plain };
        examples.push(("Receipt with context", receipt.encode().to_vec()));
        let operation = Operation {
            room: ConversationId([0x33; 16]),
            author: *me.public().as_bytes(),
            parents: vec![OperationId([0x11; 32])],
            change: Change::Admit { peer },
        };
        examples.push(("Operation", SignedOperation::sign(&operation, &me).encode()));
        examples
    }
}
