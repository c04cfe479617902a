//! What people type and what names things: a line with or without a slash, addresses, nicks, rooms, destinations,
//! ids, and text made fit to be shown. The first byte chooses which.
//!
//! - Whatever was read, written and read again, is the same.
//! - Text that was made inert holds nothing that acts on a screen, and no name does.
//! - What is said about a bad line is short.
//!
//! Allocated: 32 bytes for each that came, and 64 KiB.

use chat_core::api::command::Destination;
use chat_core::api::table::{self, Line};
use chat_core::nick::{MAX_NICK_BYTES, Nick, RoomName, inert, is_unsafe_to_show};
use chat_core::room::RoomAddress;
use chat_core::safety::SafetyNumber;
use chat_core::{Address, Command, MessageId, PeerId};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::alloc::bounded;

/// An error repeats at most a name and the usage.
const MAX_ERROR_CHARS: usize = 400;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    bounded(32 * text.len() + (64 << 10), || match kind % 6 {
        0 => line(text),
        1 => line(&format!("/{text}")),
        2 => address(text),
        3 => names(text),
        4 => ids(text),
        _ => shown(text),
    });
}

fn line(text: &str) {
    line_in(text, None);
    line_in(text, "#den·7f3a".parse().ok().as_ref());
}

fn line_in(text: &str, here: Option<&RoomAddress>) {
    match table::parse_line_in(text, here) {
        Ok(Line::Text(said)) => {
            assert!(text.ends_with(&said) && text.len() - said.len() <= 1);
            assert!(!said.starts_with('/') || text.starts_with("//"));
        }
        Ok(Line::Command(Command::Send(send))) => {
            assert!(text.trim_end().ends_with(send.text.trim_end()) && !send.text.is_empty());
        }
        Ok(Line::Help(about)) => assert!(!table::help(about.as_deref()).is_empty()),
        Ok(Line::Command(_)) => {}
        Ok(Line::Empty) => assert!(text.trim().is_empty()),
        Err(error) => {
            let message = error.to_string();
            assert!(message.chars().count() <= MAX_ERROR_CHARS, "{} characters", message.chars().count());
            assert!(!message.chars().any(is_unsafe_to_show), "{message:?}");
        }
    }
}

fn address(text: &str) {
    let Ok(address) = text.parse::<Address>() else { return };
    assert_eq!(address.to_string().parse::<Address>().as_ref().ok(), Some(&address));
    if let Ok((host, port)) = address.host_port() {
        assert!(!host.is_empty());
        let again = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        assert_eq!(Address::new(again).host_port().ok(), Some((host, port)));
    }
}

fn names(text: &str) {
    if let Ok(nick) = Nick::new(text) {
        // Names are kept in composed form (NFC), which is its own.
        let name = nick.as_str();
        assert!(!name.is_empty() && name.len() <= MAX_NICK_BYTES);
        assert!(Nick::new(name).is_ok_and(|again| again.as_str() == name));
        assert!(!text.is_ascii() || name == text);
        assert!(!text.chars().any(|c| is_unsafe_to_show(c) || c.is_whitespace()));
    }
    if let Ok(room) = RoomName::new(text) {
        let name = room.as_str();
        assert!(name.starts_with('#') && name.len() > 1);
        assert!(RoomName::new(name).is_ok_and(|again| again.as_str() == name));
        assert!(!text.is_ascii() || name == text);
    }
    if let Ok(destination) = Destination::try_from(text.to_owned()) {
        // Hex digits may be written large, and a name may have an `@`.
        let again = Destination::try_from(destination.to_string());
        assert!(again == Ok(destination.clone()) || text.starts_with("@"), "{destination:?} {again:?}");
    }
}

fn ids(text: &str) {
    if let Ok(id) = text.parse::<PeerId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(number) = text.parse::<SafetyNumber>() {
        assert_eq!((number.digits().len(), number.groups().count()), (60, 12));
        assert_eq!(number.to_string().parse::<SafetyNumber>(), Ok(number));
    }
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
}

fn shown(text: &str) {
    let shown = inert(text);
    assert!(!shown.chars().any(|c| !matches!(c, '\n' | '\t') && is_unsafe_to_show(c)));
    assert!(shown.len() <= text.len());
    let longest = shown.graphemes(true).map(|grapheme| grapheme.chars().count()).max();
    assert!(longest.is_none_or(|longest| longest <= 64), "{longest:?}");
}
