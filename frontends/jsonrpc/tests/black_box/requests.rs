//! Requests, notifications, batches: what JSON-RPC 2.0 says, and what the methods do.

use chat_core::api::command::{Destination, InRoom, MemberOf, NewRoom, Send};
use chat_core::api::{Command, CommandError, ErrorKind, Reply};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::samples::{self, ALICE, message_id, room};
use crate::support::Session;

fn sent(n: u8) -> Result<Reply, CommandError> {
    Ok(Reply::Sent { id: message_id(n) })
}

fn text(to: Destination, text: &str) -> Command {
    Command::Send(Send { to, text: text.into(), client_id: None })
}

#[test]
fn a_command_goes_to_the_engine_and_its_answer_comes_back() {
    let mut session = Session::owner();
    session.ask(1, "msg.send", json!({ "to": "@bob", "text": "hi", "client_id": "c1", "colour": 3 }));
    let expected =
        Send { to: Destination::Nick("bob".into()), text: "hi".into(), client_id: Some("c1".into()) };
    assert_eq!(session.engine.answer(sent(7)), Command::Send(expected));
    assert_eq!(session.result(1), json!({ "id": message_id(7) }));

    session.ask("two", "room.join", json!({ "room": "#lobby" }));
    let refusal = Err(CommandError::new(ErrorKind::NotAllowed, "the door is shut"));
    assert_eq!(session.engine.answer(refusal), Command::Join(InRoom { room: room() }));
    assert_eq!(session.error("two", -32000, "not_allowed"), "the door is shut");
}

#[test]
fn the_id_comes_back_as_it_was_written() {
    let mut session = Session::owner();
    for id in ["0", "-1", "1.50", "123456789012345678901234567890", "\"x\\u0041\\n\"", "\"\"", "null", "1e3"]
    {
        session.send(&format!("{{\"id\":{id},\"method\":\"system.hello\",\"jsonrpc\":\"2.0\"}}\r"));
        assert_eq!(session.expect()["id"], serde_json::from_str::<Value>(id).unwrap(), "{id}");
    }
}

