//! Lines that are wrong in every way there is. Each gets its error, and the next good line works.

use chat_core::api::{Command, Reply};
use frontend_jsonrpc::MAX_LINE_BYTES;
use serde_json::{Value, json};

use crate::support::Session;

const PARSE: (i64, &str) = (-32700, "parse");
const INVALID: (i64, &str) = (-32600, "invalid_request");
const UNKNOWN: (i64, &str) = (-32601, "unknown_command");
const PARAMS: (i64, &str) = (-32602, "bad_params");

/// The line, the error, and a piece of its message. Those with `"id":7` are answered under it.
const LINES: &[(&[u8], (i64, &str), &str)] = &[
    // No JSON.
    (b"", PARSE, "empty"),
    (b"\r", PARSE, "empty"),
    (b" \t ", PARSE, "empty"),
    (b"hello", PARSE, "expected value"),
    (b"/msg bob hi", PARSE, "expected value"),
    (b"{", PARSE, "EOF"),
    (b"}", PARSE, "expected value"),
    (b"[", PARSE, "EOF"),
    (b"\"", PARSE, "EOF"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peer.list\"", PARSE, "EOF"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peer.list\"}}", PARSE, "trailing"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peer.list\"} {}", PARSE, "trailing"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peer.list\",}", PARSE, "trailing comma"),
    (b"{jsonrpc:\"2.0\"}", PARSE, "key must be a string"),
    (b"{'jsonrpc':'2.0'}", PARSE, "key must be a string"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":07,\"method\":\"peer.list\"}", PARSE, "invalid number"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\tb\"}", PARSE, "control character"),
    (b"{\"\\ud800\":1}", PARSE, "hex escape"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peer.\xff\"}", PARSE, "UTF-8"),
    (b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\"}", PARSE, "expected value"),
    (b"\x00\x00\x00\x00", PARSE, "expected value"),
    (b"\x16\x03\x01\x02\x00\x01\x00", PARSE, "expected value"),
    (b"GET / HTTP/1.1\r", PARSE, "expected value"),
    (b"NaN", PARSE, "expected value"),
    // JSON, but no request.
    (b"5", INVALID, "object"),
    (b"null", INVALID, "object"),
    (b"\"peer.list\"", INVALID, "object"),
    (b"1e999", INVALID, "object"),
    (b"[]", INVALID, "empty"),
    (b"{}", INVALID, "`jsonrpc`"),
    (b"{\"id\":7,\"method\":\"peer.list\"}", INVALID, "`jsonrpc`"),
    (b"{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"peer.list\"}", INVALID, "`jsonrpc`"),
    (b"{\"jsonrpc\":2.0,\"id\":7,\"method\":\"peer.list\"}", INVALID, "`jsonrpc`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7}", INVALID, "`method`"),
    (b"{\"jsonrpc\":\"2.0\",\"method\":1,\"params\":\"bar\"}", INVALID, "`method`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"\\ud800\"}", INVALID, "`method`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"peer.list\"}", INVALID, "`id`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"peer.list\"}", INVALID, "`id`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"peer.list\"}", INVALID, "`id`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":\"\\ud800\",\"method\":\"peer.list\"}", INVALID, "`id`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"peer.list\"}", INVALID, "`id` is given twice"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\",\"method\":\"b\"}", INVALID, "`method` is given twice"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peer.list\",\"params\":5}", INVALID, "`params`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peer.list\",\"params\":\"x\"}", INVALID, "`params`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", INVALID, "`method`"),
    // Requests for something that is not there.
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.sned\"}", UNKNOWN, "did you mean `msg.send`?"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"system.helo\"}", UNKNOWN, "did you mean `system.hello`?"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"\"}", UNKNOWN, "`system.schema` lists them"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"MSG.SEND\"}", UNKNOWN, "there is no method"),
    // Parameters that don't fit.
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.send\"}", PARAMS, "missing field `to`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.send\",\"params\":{\"to\":\"b\"}}", PARAMS, "missing field `text`"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.send\",\"params\":{\"to\":\"b\",\"text\":5}}", PARAMS, "text: "),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.send\",\"params\":{\"to\":\"\",\"text\":\"\"}}", PARAMS, "to: "),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.send\",\"params\":[\"b\",\"hi\"]}", PARAMS, "by name"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.send\",\"params\":{\"to\":\"a\",\"to\":\"b\",\"text\":\"\"}}", PARAMS, "`to` is given twice"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.send\",\"params\":{\"to\":\"a\",\"text\":\"\\ud800\"}}", PARAMS, "hex escape"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.history\",\"params\":{\"with\":\"a\",\"limit\":1e999}}", PARAMS, "out of range"),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.history\",\"params\":{\"with\":\"a\",\"limit\":-1}}", PARAMS, "limit: "),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.history\",\"params\":{\"with\":\"a\",\"limit\":18446744073709551616}}", PARAMS, "limit: "),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"msg.retry\",\"params\":{\"id\":\"xyz\"}}", PARAMS, "id: "),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"room.join\",\"params\":{\"room\":\"lobby\"}}", PARAMS, "room: "),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"system.hello\",\"params\":{\"since\":\"x\"}}", PARAMS, "since: "),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"command.run\",\"params\":{}}", PARAMS, "missing field `line`"),
];

