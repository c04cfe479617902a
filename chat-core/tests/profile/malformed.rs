//! Every way a profile can be wrong, what is said about it, and where it points.

use crate::stack::{GOOD, load};

/// A change to [`GOOD`], and the error it must cause.
struct Case {
    /// A line of the good profile and what stands in its place; or what is put behind the end.
    change: Change,
    /// Line and column that the first error must have.
    at: (usize, usize),
    /// Pieces that must be in what is shown.
    says: &'static [&'static str],
}

enum Change {
    Line(&'static str, &'static str),
    Append(&'static str),
    Whole(&'static str),
}
use Change::{Append, Line, Whole};

const fn case(change: Change, at: (usize, usize), says: &'static [&'static str]) -> Case {
    Case { change, at, says }
}

const CASES: &[Case] = &[
    // Syntax.
    case(Whole("schema_version = \n"), (1, 18), &["a value is missing"]),
    case(Line("nick = \"alice\"", "nick = \"alice"), (3, 14), &["basic string"]),
    case(Line("nick = \"alice\"", "nick = alice"), (3, 8), &["quotes", "^^^^^"]),
    case(Line("[identity]", "[identity"), (2, 10), &["unclosed table", "[identity"]),
    case(Line("nick = \"alice\"", "nick \"alice\""), (3, 6), &["key with no value, expected `=`"]),
    case(Append("[relay]\nmax_clients = 0x\n"), (18, 15), &["max_clients = 0x"]),
    case(Line("rto_ms = 200", "rto_ms = 99999999999999999999999999999999999999999"), (8, 10), &["too large"]),
    case(Line("rto_ms = 200", "rto_ms = 1e999"), (8, 10), &["too large"]),
    case(Append("[x]\nd = 2026-13-01\n"), (18, 5), &["month"]),
    case(Line("nick = \"alice\"", "nick = \"a\\qb\""), (3, 11), &["escape"]),
    // Twice.
    case(
        Line("nick = \"alice\"", "nick = \"alice\"\nnick = \"bob\""),
        (4, 1),
        &["`nick` is defined twice", "^^^^"],
    ),
    case(Append("[cipher]\nkind = \"x\"\n"), (17, 2), &["`cipher` is defined twice"]),
    case(
        Line("require = [\"end-to-end\"]", "require = [\"end-to-end\"]\nrequire = []\nrequires = 1"),
        (17, 1),
        &["defined twice", "unknown key `requires`"],
    ),
    // Version.
    case(Line("schema_version = 1", ""), (1, 1), &["`schema_version` is missing", "schema_version = 1"]),
    case(Line("schema_version = 1", "schema_version = 2"), (1, 18), &["schema_version 2", "accepted: 1"]),
    case(
        Line("schema_version = 1", "schema_version = \"1\""),
        (1, 18),
        &["expected the integer 1, found a string"],
    ),
    // Unknown.
    case(Append("[topologie]\n"), (17, 2), &["unknown table `topologie`", "did you mean `topology`?"]),
    case(
        Line("schema_version = 1", "schema_version = 1\nnick = \"x\""),
        (2, 1),
        &["unknown key `nick`", "stands in [identity]"],
    ),
    case(
        Line("relay = \"127.0.0.1:12345\"", "relais = \"127.0.0.1:12345\""),
        (4, 1),
        &[
            "`relay` is missing in [topology]",
            "5:1",
            "unknown key `relais` in [topology]",
            "accepted: kind, relay, host, rooms",
            "did you mean `relay`?",
        ],
    ),
    case(
        Line("nick = \"alice\"", "relay = \"x:1\""),
        (3, 1),
        &["unknown key `relay` in [identity]", "stands in [topology]"],
    ),
    case(Append("[log]\nlevell = \"info\"\n"), (18, 1), &["did you mean `level`?"]),
    // Missing.
    case(
        Line("[frontend]\nkind = \"tui\"\n", ""),
        (15, 1),
        &["the table [frontend] is missing", "[frontend]"],
    ),
    case(
        Line("[topology]\nrelay = \"127.0.0.1:12345\"\n", ""),
        (15, 1),
        &["`relay` is missing in [topology]"],
    ),
    case(
        Line("[cipher]\nkind = \"aes-256-gcm\"", "[cipher]"),
        (11, 1),
        &["`kind` is missing in [cipher]", "^^^^^^^^"],
    ),
    // Wrong type.
    case(Line("nick = \"alice\"", "nick = 42"), (3, 8), &["expected a string, found an integer", "^^"]),
    case(Line("nick = \"alice\"", "nick = { a = 1 }"), (3, 8), &["expected a string, found a table"]),
    case(
        Line("[identity]\nnick = \"alice\"", "identity = \"alice\""),
        (2, 12),
        &["expected a table, found a string", "nick, key_file"],
    ),
    case(
        Line("[frontend]\nkind = \"tui\"", "[frontend]\nkind = 7"),
        (14, 8),
        &["expected a string, found an integer", "accepted: jsonrpc, tui"],
    ),
    case(
        Line("[frontend]\nkind = \"tui\"", "[frontend]"),
        (13, 1),
        &["`kind` is missing", "accepted: jsonrpc, tui"],
    ),
    case(
        Line("[cipher]\nkind = \"aes-256-gcm\"", "[[cipher]]\nkind = \"aes-256-gcm\""),
        (11, 1),
        &["one table [cipher] is expected"],
    ),
    case(
        Line("[cipher]\nkind = \"aes-256-gcm\"", "[cipher]\nkind = [\"aes-256-gcm\"]"),
        (12, 8),
        &["expected a string, found an array"],
    ),
    case(
        Line("require = [\"end-to-end\"]", "require = \"end-to-end\""),
        (16, 11),
        &["expected an array, found a string", "as in"],
    ),
    case(
        Line("require = [\"end-to-end\"]", "require = [1]"),
        (16, 12),
        &["expected a string, found an integer"],
    ),
    // Values that can't be.
    case(Line("nick = \"alice\"", "nick = \"\""), (3, 8), &["must not be empty"]),
    case(Line("nick = \"alice\"", "nick = \"a b\""), (3, 8), &["may not contain ' '"]),
    case(Line("nick = \"alice\"", "nick = \"a\\u001b[2J\""), (3, 8), &["may not contain"]),
    case(Line("nick = \"alice\"", "key_file = \"\""), (3, 12), &["must not be empty"]),
    case(
        Line("[topology]", "[topology]\nhost = \"autoo\""),
        (5, 8),
        &["`autoo` is not accepted for `host`", "accepted: auto, never", "did you mean `auto`?"],
    ),
    case(Line("[topology]", "[topology]\nkind = \"relai\""), (5, 8), &["did you mean `relay`?"]),
    case(Line("[topology]", "[topology]\nrooms = [\"lobby\"]"), (5, 10), &["a room begins with `#`"]),
    case(
        Line("[topology]", "[topology]\nrooms = [\"#a\", \"#b\", \"#a\"]"),
        (5, 22),
        &["`#a` is in the list twice"],
    ),
    case(
        Line("\"127.0.0.1:12345\"", "\"127.0.0.1\""),
        (5, 9),
        &["not an address", "host:port", "^^^^^^^^^^^"],
    ),
    case(Line("\"127.0.0.1:12345\"", "\"127.0.0.1:99999\""), (5, 9), &["0 to 65535"]),
    case(Line("\"127.0.0.1:12345\"", "\"::1:12345\""), (5, 9), &["[brackets]"]),
    case(Line("\"127.0.0.1:12345\"", "\"abc@127.0.0.1:1\""), (5, 9), &["fingerprint of 64 hex digits"]),
    case(Line("rto_ms = 200", "address = 5"), (8, 11), &["expected a string, found an integer"]),
    case(Line("rto_ms = 200", "address = \"nowhere\""), (8, 11), &["`nowhere` is not an address"]),
    case(Append("[relay]\nmax_clients = 0\n"), (18, 15), &["0 is out of range: from 1 to 1000000"]),
    case(Append("[relay]\nmax_mailbox_bytes = 1\n"), (18, 21), &["out of range: from 2097152"]),
    case(Append("[relay]\nmax_memory_bytes = 1\n"), (18, 20), &["out of range: from 16777216"]),
    case(Append("[relay]\nmax_links_per_address = 0\n"), (18, 25), &["0 is out of range: from 1"]),
    case(Append("[relay]\nnew_peers_per_minute = 0\n"), (18, 24), &["0 is out of range: from 1"]),
    case(Append("[relay]\nnew_members_per_minute = 0\n"), (18, 26), &["0 is out of range: from 1"]),
    case(Append("[relay]\none_time_keys_per_minute = 0\n"), (18, 28), &["0 is out of range: from 1"]),
    case(
        Append("[relay]\nmax_one_time_keys = 10001\n"),
        (18, 21),
        &["10001 is out of range: from 1 to 10000"],
    ),
    case(Append("[relay]\nmax_clients = 1.5\n"), (18, 15), &["expected an integer, found a float"]),
    case(Append("[relay]\nmax_clients = -1\n"), (18, 15), &["-1 is out of range"]),
    case(Append("[relay]\nlisten = [\"127.0.0.1:1\"]\n"), (18, 11), &["the transport is missing", "tcp://"]),
    case(Append("[relay]\nlisten = [\"tcp://h:1\", \"tcp://h:1\"]\n"), (18, 24), &["twice"]),
    case(Append("[relay]\nlisten = [\"tcp://h\"]\n"), (18, 11), &["expected host:port"]),
    case(
        Append("[relay]\nlisten = [\"pigeon://h:1\"]\n"),
        (18, 11),
        &["there is no transport `pigeon`", "accepted: quic, tcp, tls, udp-arq"],
    ),
    case(
        Append("[relay]\nlisten = [\"memory://h:1\"]\n"),
        (18, 11),
        &["`memory` is known, but not built into this program"],
    ),
    case(Append("[relay]\nlisten = []\n"), (18, 10), &["at one address at least"]),
    case(
        Append("[log]\nlevel = \"loud\"\n"),
        (18, 9),
        &["`loud` is not accepted", "off, error, warn, info, debug, trace"],
    ),
    // Known, but not built in.
    case(
        Line("[topology]", "[topology]\nkind = \"direct\""),
        (5, 8),
        &["`direct` is known, but not built into this program yet", "accepted: relay"],
    ),
    case(
        Line("[topology]", "[topology]\npeers = []"),
        (5, 1),
        &["`peers` in [topology] is known, but not built into"],
    ),
    case(
        Append("[store]\npassphrase = { enf = \"hunter2\" }\n"),
        (18, 14),
        &["this says no passphrase", "{ env = \"VARIABLE\" }"],
    ),
    // Trust and privacy.
    case(Append("[padding]\nkind = \"bucket\"\n"), (18, 8), &["`bucket` is not accepted", "buckets"]),
    case(Append("[privacy]\ntyping = \"no\"\n"), (18, 10), &["expected true or false, found a string"]),
    case(Append("[privacy]\nreceipts = true\n"), (18, 1), &["unknown key `receipts`", "read_receipts"]),
    case(Append("[pin]\nnick = \"bob\"\n"), (17, 1), &["expected a list of tables", "write [[pin]]"]),
    case(Append("[[pin]]\nnick = \"bob\"\n"), (17, 1), &["`fingerprint` is missing in [[pin]]"]),
    case(
        Append("[[pin]]\nnick = \"bob\"\nfingerprint = \"abc\"\n"),
        (19, 15),
        &["64 hex digits, as `chat identity show` prints"],
    ),
    case(
        Append("[[pin]]\nnick = \"a b\"\nfingerprint = \"x\"\nkey = 1\n"),
        (18, 8),
        &["a name may not contain", "64 hex digits", "unknown key `key`"],
    ),
    case(Append("pin = 5\n"), (17, 1), &["unknown key `pin`"]),
    case(
        Append("[discovery]\n[files]\n[calls]\n"),
        (17, 2),
        &["[discovery] is known", "[files] is known", "[calls] is known"],
    ),
    case(Append("[relay]\naccess = \"accounts\"\n"), (18, 10), &["`accounts` is known, but not built into"]),
    case(Append("[[transport]]\n"), (17, 3), &["defined twice"]),
    // Plugins.
    case(
        Line("kind = \"udp-arq\"", "kind = \"udp-arg\""),
        (7, 8),
        &[
            "there is no transport `udp-arg`",
            "accepted: quic, tcp, tls, udp-arq",
            "did you mean `udp-arq`?",
            "^^^^^^^^^",
        ],
    ),
    case(
        Line("kind = \"udp-arq\"", "kind = \"memory\""),
        (7, 8),
        &["the transport `memory` is known, but not built into this program"],
    ),
    case(
        Line("kind = \"udp-arq\"", "kind = \"memry\""),
        (7, 8),
        &["`memory` is known, but not built into this program"],
    ),
    case(
        Line("kind = \"udp-arq\"", "kind = \"aes-256-gcm\""),
        (7, 8),
        &["`aes-256-gcm` is a cipher, not a transport", "[cipher]"],
    ),
    case(
        Line("rto_ms = 200", "rto = 200"),
        (8, 1),
        &[
            "unknown key `rto` for the transport `udp-arq`",
            "accepted: kind, address, rto_ms, congestion",
            "did you mean `rto_ms`?",
            "^^^",
        ],
    ),
    case(
        Line("rto_ms = 200", "rto_ms = \"200\""),
        (8, 10),
        &["expected an integer from 0 to 65535, found a string", "rto_ms = ***"],
    ),
    case(
        Line("rto_ms = 200", "rto_ms = 70000"),
        (8, 10),
        &["out of range: expected an integer from 0 to 65535"],
    ),
    case(Line("rto_ms = 200", "rto_ms = 0"), (8, 10), &["rto_ms: at least 1"]),
    case(
        Line("rto_ms = 200", "congestion = \"qubic\""),
        (8, 14),
        &["`qubic` is not accepted", "new-reno, cubic, fixed", "did you mean `cubic`?"],
    ),
    case(Line("rto_ms = 200", "congestion = { fixed = 0 }"), (8, 24), &["congestion.fixed: at least 1"]),
    case(
        Line("kind = \"aes-256-gcm\"", "kind = \"aes-256-gcm\"\nrounds = 3"),
        (13, 1),
        &["unknown key `rounds` for the cipher `aes-256-gcm`"],
    ),
    // Policy.
    case(
        Line("\"end-to-end\"", "\"end-to-end\", \"forward-secrecy\""),
        (16, 26),
        &[
            "requires `forward-secrecy`",
            "`rsa-hybrid` does not give it",
            "[key_exchange] kind = \"x25519-ratchet\"",
            "^^^^^^^^^^^^^^^^^",
        ],
    ),
    case(
        Line("\"end-to-end\"", "\"deniable\""),
        (16, 12),
        &["kind = \"x25519\" or kind = \"x25519-ratchet\""],
    ),
    case(
        Line("\"end-to-end\"", "\"post-quantum\""),
        (16, 12),
        &["kind = \"x25519-ratchet\", post_quantum = true"],
    ),
    case(
        Line("\"end-to-end\"", "\"sealed-at-rest\""),
        (16, 12),
        &["what gives it: [store] with a `passphrase`"],
    ),
    case(
        Line("\"end-to-end\"", "\"forward-secresy\""),
        (16, 12),
        &[
            "not accepted",
            "accepted: end-to-end, forward-secrecy, healing",
            "did you mean `forward-secrecy`?",
        ],
    ),
];

fn changed(change: &Change) -> String {
    match change {
        Line(line, instead) => {
            assert!(GOOD.contains(line), "the good profile has no {line:?}");
            GOOD.replacen(line, instead, 1)
        }
        Append(more) => format!("{GOOD}{more}"),
        Whole(text) => (*text).to_owned(),
    }
}

#[test]
fn every_fault_is_said_where_it_is() {
    assert!(CASES.len() >= 40);
    let mut wrong = Vec::new();
    for Case { change, at, says } in CASES {
        let text = changed(change);
        let Err(error) = load(text.as_str()) else {
            wrong.push(format!("accepted:\n{text}"));
            continue;
        };
        let shown = error.to_string();
        let place = error.errors()[0].place().expect("a place");
        let missing: Vec<_> = says.iter().filter(|piece| !shown.contains(**piece)).collect();
        let header = format!("--> p.toml:{}:{}", at.0, at.1);
        if (place.line(), place.column()) != *at || !missing.is_empty() || !shown.contains(&header) {
            wrong.push(format!("expected {at:?} and {missing:?}, got:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// What is known but not built in is not offered.
#[test]
fn a_table_that_is_none_is_told_which_keys_it_takes() {
    let text = GOOD.replace("[topology]\nrelay = \"127.0.0.1:12345\"\n", "");
    let text = text.replace("schema_version = 1", "schema_version = 1\ntopology = 1");
    let error = load(text).unwrap_err().to_string();
    assert!(error.contains("[topology] has the keys kind, relay, host, rooms\n"), "{error}");
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_text() {
    let text = "schema_version = 1\n[identity]\nnick = \"a b\"\n[topology]\nrelay = \"x\"\nhost = 1\n[transport]\n\
        kind = \"udp-arq\"\nrto_ms = \"x\"\nrtt = 1\ncongestion = \"x\"\n[key_exchange]\nkind = \"x\"\n[cipher]\n\
        kind = \"tui\"\nx = 1\n[frontend]\nkind = \"tui\"\nx = 1\n[policy]\nrequire = [\"x\"]\n[x]\n";
    let error = load(text).unwrap_err();
    let lines: Vec<usize> = error.errors().iter().map(|error| error.place().unwrap().line()).collect();
    assert_eq!(lines, [3, 5, 6, 9, 10, 11, 13, 15, 19, 21, 22], "{error}");
}

#[test]
fn an_error_looks_like_this() {
    let error = load(GOOD.replace("relay = \"127", "relais = \"127")).unwrap_err().to_string();
    let expected = "\
error: `relay` is missing in [topology]
 --> p.toml:4:1
  |
4 | [topology]
  | ^^^^^^^^^^
  = as in: relay = \"127.0.0.1:12345\", or \"FINGERPRINT@host:port\" to pin it

error: unknown key `relais` in [topology]
 --> p.toml:5:1
  |
5 | relais = ***
  | ^^^^^^
  = accepted: kind, relay, host, rooms
  = did you mean `relay`?";
    assert_eq!(error, expected);
}

#[test]
fn a_required_property_names_the_change_that_gives_it_and_the_change_does() {
    let text = GOOD.replace("end-to-end", "forward-secrecy").replace("rsa-hybrid", "x25519-ratchet");
    assert!(load(text).is_ok());
}
