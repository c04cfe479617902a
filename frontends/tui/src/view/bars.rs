//! The tabs at the top, the status line, and the line that tells of new messages below.

use chat_core::api::snapshot::LinkView;
use chat_core::api::{ConversationKind, ConversationView, LinkState, PeerView, Snapshot, Trust};
use chat_core::transport::LinkFigures;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::theme::Theme;
use super::{behind, put};
use crate::state::{State, Tab};
use crate::text;

/// Most cells of a name in the tab bar.
const TAB_NAME_CELLS: usize = 20;

/// The label of a tab, and whether it has something unread.
fn label(number: usize, tab: &Tab, is_shown: bool) -> (String, bool) {
    let name = tab.view.as_ref().map_or_else(|| "status".to_owned(), |view| text::name(&view.name));
    let name = text::fit_name(&name, TAB_NAME_CELLS);
    // What is shown is about to be marked as read.
    let seen = is_shown && tab.timeline.scroll == crate::state::timeline::Scroll::Bottom;
    let unread = tab.view.as_ref().map_or(0, |view| view.unread);
    match unread {
        0 => (format!(" {number} {name} "), false),
        _ if seen => (format!(" {number} {name} "), false),
        unread => (format!(" {number} {name} ({unread}) "), true),
    }
}

/// The tabs, as many as fit, the one that is shown among them.
pub(super) fn draw_tabs(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let current = state.current();
    let tabs = state.tabs().iter().enumerate();
    let labels: Vec<(String, bool)> =
        tabs.map(|(number, tab)| label(number, tab, number == current)).collect();
    let cells = |from: usize, to: usize| -> usize {
        labels.get(from..=to).unwrap_or_default().iter().map(|(label, _)| text::width(label)).sum()
    };
    let mut first = 0;
    // Two cells for `…` at each end.
    while first < current && cells(first, current) + 4 > usize::from(area.width) {
        first += 1;
    }
    let mut row = area;
    if first > 0 {
        row = behind(row, put(buffer, row, "… ", theme.dim()));
    }
    for (number, (label, unread)) in labels.iter().enumerate().skip(first) {
        let style = match (number == current, unread) {
            (true, _) => theme.tab_shown(),
            (false, true) => theme.tab_unread(),
            (false, false) => theme.dim(),
        };
        let is_last = number + 1 == labels.len();
        if text::width(label) + usize::from(!is_last) > usize::from(row.width) {
            put(buffer, row, "…", theme.dim());
            break;
        }
        row = behind(row, put(buffer, row, label, style));
    }
}

/// Tells that the newest messages are out of sight.
pub(super) fn draw_below(buffer: &mut Buffer, area: Rect, new: u32, theme: Theme) {
    let text = match new {
        0 => " ↓ reading further up; Esc goes to the newest message".to_owned(),
        new => format!(" ↓ {new} new; Esc goes to the newest message"),
    };
    put(buffer, area, &text, theme.tab_unread());
}

/// Whom one is talking to, what protects it, and whether the relay is reached.
pub(super) fn draw_status(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let snapshot = state.snapshot();
    let width = usize::from(area.width);
    let whom = state.tab().and_then(|tab| tab.view.as_ref());
    let (whom, alarm) = match whom {
        Some(view) => {
            let (whom, alarm) = conversation(snapshot, view);
            let writing = state.writing_in(view.id);
            (if writing.is_empty() { whom } else { format!("{whom}, {writing}") }, alarm)
        }
        None => (format!("{} (you)", text::name(snapshot.nick.as_str())), false),
    };
    let stack = text::one_line(&snapshot.stack.line());
    let (whom, stack, link) = share(width.saturating_sub(8), whom, stack, link(&snapshot.link));
    buffer.set_style(area, theme.bar());
    let row = behind(area, 1);
    let whom_style = if alarm { theme.bar_alarm() } else { theme.bar() };
    let row = behind(row, put(buffer, row, &whom, whom_style));
    let row = behind(row, put(buffer, row, " │ ", theme.bar()));
    let row = behind(row, put(buffer, row, &stack, theme.bar()));
    let row = behind(row, put(buffer, row, " │ ", theme.bar()));
    let is_up = snapshot.link.state == LinkState::Up;
    put(buffer, row, &link, if is_up { theme.bar() } else { theme.bar_alarm() });
}

/// Cuts three texts so that they fit into `cells` together: first the link's details go, then the end of the
/// name, then of the stack. The link's state and what is known of the peer stay as long as they can.
fn share(
    cells: usize,
    whom: String,
    stack: String,
    (state, details): (String, String),
) -> (String, String, String) {
    let rest = cells.saturating_sub(text::width(&stack) + text::width(&state));
    let whom = fit_front(&whom, rest.max(text::width(&whom).min(18)));
    let rest = cells.saturating_sub(text::width(&whom) + text::width(&state));
    let stack = text::fit(&stack, rest);
    let rest = cells.saturating_sub(text::width(&whom) + text::width(&stack) + text::width(&state));
    // A few letters of an address tell nothing.
    let details = if rest < 6 { String::new() } else { text::fit(&details, rest) };
    (whom, stack, format!("{state}{details}"))
}

