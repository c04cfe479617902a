//! The end of input, of output, of the program.

use std::sync::Arc;
use std::time::Duration;

use chat_core::api::handle::KEPT_EVENTS;
use chat_core::api::{Command, CommandError, ErrorKind, MessageState, Reply};
use frontend_jsonrpc::Connection;
use serde_json::{Value, json};

use crate::samples::{link_down, lobby, message, message_id, new_message, status};
use crate::support::{Engine, Session, start, wait_end};

fn send_one(session: &mut Session) {
    session.ask(1, "msg.send", json!({ "to": "bob", "text": "last words" }));
    assert!(matches!(session.engine.answer(Ok(Reply::Sent { id: message_id(1) })), Command::Send(_)));
}

fn states(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["method"] == "msg.status").map(|line| &line["params"]["state"]).collect()
}

#[test]
fn at_the_end_of_input_what_is_queued_is_sent_first() {
    for last in [MessageState::Stored, MessageState::Delivered, MessageState::Failed] {
        let mut session = Session::owner();
        send_one(&mut session);
        session.end_input();
        // The engine answers before it publishes; the connection must not be fooled by that.
        session.result(1);
        session.engine.publish([new_message(1, Some(MessageState::Queued))]);
        session.pass_barrier();
        session.engine.publish([status(1, MessageState::Sent), link_down("marker")]);
        while session.expect()["method"] != "link.down" {}
        assert!(!session.has_ended());
        session.engine.publish([status(1, last)]);
        assert_eq!(states(&session.ended()), [&json!(last)]);
    }
}

#[test]
fn a_line_without_its_end_counts_and_answers_are_waited_for() {
    let mut session = Session::owner();
    session.send_bytes(br#"{"jsonrpc":"2.0","id":9,"method":"peer.list"}"#);
    session.end_input();
    let request = session.engine.request();
    assert_eq!(request.command, Command::Peers);
    request.reply.send(Ok(Reply::Peers { peers: vec![] })).unwrap();
    session.pass_barrier();
    assert_eq!(session.ended(), [json!({ "jsonrpc": "2.0", "id": 9, "result": { "peers": [] } })]);
}

#[test]
fn what_cannot_be_sent_is_not_waited_for_for_ever() {
    let (client, engine) = Engine::new();
    let connection = Connection::owner(client).flush_within(Duration::from_millis(50));
    let mut session = Session::of(connection, engine);
    send_one(&mut session);
    session.result(1);
    session.engine.publish([new_message(1, Some(MessageState::Queued))]);
    assert_eq!(session.expect()["method"], "msg.new");
    session.end_input();
    assert!(session.ended().is_empty());
}

#[test]
fn an_engine_that_never_answers_is_not_waited_for_for_ever() {
    let (client, engine) = Engine::new();
    let connection = Connection::owner(client).flush_within(Duration::from_millis(50));
    let mut session = Session::of(connection, engine);
    session.ask(1, "peer.list", Value::Null);
    session.end_input();
    assert!(session.ended().is_empty());
}

#[test]
fn messages_of_an_earlier_run_are_not_waited_for() {
    let mut session = Session::owner();
    session.engine.publish([status(1, MessageState::Sent)]);
    session.end_input();
    session.pass_barrier();
    assert_eq!(states(&session.ended()), [&json!("sent")]);
}

#[test]
fn what_is_queued_is_known_also_when_the_event_of_it_was_lost() {
    let mut session = Session::owner();
    let queued = message(1, "hi", Some(MessageState::Queued));
    session.engine.now.conversations = vec![Arc::new(lobby(vec![queued]))];
    let new = new_message(1, Some(MessageState::Queued));
    session.engine.publish(std::iter::once(new).chain((0..KEPT_EVENTS).map(link_down)));
    session.end_input();
    session.pass_barrier();
    session.engine.publish([link_down("marker")]);
    while session.expect()["params"]["reason"] != "marker" {}
    assert!(!session.has_ended());
    session.engine.publish([status(1, MessageState::Stored)]);
    assert_eq!(states(&session.ended()), [&json!("stored")]);
}

#[test]
fn a_guest_leaves_at_the_end_of_its_input_once_it_is_answered() {
    let (client, engine) = Engine::new();
    let mut session = Session::of(Connection::guest(client), engine);
    send_one(&mut session);
    session.engine.publish([new_message(1, Some(MessageState::Queued))]);
    session.end_input();
    assert!(session.ended().iter().any(|line| line["id"] == 1));
}

#[test]
fn shutdown_answers_then_leaves_and_nothing_after_it_is_begun() {
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"method":"system.shutdown"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"command.run","params":{"line":"/quit"}}"#,
    ] {
        let mut session = Session::owner();
        session.send(&format!("{line}\n{}", line.replace("\"id\":1", "\"id\":2")));
        let request = session.engine.request();
        assert_eq!(request.command, Command::Shutdown);
        assert!(!session.engine.has_request());
        request.reply.send(Ok(Reply::Done {})).unwrap();
        assert_eq!(session.ended(), [json!({ "jsonrpc": "2.0", "id": 1, "result": {} })]);
        assert!(!session.engine.has_request());
    }
}

#[test]
fn a_refused_shutdown_changes_nothing() {
    let mut session = Session::owner();
    session.ask(1, "system.shutdown", Value::Null);
    session.ask(2, "peer.list", Value::Null);
    session.engine.answer(Err(CommandError::new(ErrorKind::NotAllowed, "not now")));
    session.error(1, -32000, "not_allowed");
    assert_eq!(session.engine.answer(Ok(Reply::Done {})), Command::Peers);
    session.result(2);
}

#[test]
fn it_leaves_when_the_engine_stops_though_no_input_comes() {
    let mut session = Session::owner();
    session.ask(1, "peer.list", Value::Null);
    let request = session.engine.request();
    session.engine.publish([link_down("bye")]);
    session.engine.stop();
    drop(request);
    let lines = session.ended();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().any(|line| line["error"]["data"]["kind"] == "stopping"));
    assert!(session.input.is_some());
}

#[test]
fn it_leaves_when_the_engine_stops_though_nobody_reads() {
    let (client, mut engine) = Engine::new();
    let (input, output, ended) = start(Connection::owner(client));
    for _ in 0..10 {
        engine.publish((0..100).map(|_| link_down("x".repeat(10_000))));
    }
    engine.stop();
    wait_end(&ended).unwrap();
    drop((input, output));
}

#[test]
fn it_leaves_when_the_engine_is_gone() {
    let (client, engine) = Engine::new();
    let (input, output, ended) = start(Connection::owner(client));
    engine.stop();
    drop(engine);
    wait_end(&ended).unwrap();
    drop((input, output));
}

#[test]
fn when_the_output_is_closed_what_was_asked_is_done_and_it_leaves() {
    let (client, mut engine) = Engine::new();
    let (mut input, output, ended) = start(Connection::owner(client).flush_within(Duration::from_secs(3600)));
    drop(output);
    std::io::Write::write_all(
        &mut input,
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"peer.list\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"stack.get\"}\n",
    )
    .unwrap();
    assert_eq!(engine.answer(Ok(Reply::Done {})), Command::Peers);
    assert_eq!(engine.answer(Ok(Reply::Done {})), Command::Stack);
    engine.publish([new_message(1, Some(MessageState::Queued))]);
    assert_eq!(engine.answer(Ok(Reply::Done {})), Command::Rooms);
    engine.publish([status(1, MessageState::Stored)]);
    wait_end(&ended).unwrap();
    drop(input);
}
