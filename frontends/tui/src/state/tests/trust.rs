//! Trust on the screen, and who writes.

use chat_core::api::Trust;
use chat_core::api::command::{Confirm, Verification};
use chat_core::api::event::Typing;
use chat_core::api::snapshot::Held;

use super::*;

fn verification(verified: bool) -> Verification {
    Verification {
        peer_id: BOB,
        nick: "bob".into(),
        verified,
        safety_number: (0..60).map(|n| char::from(b'0' + n % 10)).collect(),
        qr: format!("01{}{}", "00".repeat(32), "ff".repeat(32)),
    }
}

/// C07, C33: the number in groups, and the code to scan, or a word why it is not there.
#[test]
fn what_to_compare_is_shown_as_digits_and_as_a_code() {
    for (width, has_code) in [(100, true), (44, false)] {
        let mut state = World::new().state(width, 50);
        state.arrange(width, 50);
        let asked = commands(enter(&mut state, "/verify bob"));
        let [(token, Command::Verify(verify))] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!((verify.peer.to_string().as_str(), &verify.confirm), ("bob", &None));
        state.answer(*token, Ok(Reply::Verification(verification(false))));
        state.arrange(width, 50);
        let rows = seen(&state).join("\n");
        for piece in ["bob is not verified", "01234 56789 01234 56789", "/verify bob yes"] {
            assert!(rows.contains(piece), "no {piece} in {rows}");
        }
        let content = [&[1][..], &[0; 32], &[0xff; 32]].concat();
        let code = qr_code::Code::new(&content).unwrap().half_blocks();
        let drawn = code.iter().all(|row| rows.contains(row.as_str()));
        assert_eq!((drawn, rows.contains("too narrow for the QR")), (has_code, !has_code), "{rows}");
    }
    let mut state = World::new().state(100, 50);
    let asked = commands(enter(&mut state, "/verify bob 01234 56789"));
    let [(token, Command::Verify(verify))] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(verify.confirm, Some(Confirm::Said("01234 56789".into())));
    state.answer(*token, Ok(Reply::Verification(verification(true))));
    state.arrange(100, 50);
    assert!(seen(&state).join("\n").contains("bob is verified"));
}

/// C22: each message of somebody whose key is not verified is marked; one's own and others' are not.
#[test]
fn each_message_says_whether_its_author_is_verified() {
    let mut world = World::new();
    (world.peers[2].trust, world.peers[2].verified) = (Trust::Verified, true);
    let said = [(BOB, "from bob"), (CAROL, "from carol"), (ME, "mine")];
    let messages = said.map(|(who, text)| world.say(LOBBY, who, text));
    let mut state = world.state(80, 24);
    state.arrange(80, 24);
    let rows = seen(&state);
    let last = &rows[rows.len() - 3..];
    assert_eq!(last, ["~ |bob  from bob", "  |carol  from carol", "… |alice  mine"]);
    // Those that a search finds, too.
    let asked = commands(enter(&mut state, "/search from"));
    let (token, _) = asked.last().unwrap();
    state.answer(*token, Ok(Reply::Found { messages: messages.into(), has_more: false }));
    state.arrange(80, 24);
    let marks = |author: &str| {
        let rows = seen(&state);
        rows.iter()
            .filter(|row| row.contains(&format!("  {author}: ")))
            .map(|row| row.contains("~ "))
            .collect::<Vec<_>>()
    };
    assert_eq!((marks("bob"), marks("carol"), marks("alice")), (vec![true], vec![false], vec![false]));
    let asked = commands(enter(&mut state, "/members #lobby"));
    let members = world.snapshot().peers.clone();
    let (token, _) = asked.last().unwrap();
    state.answer(*token, Ok(Reply::Members { members }));
    state.arrange(80, 24);
    let rows = seen(&state).join("\n");
    assert!(rows.contains("bob  online, unverified") && rows.contains("carol  online, verified"), "{rows}");
}

#[test]
fn what_holds_a_peer_is_said_in_its_conversation() {
    let mut world = World::new();
    let mut state = world.state(100, 24);
    state.act(Action::Switch(Switch::Number(2)));
    let bob = &mut world.peers[1];
    bob.held = Some(Held::Downgrade);
    bob.problem = Some("forward secrecy was had with bob; /accept bob downgrade".into());
    state.news(world.news(vec![]));
    state.arrange(100, 24);
    let rows = seen(&state).join("\n");
    assert!(rows.contains("!!|nothing can be sent to bob: forward secrecy was had"), "{rows}");
    let asked = commands(enter(&mut state, "/accept bob downgrade"));
    assert!(matches!(&asked[..], [(_, Command::AcceptKey(_))]), "{asked:?}");
    state.answer(asked[0].0, Ok(Reply::Decided { said: "so it is".into() }));
    state.arrange(100, 24);
    assert_eq!(seen(&state).last().unwrap(), "--|so it is");
}

/// B12.
#[test]
fn who_writes_is_told_and_shown() {
    let mut world = World::new();
    let mut state = world.state(80, 24);
    state.act(Action::Switch(Switch::Number(2)));
    state.take_effects();
    type_in(&mut state, "hello");
    assert_eq!(state.take_effects(), [Effect::Typing(WITH_BOB, true)], "once, not with each key");
    state.set_now(START.plus_ms(3_000));
    state.act(Action::Insert('!'));
    assert_eq!(state.take_effects(), [Effect::Typing(WITH_BOB, true)]);
    state.act(Action::Switch(Switch::Number(1)));
    state.act(Action::Switch(Switch::Number(2)));
    assert_eq!(state.take_effects(), [Effect::Typing(WITH_BOB, false)], "a draft is not being written");
    type_in(&mut state, "?");
    (0..7).for_each(|_| state.act(Action::Edit(Edit::Backspace)));
    assert_eq!(state.take_effects(), [Effect::Typing(WITH_BOB, true), Effect::Typing(WITH_BOB, false)]);
    type_in(&mut state, "/msg bob psst");
    assert_eq!(state.take_effects(), [], "a command is no message");

    let typing = |conversation, peer, nick: &str, typing| {
        let from = Author { peer_id: peer, nick: nick.into(), verified: false };
        Event::Typing(Typing { address: Destination::Conversation(conversation), conversation, from, typing })
    };
    let events = vec![typing(LOBBY, BOB, "bob", true), typing(LOBBY, CAROL, "carol", true)];
    state.news(world.news(events));
    assert_eq!(
        (state.writing_in(LOBBY).as_str(), state.writing_in(WITH_BOB).as_str()),
        ("bob and carol write", "")
    );
    state.news(world.news(vec![typing(LOBBY, CAROL, "carol", false)]));
    assert_eq!(state.writing_in(LOBBY), "bob writes");
}
