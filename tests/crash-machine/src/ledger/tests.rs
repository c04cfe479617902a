//! The checker is checked: a life without fault breaks nothing, and for every rule there are lies that break it.

use serde_json::{Value, json};

use super::{Depth, Key, Ledger, ROOM, Rule, To};
use crate::Who;
use crate::line::{Params, Row};

const A: Who = 0;
const B: Who = 1;
const PEERS: [&str; 3] = ["pa", "pb", "pc"];

/// Three people; `a` has said three messages to `b`, which were answered with the ids 0, 1 and 2.
struct Tale(Ledger);

impl Tale {
    fn new() -> Self {
        let mut ledger = Ledger::new(3);
        PEERS.iter().enumerate().for_each(|(who, peer)| ledger.is_peer(who, peer));
        for number in 0..3 {
            let key = ledger.say(A, To::Person(B), 20);
            ledger.committed(key, &number.to_string());
        }
        Self(ledger)
    }

    fn status(&mut self, number: u32, state: &str) {
        self.0.status(A, &params(json!({ "id": number.to_string(), "state": state })));
    }

    fn delivered(&mut self, number: u32) {
        ["queued", "sent", "stored", "delivered"].iter().for_each(|state| self.status(number, state));
    }

    fn text(&self, number: u32) -> String {
        self.0.text(Key { author: A, number }).1
    }

    /// `b` is told of a message of `a`.
    fn told(&mut self, number: u32) {
        let text = self.text(number);
        self.told_as(number, "pa", "pa", &text);
    }

    fn told_as(&mut self, id: u32, from: &str, conversation: &str, text: &str) {
        let from = json!({ "peer_id": from });
        let told = json!({ "id": id.to_string(), "from": from, "conversation": conversation, "text": text });
        self.0.told(B, &params(told));
    }

    /// All of a history: these messages of `a`, delivered as far as their author is concerned.
    fn history(&mut self, reader: Who, numbers: &[u32], depth: Depth) {
        let rows: Vec<Value> = numbers.iter().map(|number| self.row(*number)).collect();
        self.history_of(reader, rows, depth);
    }

    fn row(&self, number: u32) -> Value {
        json!({
            "id": number.to_string(), "from": { "peer_id": "pa" }, "text": self.text(number),
            "delivery": { "state": "delivered" }, "gap_before": false
        })
    }

    fn history_of(&mut self, reader: Who, rows: Vec<Value>, depth: Depth) {
        let rows: Vec<Row> = serde_json::from_value(rows.into()).unwrap();
        let view = To::Person(if reader == A { B } else { A });
        let mut look = self.0.look(reader, view, depth);
        self.0.page(&mut look, &rows);
        self.0.looked(look);
    }

    fn rules(&self) -> Vec<Rule> {
        self.0.violations().iter().map(|violation| violation.rule).collect()
    }
}

fn params(value: Value) -> Params {
    serde_json::from_value(value).unwrap()
}

/// Asserts that the last step breaks this rule first, and nothing before it breaks any.
fn breaks(rule: Rule, before: impl Fn(&mut Tale), lie: impl Fn(&mut Tale)) {
    let mut tale = Tale::new();
    before(&mut tale);
    assert_eq!(tale.rules(), [], "before it: {:?}", tale.0.violations());
    lie(&mut tale);
    assert_eq!(tale.rules().first(), Some(&rule), "{:?}", tale.0.violations());
    assert!(tale.0.tally.broken > 0);
    assert_eq!(
        (tale.0.tally.lost > 0, tale.0.tally.doubled > 0),
        (rule == Rule::Lost, rule == Rule::Doubled)
    );
}

fn nothing(_: &mut Tale) {}

fn all_delivered(tale: &mut Tale) {
    (0..3).for_each(|number| tale.delivered(number));
}

#[test]
fn a_life_without_fault_breaks_nothing() {
    let mut tale = Tale::new();
    all_delivered(&mut tale);
    (0..3).for_each(|number| tale.told(number));
    for depth in [Depth::Due, Depth::Stored, Depth::Whole] {
        tale.history(A, &[0, 1, 2], depth);
        tale.history(B, &[0, 1, 2], depth);
    }
    tale.0.ended(A);
    tale.history(A, &[0, 1, 2], Depth::Whole);
    tale.0.close();
    assert_eq!(tale.0.violations(), []);
    assert_eq!((tale.0.tally.delivered, tale.0.tally.told, tale.0.open()), (3, 3, 0));
}