fn works(session: &mut Session) {
    session.ask("good", "system.hello", Value::Null);
    session.result("good");
}

/// The id under which a line is answered: what could be read of it.
fn id_of(line: &[u8]) -> Value {
    let line: Value = serde_json::from_slice(line).unwrap_or_default();
    if line["id"] == 7 { json!(7) } else { Value::Null }
}

#[test]
fn each_bad_line_gets_its_error_and_the_next_good_line_works() {
    assert!(LINES.len() >= 40);
    let mut session = Session::owner();
    for (line, (code, kind), fragment) in LINES {
        let shown = String::from_utf8_lossy(line);
        session.send_bytes(&[line, &b"\n"[..]].concat());
        let answer = session.expect();
        let error = &answer["error"];
        assert_eq!(
            (&error["code"], &error["data"]["kind"]),
            (&json!(code), &json!(kind)),
            "{shown}: {answer}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(fragment), "{shown}: {message}");
        // A lone surrogate or a number out of range is no JSON for the test's own parser: the id is 7 all the same.
        let id = if *kind == "bad_params" { json!(7) } else { id_of(line) };
        if !shown.contains("ud800") || *kind == "bad_params" {
            assert_eq!(answer["id"], id, "{shown}");
        }
        works(&mut session);
    }
}

#[test]
fn a_batch_of_nothing_but_wrong_members_is_answered_member_by_member() {
    let mut session = Session::owner();
    session.send("[1,{},[],null]");
    let answer = session.expect();
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), 4);
    assert!(answers.iter().all(|it| it["id"].is_null() && it["error"]["code"] == -32600), "{answer}");
    session.send("[1,2");
    session.error(Value::Null, -32700, "parse");
    session.send(&format!("[{}0]", "0,".repeat(256)));
    assert!(session.error(Value::Null, -32600, "invalid_request").contains("at most 256"));
    works(&mut session);
}

#[test]
fn what_is_too_much_is_refused_by_name() {
    let mut session = Session::owner();
    session.send(&"x".repeat(MAX_LINE_BYTES + 1));
    session.error(Value::Null, -32600, "line_too_long");
    works(&mut session);

    // Just what may be, though it takes six times as many bytes on the line.
    let most = "x".repeat(1 << 20);
    let line = r#"{"jsonrpc":"2.0","id":0,"method":"msg.send","params":{"to":"bob","text":"TEXT"}}"#;
    session.send(&line.replace("TEXT", &"\\u0078".repeat(1 << 20)));
    let Command::Send(sent) = session.engine.answer(Ok(Reply::Done {})) else { panic!("not sent") };
    assert!(sent.text == most);
    session.result(0);

    let text = "x".repeat((1 << 20) + 1);
    session.ask(1, "msg.send", json!({ "to": "bob", "text": text }));
    assert!(session.error(1, -32003, "too_large").starts_with("text: "));
    session.ask(2, "command.run", json!({ "line": text }));
    session.error(2, -32003, "too_large");
    session.ask(3, "msg.send", json!({ "to": "bob", "text": "x", "client_id": "y".repeat(129) }));
    session.error(3, -32003, "too_large");

    // What is wrong is not sent back in full length.
    session.ask(4, "msg.history", json!({ "with": "bob", "limit": text }));
    assert!(session.error(4, -32602, "bad_params").len() < 1000);
    session.ask(5, &text, Value::Null);
    assert!(session.error(5, -32601, "unknown_command").len() < 1000);
    session.ask(text, "system.hello", Value::Null);
    session.error(Value::Null, -32600, "invalid_request");
    works(&mut session);
}

#[test]
fn small_json_that_would_grow_large_is_refused() {
    let mut session = Session::owner();
    let bomb = format!("[{}{{}}]", "{\"\":{}},".repeat(900_000));
    session.send(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"peer.list","params":{{"x":{bomb}}}}}"#));
    assert!(session.error(1, -32602, "bad_params").contains("more than 10000 values"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    session.send(&format!(r#"{{"jsonrpc":"2.0","id":2,"method":"peer.list","params":{{"x":{deep}}}}}"#));
    assert!(session.error(2, -32602, "bad_params").contains("recursion limit"));
    session.send(&deep);
    assert_eq!(session.expect()[0]["error"]["code"], -32600);
    works(&mut session);
}

#[test]
fn an_end_in_the_middle_of_anything_is_an_end() {
    for rest in [&b"{\"jsonrpc\":"[..], b"\xff", b"\"\\u"] {
        let mut session = Session::owner();
        session.send_bytes(rest);
        session.end_input();
        session.pass_barrier();
        let lines = session.ended();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["error"]["code"], -32700);
    }
}