/// Cuts the name in front of `, unverified` and the like, so that these are seen.
fn fit_front(text: &str, cells: usize) -> String {
    match text.find(',') {
        Some(at) if text::width(text) > cells => {
            let (name, facts) = text.split_at(at);
            let room = cells.saturating_sub(text::width(facts));
            if room < 6 { text::fit(text, cells) } else { format!("{}{facts}", text::fit_name(name, room)) }
        }
        _ => text.to_owned(),
    }
}

/// A conversation in a few words, and whether they are an alarm.
fn conversation(snapshot: &Snapshot, view: &ConversationView) -> (String, bool) {
    let name = text::name(&view.name);
    match &view.with {
        ConversationKind::Direct { peer } => direct(name, snapshot.peer(*peer).map(|peer| &**peer)),
        ConversationKind::OpenRoom { members, .. } | ConversationKind::ClosedRoom { members, .. } => {
            let kind = if matches!(view.with, ConversationKind::OpenRoom { .. }) { "open" } else { "closed" };
            let others = members.iter().filter(|id| **id != snapshot.peer_id);
            let peers: Vec<_> = others.filter_map(|id| snapshot.peer(*id)).collect();
            let unverified = peers.iter().filter(|peer| peer.trust == Trust::Unverified).count();
            let count = members.len();
            let members = match unverified {
                0 => format!("{count} in it"),
                _ => format!("{unverified}/{count} unverified"),
            };
            (format!("{name}, {kind}, {members}"), false)
        }
    }
}

fn direct(name: String, peer: Option<&PeerView>) -> (String, bool) {
    let Some(peer) = peer else { return (format!("{name}, unknown"), true) };
    let trust = match peer.trust {
        Trust::Unverified => "unverified",
        Trust::Verified => "verified",
    };
    match &peer.problem {
        Some(problem) => (format!("{name}, {trust}, {}", text::one_line(problem)), true),
        None => (format!("{name}, {trust}, {}", if peer.online { "online" } else { "offline" }), false),
    }
}

/// The link's state, and what more there is to say about it.
fn link(link: &LinkView) -> (String, String) {
    let relay = text::one_line(&link.relay);
    match &link.state {
        LinkState::Connecting => ("connecting".to_owned(), format!(" {relay}")),
        LinkState::Up if link.hosting => {
            let listen = link.listen.first().map_or(relay, |listen| text::one_line(listen));
            ("hosting".to_owned(), format!(" {listen}"))
        }
        LinkState::Up => ("up".to_owned(), format!("{} {relay}", path(&link.figures))),
        LinkState::Down { reason } => ("down".to_owned(), format!(": {}", text::one_line(reason))),
    }
}

/// The round trip, and losses if there were any.
fn path(figures: &LinkFigures) -> String {
    let mut path = match figures.srtt_us {
        None => String::new(),
        Some(us) if us < 1000 => " <1 ms".to_owned(),
        Some(us) => format!(" {} ms", us / 1000),
    };
    if let Some(lost) = figures.lost_packets.filter(|&lost| lost > 0) {
        path.push_str(&format!(" {lost} lost"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = "udp-arq · rsa-hybrid · aes-256-gcm";

    fn shared(cells: usize, whom: &str, details: &str) -> (String, String, String) {
        share(cells, whom.into(), STACK.into(), ("up".into(), details.into()))
    }

    #[test]
    fn the_status_line_is_shared_by_weight() {
        for (cells, whom, expected) in [
            (72, "bob, unverified, online", ("bob, unverified, online", STACK, "up 127.0.0.1:1…")),
            (60, "bob, unverified, online", ("bob, unverified, online", STACK, "up")),
            (50, "bob, unverified, online", ("bob, unverified, …", "udp-arq · rsa-hybrid · aes-25…", "up")),
            (72, "#lobby, open, 2/3 unverified", ("#lobby, open, 2/3 unverified", STACK, "up 127.0.…")),
        ] {
            let (whom, stack, link) = shared(cells, whom, " 127.0.0.1:12345");
            assert_eq!((whom.as_str(), stack.as_str(), link.as_str()), expected);
        }
        let long = format!("{}·7f3a, unverified, online", "b".repeat(60));
        let (whom, stack, _) = shared(72, &long, "");
        assert!(whom.ends_with("·7f3a, unverified, online"), "{whom}");
        assert_eq!(stack, STACK);
        for cells in 0..120 {
            let (whom, stack, link) = shared(cells, &long, "down: nobody answers there at all");
            let sum = text::width(&whom) + text::width(&stack) + text::width(&link);
            assert!(sum <= cells.max(20), "{cells}: {sum}");
        }
    }
}
