//! Refusing what must not be, and telling the user.

use chat_core::api::Event;
use chat_core::api::event::{Alarm, AlarmKind};
use chat_core::error::CryptoError;
use chat_core::ids::{ConversationId, PeerId};

use super::Engine;
use crate::store::StoreError;

/// Most alarms told between two ticks.
const ALARMS_A_TICK: u32 = 20;

/// Why one thing was not done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The store failed: the turn is undone.
    Store(StoreError),
    /// The thing was refused; nothing has changed.
    Refused(Refused),
}

/// How a peer is asked to seal anew. What does more is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Renewal {
    /// Over a session that both have, if there is one: what anybody can make us do must not cost the sessions we have.
    OverAny,
    /// Over a new session: the present one is at its end.
    Anew,
    /// Over a new session, and what it has not confirmed is sealed anew as well: it, or this node, goes on from an older
    /// copy of its data.
    Rewound,
}

/// A refusal, and what follows from it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) kind: AlarmKind,
    pub(crate) peer: Option<PeerId>,
    pub(crate) detail: String,
    /// The peer's frames can't be opened: it is asked to seal them anew.
    pub(crate) renew: Option<Renewal>,
    /// Ordinary after a restart or renewal: not worth an alarm.
    pub(crate) quiet: bool,
    /// A closed room about which both ends are to compare what they know: as often as that is done, it is told.
    pub(crate) room: Option<ConversationId>,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

pub(super) fn refused(kind: AlarmKind, peer: PeerId, detail: impl std::fmt::Display) -> Fault {
    Fault::Refused(Refused {
        kind,
        peer: Some(peer),
        detail: detail.to_string(),
        renew: None,
        quiet: false,
        room: None,
    })
}

/// A message that may not be in a closed room: one of both ends knows other members than the other.
pub(super) fn not_of_room(peer: PeerId, room: ConversationId, kind: AlarmKind, detail: &str) -> Fault {
    let (peer, detail, room) = (Some(peer), detail.to_owned(), Some(room));
    Fault::Refused(Refused { kind, peer, detail, renew: None, quiet: false, room })
}

/// Ordinary after a restart, renewal or long wait.
pub(super) fn quietly(peer: PeerId, detail: &str, renew: Renewal) -> Fault {
    let (detail, renew) = (detail.to_owned(), Some(renew));
    Fault::Refused(Refused {
        kind: AlarmKind::Refused,
        peer: Some(peer),
        detail,
        renew,
        quiet: true,
        room: None,
    })
}

pub(super) fn unknown_session(peer: PeerId, detail: &str) -> Fault {
    quietly(peer, detail, Renewal::OverAny)
}

/// A peer begins a session with keys of this node's that are not here any more: they are too old, or the store is an
/// older copy, which never had them. Then what this node seals with the sessions it has is refused.
pub(super) fn unknown_keys(peer: PeerId) -> Fault {
    quietly(peer, "a first message for keys that are not here any more", Renewal::Rewound)
}

/// The same for a one-time key.
pub(super) fn unknown_one_time_key(peer: PeerId) -> Fault {
    quietly(peer, "a first message for a one-time key that is not here any more", Renewal::Rewound)
}

/// Each is given to one peer by one relay that keeps its word.
pub(super) fn one_time_key_used_before(peer: PeerId) -> Fault {
    let detail = "a first message with a one-time key that was used before: a relay gave it to two, or this peer goes on \
                  from an older copy of its data; a session without it is begun"
        .to_owned();
    let (kind, renew) = (AlarmKind::Replayed, Some(Renewal::OverAny));
    Fault::Refused(Refused { kind, peer: Some(peer), detail, renew, quiet: false, room: None })
}

/// A crypto error as a refusal.
pub(super) fn refusal_of(error: &CryptoError, peer: PeerId, what: &str) -> Fault {
    let kind = match error {
        CryptoError::Forged | CryptoError::Malformed(_) => AlarmKind::Tampered,
        CryptoError::Duplicate => AlarmKind::Replayed,
        _ => AlarmKind::Refused,
    };
    let renew = match error {
        CryptoError::UnknownKey(_) => Some(Renewal::OverAny),
        CryptoError::TooFarAhead | CryptoError::Exhausted(_) => Some(Renewal::Anew),
        _ => None,
    };
    let quiet = matches!(error, CryptoError::UnknownKey(_));
    Fault::Refused(Refused {
        kind,
        peer: Some(peer),
        detail: format!("{what}: {error}"),
        renew,
        quiet,
        room: None,
    })
}

impl Engine {
    /// Raises an alarm; a flood of them is counted and told once a second.
    pub(super) fn alarm(&mut self, kind: AlarmKind, peer_id: Option<PeerId>, detail: String) {
        self.alarms += 1;
        if self.alarms <= ALARMS_A_TICK {
            tracing::warn!(?kind, peer = %peer_id.map(|peer| peer.short()).unwrap_or_default(), "alarm");
            self.out.events.push(Event::Alarm(Alarm { kind, peer_id, detail }));
        }
    }

    pub(super) fn tell_of_suppressed_alarms(&mut self) {
        let more = std::mem::take(&mut self.alarms).saturating_sub(ALARMS_A_TICK);
        if more > 0 {
            tracing::warn!(more, "alarms were suppressed");
            let detail = format!("and {more} more within a second");
            self.out.events.push(Event::Alarm(Alarm { kind: AlarmKind::Refused, peer_id: None, detail }));
        }
    }
}