#[test]
fn what_was_delivered_or_committed_and_is_not_there_is_lost() {
    breaks(Rule::Lost, all_delivered, |tale| tale.history(B, &[0, 2], Depth::Due));
    breaks(Rule::Lost, all_delivered, |tale| tale.history(B, &[], Depth::Due));
    breaks(Rule::Lost, nothing, |tale| tale.history(A, &[0, 1], Depth::Due));
    breaks(Rule::Lost, nothing, |tale| tale.history(B, &[0, 2], Depth::Whole));
}

#[test]
fn what_is_there_or_told_twice_or_has_two_ids_is_doubled() {
    breaks(Rule::Doubled, |tale| tale.told(0), |tale| tale.told(0));
    breaks(Rule::Doubled, all_delivered, |tale| tale.history(B, &[0, 1, 1, 2], Depth::Due));
    breaks(Rule::Doubled, nothing, |tale| tale.0.committed(Key { author: A, number: 1 }, "77"));
    let again = |tale: &mut Tale| tale.told_as(77, "pa", "pa", &tale.text(1));
    breaks(Rule::Doubled, nothing, again);
}

#[test]
fn another_order_is_seen() {
    breaks(Rule::Order, |tale| tale.told(1), |tale| tale.told(0));
    breaks(Rule::Order, all_delivered, |tale| tale.history(B, &[1, 0, 2], Depth::Whole));
    breaks(Rule::Order, all_delivered, |tale| tale.history(A, &[1, 0, 2], Depth::Whole));
}

#[test]
fn states_that_go_back_are_seen_in_a_run_and_over_a_restart() {
    breaks(Rule::Backwards, |tale| tale.delivered(0), |tale| tale.status(0, "sent"));
    let restarted = |tale: &mut Tale| {
        all_delivered(tale);
        tale.0.ended(A);
    };
    breaks(Rule::Backwards, restarted, |tale| tale.status(1, "stored"));
    let less = |tale: &mut Tale| {
        let mut row = tale.row(1);
        row["delivery"]["state"] = "stored".into();
        tale.history_of(A, vec![tale.row(0), row, tale.row(2)], Depth::Due);
    };
    breaks(Rule::Backwards, restarted, less);
    let counted = |tale: &mut Tale, delivered: u32| {
        let counts = json!({ "stored": 2, "delivered": delivered, "read": 0, "of": 2 });
        tale.0.status(A, &params(json!({ "id": "0", "state": "stored", "counts": counts })));
    };
    breaks(Rule::Backwards, |tale| counted(tale, 1), |tale| counted(tale, 0));
}

#[test]
fn what_nobody_said_or_not_like_this_is_forged() {
    breaks(Rule::Forged, nothing, |tale| tale.told_as(9, "pa", "pa", "buy this"));
    breaks(Rule::Forged, nothing, |tale| tale.told_as(9, "pa", "pa", "a7|"));
    breaks(Rule::Forged, nothing, |tale| tale.told_as(0, "pc", "pa", &tale.text(0)));
    breaks(Rule::Forged, nothing, |tale| tale.told_as(0, "pa", ROOM, &tale.text(0)));
    breaks(Rule::Forged, nothing, |tale| tale.told_as(0, "pa", "pa", &format!("{}!", tale.text(0))));
    breaks(Rule::Forged, nothing, |tale| tale.0.is_peer(A, "another"));
    breaks(Rule::Forged, |tale| tale.status(99, "queued"), |tale| tale.0.close());
}

#[test]
fn what_was_refused_and_is_said_all_the_same_is_seen_but_after_a_failed_sync() {
    let refused = |tale: &mut Tale| {
        let key = tale.0.say(A, To::Person(B), 20);
        tale.0.refused(key);
    };
    let arrives = |tale: &mut Tale| tale.told(3);
    breaks(Rule::Refused, refused, arrives);
    breaks(Rule::Refused, nothing, |tale| tale.0.refused(Key { author: A, number: 0 }));
    let mut tale = Tale::new();
    tale.0.syncs_fail = true;
    refused(&mut tale);
    arrives(&mut tale);
    assert_eq!(tale.0.violations(), []);
}

#[test]
fn giving_up_gaps_and_alarms_are_seen() {
    breaks(Rule::Failed, nothing, |tale| tale.status(0, "failed"));
    let gap = |tale: &mut Tale| {
        let mut row = tale.row(1);
        row["gap_before"] = true.into();
        tale.history_of(B, vec![tale.row(0), row, tale.row(2)], Depth::Whole);
    };
    breaks(Rule::Gap, all_delivered, gap);
    let tampered = |tale: &mut Tale| tale.0.alarm(B, &params(json!({ "kind": "tampered" })));
    breaks(Rule::Alarm, nothing, tampered);
    breaks(Rule::Ended, nothing, |tale| tale.0.status(A, &params(json!({ "id": "no number" }))));
}