#[test]
fn a_notification_is_carried_out_and_never_answered() {
    let mut session = Session::owner();
    session.send(r##"{"jsonrpc":"2.0","method":"room.leave","params":{"room":"#lobby"}}"##);
    let refusal = Err(CommandError::new(ErrorKind::NotFound, "not there"));
    assert_eq!(session.engine.answer(refusal), Command::Leave(InRoom { room: room() }));
    for quiet in [r#""no.such.method""#, r#""msg.send","params":{}"#, r#""system.snapshot""#] {
        session.send(&format!(r#"{{"jsonrpc":"2.0","method":{quiet}}}"#));
    }
    session.ask(1, "system.hello", Value::Null);
    session.result(1);
}

#[test]
fn hello_says_who_and_what() {
    let mut session = Session::owner();
    session.engine.publish([samples::ready()]);
    assert_eq!(session.expect()["method"], "ready");
    session.ask(1, "system.hello", json!({}));
    let expected = json!({
        "version": chat_core::CORE_VERSION, "protocol": 1, "peer_id": ALICE, "nick": "alice",
        "event": "c0ffee00:1", "resync": false, "stack": samples::stack(),
    });
    assert_eq!(session.result(1), expected);
}

#[test]
fn a_snapshot_is_the_whole_state() {
    let mut session = Session::owner();
    session.ask(1, "system.snapshot", Value::Null);
    assert_eq!(session.result(1), serde_json::to_value(samples::snapshot(samples::event_id(0))).unwrap());
}

#[test]
fn a_typed_line_does_what_it_does_at_a_prompt() {
    let mut session = Session::owner();
    let lobby = || Destination::Room(room());
    for (params, command) in [
        (json!({ "line": "hello all" }), text(lobby(), "hello all")),
        (json!({ "line": "//etc" }), text(lobby(), "/etc")),
        (json!({ "line": "psst", "conversation": "bob" }), text(Destination::Nick("bob".into()), "psst")),
        (json!({ "line": "/join #lobby" }), Command::Join(InRoom { room: room() })),
        // As for a text, it is the first room if none is named.
        (json!({ "line": "/members" }), Command::Members(InRoom { room: room() })),
        (
            json!({ "line": "/leave", "conversation": "#den" }),
            Command::Leave(InRoom { room: "#den".parse().unwrap() }),
        ),
    ] {
        session.ask(1, "command.run", params);
        assert_eq!(session.engine.answer(sent(1)), command);
        session.result(1);
    }
    session.ask(2, "command.run", json!({ "line": "/help msg" }));
    assert!(session.result(2)["lines"][0].as_str().unwrap().starts_with("/msg TO TEXT…"));
    session.ask(3, "command.run", json!({ "line": "  " }));
    assert_eq!(session.result(3), json!({}));
    session.ask(4, "command.run", json!({ "line": "/mgs bob hi" }));
    assert!(session.error(4, -32601, "unknown_command").contains("did you mean /msg?"));
    session.ask(5, "command.run", json!({ "line": "/msg bob" }));
    assert!(session.error(5, -32602, "bad_params").contains("usage: /msg TO TEXT…"));
    session.ask(6, "command.run", json!({ "line": "/members", "conversation": "bob" }));
    assert!(session.error(6, -32602, "bad_params").contains("which room? usage: /members [ROOM]"));
}

#[test]
fn text_without_a_room_to_say_it_in_is_refused() {
    let mut session = Session::owner();
    session.engine.now.conversations.clear();
    session.engine.publish([]);
    session.ask(1, "command.run", json!({ "line": "hello?" }));
    assert!(session.error(1, -32001, "not_found").contains("conversation"));
}

#[test]
fn a_batch_is_answered_by_one_array() {
    let mut session = Session::owner();
    session.send(
        r#"[ {"jsonrpc":"2.0","id":1,"method":"peer.list"}, 5,
             {"jsonrpc":"2.0","method":"stack.get"},
             {"jsonrpc":"2.0","id":"s","method":"msg.sned"},
             {"jsonrpc":"2.0","id":2,"method":"system.hello"} ]"#
            .replace('\n', " ")
            .as_str(),
    );
    let request = session.engine.request();
    assert_eq!(request.command, Command::Peers);
    assert_eq!(session.engine.answer(Ok(Reply::Done {})), Command::Stack);
    request.reply.send(Ok(Reply::Peers { peers: vec![] })).unwrap();
    let answer = session.expect();
    let answers = answer.as_array().unwrap();
    let of = |id: Value| answers.iter().find(|it| it["id"] == id).unwrap();
    assert_eq!(answers.len(), 4, "{answer}");
    assert_eq!(of(json!(1))["result"], json!({ "peers": [] }));
    assert_eq!(of(json!(2))["result"]["nick"], "alice");
    assert_eq!(of(Value::Null)["error"]["code"], -32600);
    assert_eq!(of(json!("s"))["error"]["code"], -32601);
}

#[test]
fn a_batch_of_notifications_is_not_answered() {
    let mut session = Session::owner();
    session.send(r#"[{"jsonrpc":"2.0","method":"peer.list"},{"jsonrpc":"2.0","method":"room.list"}]"#);
    assert_eq!(session.engine.answer(Ok(Reply::Done {})), Command::Peers);
    assert_eq!(session.engine.answer(Ok(Reply::Done {})), Command::Rooms);
    session.ask(1, "system.hello", Value::Null);
    session.result(1);
}

#[test]
fn long_history_is_cut_to_what_fits_into_a_line() {
    let mut session = Session::owner();
    session.ask(1, "msg.history", json!({ "with": "#lobby", "limit": 12 }));
    let text = "\"".repeat(900_000);
    let messages = (0..12).map(|n| samples::message(n, &text, None)).collect();
    session.engine.answer(Ok(Reply::History { messages, has_older: false }));
    let history = session.result(1);
    let kept = history["messages"].as_array().unwrap();
    assert_eq!((kept.len(), &history["has_older"]), (3, &json!(true)));
    assert_eq!(kept[2]["id"], json!(message_id(11)));
}

#[test]
fn a_snapshot_that_is_too_long_loses_its_oldest_messages() {
    let mut session = Session::owner();
    let text = "\\".repeat(100_000);
    let messages = |count| (0..count).map(|n| samples::message(n, &text, None)).collect();
    session.engine.now.conversations = vec![
        std::sync::Arc::new(samples::lobby(messages(200))),
        std::sync::Arc::new(samples::lobby(messages(3))),
    ];
    session.engine.publish([]);
    session.ask(1, "system.snapshot", Value::Null);
    let snapshot = session.result(1);
    let shown = |n: usize| snapshot["conversations"][n]["messages"].as_array().unwrap().len();
    let older = |n: usize| snapshot["conversations"][n]["has_older"].as_bool().unwrap();
    assert_eq!((shown(0), older(0), shown(1), older(1)), (25, true, 3, false));
    assert_eq!(snapshot["conversations"][0]["messages"][24]["id"], json!(message_id(199)));
}

#[test]
fn a_batch_whose_answers_would_not_fit_says_so_for_those() {
    let mut session = Session::owner();
    let history = r#"{"jsonrpc":"2.0","id":1,"method":"msg.history","params":{"with":"bob","limit":1}}"#;
    session.send(&format!("[{}]", [history; 12].join(",")));
    for n in 0..12 {
        let messages = vec![samples::message(n, &"x".repeat(1_000_000), None)];
        session.engine.answer(Ok(Reply::History { messages, has_older: false }));
    }
    let answer = session.expect();
    let kinds: Vec<&Value> =
        answer.as_array().unwrap().iter().map(|it| &it["error"]["data"]["kind"]).collect();
    assert_eq!(kinds.len(), 12);
    assert_eq!(kinds.iter().filter(|kind| kind.is_null()).count(), 8);
    assert_eq!(kinds.iter().filter(|kind| ***kind == json!("too_large")).count(), 4);
}

#[test]
fn rooms_are_made_and_members_admitted_and_removed() {
    let mut session = Session::owner();
    session.ask(1, "room.create", json!({ "room": "#den" }));
    let created = Reply::Created { room: "#den·2020".parse().unwrap(), conversation_id: samples::LOBBY };
    let expected = Command::Create(NewRoom { room: "#den".to_owned().try_into().unwrap() });
    assert_eq!(session.engine.answer(Ok(created)), expected);
    let id = samples::LOBBY.to_string();
    assert_eq!(session.result(1), json!({ "room": "#den·2020", "conversation_id": id }));
    let of = || MemberOf { room: "#den·2020".parse().unwrap(), peer: Destination::Nick("bob".into()) };
    for (method, expected) in [("room.admit", Command::Admit(of())), ("room.remove", Command::Remove(of()))] {
        session.ask(2, method, json!({ "room": "#den·2020", "peer": "bob" }));
        assert_eq!(session.engine.answer(Ok(Reply::Done {})), expected);
        assert_eq!(session.result(2), json!({}));
        session.ask(3, method, json!({ "room": "#den", "peer": "#den" }));
        assert!(session.error(3, -32602, "bad_params").contains("peer"));
    }
    // Whoever reads a list of rooms sees which of them are open.
    session.ask(4, "room.list", json!({}));
    let rooms = vec![Arc::new(samples::lobby(vec![])), Arc::new(samples::den())];
    session.engine.answer(Ok(Reply::Rooms { rooms }));
    let rooms = session.result(4);
    assert_eq!((&rooms["rooms"][0]["open"], &rooms["rooms"][1]["open"]), (&json!(true), &json!(false)));
}
