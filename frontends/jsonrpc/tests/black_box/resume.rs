//! `ready` first, and picking up where one was.

use frontend_jsonrpc::Connection;
use serde_json::{Value, json};

use crate::samples::{EPOCH, link_down, ready};
use crate::support::{Engine, Session};

fn events(session: &mut Session, count: usize) -> Vec<Value> {
    (0..count).map(|_| session.expect()["params"]["event"].take()).collect()
}

fn id(n: u64) -> String {
    format!("{EPOCH:08x}:{n}")
}

#[test]
fn ready_is_the_first_notification_also_if_it_was_published_before() {
    let (client, mut engine) = Engine::new();
    engine.publish([ready(), link_down(1)]);
    let mut session = Session::of(Connection::owner(client), engine);
    let first = session.expect();
    assert_eq!((&first["method"], &first["params"]["nick"]), (&json!("ready"), &json!("alice")));
    assert_eq!(events(&mut session, 1), [id(2)]);
}

#[test]
fn hello_since_an_event_tells_again_what_came_after_it() {
    let mut session = Session::owner();
    session.engine.publish([ready(), link_down(2), link_down(3), link_down(4)]);
    assert_eq!(events(&mut session, 4), [id(1), id(2), id(3), id(4)]);
    session.ask(1, "system.hello", json!({ "since": id(2) }));
    let hello = session.result(1);
    assert_eq!((&hello["resync"], &hello["event"]), (&json!(false), &json!(id(4))));
    assert_eq!(events(&mut session, 2), [id(3), id(4)]);
    session.engine.publish([link_down(5)]);
    assert_eq!(events(&mut session, 1), [id(5)]);
}

#[test]
fn what_is_not_known_any_more_is_a_resync() {
    let mut session = Session::owner();
    session.engine.publish([ready()]);
    assert_eq!(events(&mut session, 1), [id(1)]);
    for since in ["00000001:1".to_owned(), id(2), id(u64::MAX)] {
        session.ask(1, "system.hello", json!({ "since": since }));
        assert_eq!(session.result(1)["resync"], true, "{since}");
    }
    session.engine.publish([link_down(2)]);
    assert_eq!(events(&mut session, 1), [id(2)]);
    session.ask(1, "system.hello", json!({ "since": "yesterday" }));
    assert!(session.error(1, -32602, "bad_params").starts_with("since: "));
}

#[test]
fn a_guest_is_told_from_now_on_or_from_where_it_was() {
    let (client, mut engine) = Engine::new();
    engine.publish([ready(), link_down(2)]);
    let mut session = Session::of(Connection::guest(client), engine);
    session.ask(1, "system.hello", json!({}));
    session.result(1);
    session.engine.publish([link_down(3)]);
    assert_eq!(events(&mut session, 1), [id(3)]);
    session.ask(2, "system.hello", json!({ "since": id(0) }));
    session.result(2);
    assert_eq!(events(&mut session, 3), [id(1), id(2), id(3)]);
}
