//! The schema: checked in as it is made, and kept by what is really said.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chat_core::api::command::Verification;
use chat_core::api::event::notification_schemas;
use chat_core::api::handle::KEPT_EVENTS;
use chat_core::api::table::COMMANDS;
use chat_core::api::{Command, LinkState, MessageState, Reply};
use chat_core::transport::LinkFigures;
use frontend_jsonrpc::{Connection, schema};
use serde_json::{Value, json};

use crate::checker::check;
use crate::samples::{self, link_down, message_id};
use crate::support::{Engine, Session};

/// `CHAT_UPDATE_SCHEMA=1 cargo test -p frontend-jsonrpc schema` writes the file anew.
#[test]
fn the_schema_checked_in_is_the_one_that_is_made() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.json");
    let made = schema::document();
    if std::env::var_os("CHAT_UPDATE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(kept == made, "schema.json is out of date: CHAT_UPDATE_SCHEMA=1 writes it anew");
}

#[test]
fn the_schema_has_every_method_and_notification_and_no_loose_ends() {
    let document = schema::document();
    for spec in COMMANDS {
        assert!(document["methods"][spec.method]["params"].is_object(), "{}", spec.method);
    }
    for (method, _) in notification_schemas() {
        let required = document["notifications"][method]["required"].as_array().unwrap();
        assert!(required.contains(&json!("event")), "{method}");
    }
    let text = document.to_string();
    let mut references = 0;
    for piece in text.split("\"$ref\":\"").skip(1) {
        let target = piece.split('"').next().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(target).is_some(), "{target}");
        references += 1;
    }
    assert!(references > 20);
}

fn reply(command: &Command) -> Reply {
    match command {
        Command::Send(_) => Reply::Sent { id: message_id(1) },
        Command::History(_) => Reply::History {
            messages: vec![
                samples::message(1, "a", None),
                samples::message(2, "b", Some(MessageState::Failed)),
            ],
            has_older: true,
        },
        Command::Search(_) => Reply::Found { messages: vec![samples::message(1, "a", None)], has_more: true },
        Command::Verify(_) => Reply::Verification(Verification {
            peer_id: samples::BOB,
            nick: "bob".into(),
            verified: false,
            safety_number: "12345".repeat(12),
            qr: "01".repeat(65),
        }),
        Command::AcceptKey(_) => Reply::Decided { said: "bob is another key now".into() },
        Command::Peers => Reply::Peers { peers: vec![Arc::new(samples::bob())] },
        Command::Rooms => {
            Reply::Rooms { rooms: vec![Arc::new(samples::lobby(vec![])), Arc::new(samples::den())] }
        }
        Command::Create(_) => {
            Reply::Created { room: "#den".parse().unwrap(), conversation_id: samples::LOBBY }
        }
        Command::Members(_) => Reply::Members { members: vec![Arc::new(samples::bob())] },
        Command::Stack => Reply::Stack {
            stack: Arc::new(samples::stack()),
            link: LinkFigures::default(),
            state: LinkState::Up,
        },
        Command::Config => Reply::Config { toml: "schema_version = 1".into() },
        _ => Reply::Done {},
    }
}

/// Parameters that satisfy every method, each of which takes what it knows.
fn params() -> Value {
    json!({ "to": "bob", "text": "hi", "with": "#lobby", "room": "#lobby", "id": message_id(3), "line": "/help",
            "peer": "bob", "query": "hi", "typing": true })
}

fn only(params: &Value, schema: &Value) -> Value {
    let known = schema.get("properties").and_then(Value::as_object);
    let fields =
        params.as_object().unwrap().iter().filter(|(name, _)| known.is_some_and(|it| it.contains_key(*name)));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[test]
fn every_answer_keeps_to_the_schema() {
    let document = schema::document();
    let resolve = |schema: &Value| match schema.get("$ref").and_then(Value::as_str) {
        Some(target) => document.pointer(target.trim_start_matches('#')).unwrap().clone(),
        None => schema.clone(),
    };
    let mut session = Session::owner();
    let methods = document["methods"].as_object().unwrap();
    assert!(methods.len() >= COMMANDS.len() + 4);
    for (method, shape) in methods.iter().filter(|(method, _)| *method != "system.shutdown") {
        let params = only(&params(), &resolve(&shape["params"]));
        check(&document, &shape["params"], &params).unwrap_or_else(|e| panic!("{method} params: {e}"));
        session.ask(1, method, params);
        if COMMANDS.iter().any(|spec| spec.method == method) {
            let request = session.engine.request();
            let reply = reply(&request.command);
            request.reply.send(Ok(reply)).unwrap();
        }
        let result = session.result(1);
        check(&document, &shape["result"], &result)
            .unwrap_or_else(|e| panic!("{method} result: {e}\n{result}"));
    }
    for bad in ["{", "[]", r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#] {
        session.send(bad);
        let answer = session.expect();
        check(&document, &document["error"], &answer["error"]).unwrap();
    }
}

#[test]
fn every_notification_keeps_to_the_schema() {
    let document = schema::document();
    let (client, mut engine) = Engine::new();
    engine.publish((0..KEPT_EVENTS).map(link_down));
    engine.publish(samples::events());
    let mut session = Session::of(Connection::owner(client), engine);
    let last = KEPT_EVENTS + samples::events().len();
    let mut seen = BTreeSet::new();
    loop {
        let line = session.expect();
        let method = line["method"].as_str().unwrap().to_owned();
        let shape = &document["notifications"][&method];
        check(&document, shape, &line["params"]).unwrap_or_else(|e| panic!("{method}: {e}\n{line}"));
        seen.insert(method);
        if line["params"]["event"] == json!(samples::event_id(last as u64)) {
            break;
        }
    }
    let all: BTreeSet<String> = document["notifications"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(seen, all, "samples::events has one of each kind");
}
