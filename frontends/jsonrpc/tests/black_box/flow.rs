//! Many at once, and a reader that does not read.

use std::collections::BTreeMap;
use std::io::Write;

use chat_core::api::handle::KEPT_EVENTS;
use chat_core::api::{Command, Reply};
use frontend_jsonrpc::Connection;
use serde_json::{Value, json};

use crate::samples::{link_down, message_id};
use crate::support::{Engine, Session, lines, next_line, start, wait_end};

fn request(id: usize) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"msg.send\",\"params\":{{\"to\":\"bob\",\"text\":\"{id}\"}}}}\n"
    )
}

#[test]
fn hundreds_of_requests_are_begun_in_order_without_waiting_for_answers() {
    let mut session = Session::owner();
    let requests: String = (0..400).map(request).collect();
    session.send_bytes(requests.as_bytes());
    let mut begun = vec![];
    // As many as may be in flight, none of them answered yet.
    while begun.len() < 256 {
        begun.push(session.engine.request());
    }
    assert!(!session.engine.has_request());
    let mut texts = vec![];
    for n in 0..400 {
        if begun.is_empty() {
            begun.push(session.engine.request());
        }
        // The newest first: the order of answers is free.
        let request = begun.pop().unwrap();
        let Command::Send(send) = request.command else { panic!("{:?}", request.command) };
        texts.push(send.text.parse::<usize>().unwrap());
        request.reply.send(Ok(Reply::Sent { id: message_id(n as u8) })).unwrap();
    }
    let mut expected: Vec<usize> = (0..256).rev().collect();
    expected.extend(256..400);
    // The first 256 were handed out in order; those behind them came one by one, in order too.
    assert_eq!(texts, expected);
    let answers: BTreeMap<u64, Value> = (0..400)
        .map(|_| session.expect())
        .map(|answer| (answer["id"].as_u64().unwrap(), answer["result"]["id"].clone()))
        .collect();
    assert_eq!(answers.len(), 400);
    for (n, text) in texts.into_iter().enumerate() {
        assert_eq!(answers[&(text as u64)], json!(message_id(n as u8)), "request {text}");
    }
}

#[test]
fn commands_that_weigh_much_wait_for_each_other_but_all_are_answered() {
    let mut session = Session::owner();
    let history = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "msg.history", "params": { "with": "bob", "limit": 1000 } });
    for id in 0..5 {
        session.send(&history(id).to_string());
    }
    for id in 0..5 {
        let request = session.engine.request();
        assert!(!session.engine.has_request());
        request.reply.send(Ok(Reply::History { messages: vec![], has_older: false })).unwrap();
        session.result(id);
    }
}

/// Follows notifications from `last`; gives the number after this line, and how many it says were dropped.
fn follow(line: &Value, last: u64) -> (u64, u64) {
    let event = line["params"]["event"].as_str().unwrap();
    let n: u64 = event.split_once(':').unwrap().1.parse().unwrap();
    let dropped = if line["method"] == "lag" { line["params"]["dropped"].as_u64().unwrap() } else { 0 };
    let expected = if dropped > 0 { last + dropped } else { last + 1 };
    assert_eq!(n, expected, "after {last}: {line}");
    (n, dropped)
}

#[test]
fn a_reader_that_stops_gets_lag_and_every_answer_and_blocks_nobody() {
    let (client, mut engine) = Engine::new();
    let (mut input, output, ended) = start(Connection::owner(client));
    // Nobody reads: neither publishing nor asking blocks.
    let bursts = 4 * KEPT_EVENTS / 1000;
    for n in 0..bursts {
        engine.publish((0..1000).map(|_| link_down("x".repeat(2000))));
        writeln!(input, r#"{{"jsonrpc":"2.0","id":{n},"method":"system.hello"}}"#).unwrap();
    }
    engine.publish([link_down("last")]);
    let output = lines(output);
    let (mut last, mut dropped, mut answered) = (0, 0, 0);
    while last <= bursts as u64 * 1000 || answered < bursts {
        let line = next_line(&output).unwrap();
        if line.get("id").is_some() {
            answered += 1;
            continue;
        }
        let (n, more) = follow(&line, last);
        last = n;
        dropped += more;
    }
    assert!(dropped > 0);
    drop(input);
    engine.answer(Ok(Reply::Done {}));
    wait_end(&ended).unwrap();
}

#[test]
fn a_reader_that_is_slow_from_before_the_start_is_told_what_it_missed() {
    let (client, mut engine) = Engine::new();
    engine.publish((0..KEPT_EVENTS + 10).map(link_down));
    let mut session = Session::of(Connection::owner(client), engine);
    let lag = session.expect();
    assert_eq!((&lag["method"], follow(&lag, 0)), (&json!("lag"), (10, 10)));
    assert_eq!(follow(&session.expect(), 10), (11, 0));
}
