//! How a relay departs from the truth.

use std::sync::Arc;
use std::sync::Mutex;

use chat_core::wire::relay::Delivery;
use chat_core::wire::{Envelope, FromRelay, ToRelay};
use chat_core::{EnvelopeId, PeerId};

use crate::desk::Desk;

/// A way to lie. What it changes is counted by the relay.
pub trait Lie: Send {
    /// A client says something. What is given back is what an honest relay would then act upon; nothing = it was never
    /// heard.
    fn hears(&mut self, desk: &mut Desk, from: PeerId, record: ToRelay) -> Option<ToRelay> {
        let (_, _) = (desk, from);
        Some(record)
    }

    /// An honest relay would say this to a client. What is given back is said in its place.
    fn says(&mut self, desk: &mut Desk, to: PeerId, record: FromRelay) -> Vec<FromRelay> {
        let (_, _) = (desk, to);
        vec![record]
    }
}

/// No lie at all.
pub struct Honest;

impl Lie for Honest {}

/// Lies about what it says.
pub struct Says<F>(pub F);

impl<F: FnMut(&mut Desk, PeerId, FromRelay) -> Vec<FromRelay> + Send> Lie for Says<F> {
    fn says(&mut self, desk: &mut Desk, to: PeerId, record: FromRelay) -> Vec<FromRelay> {
        (self.0)(desk, to, record)
    }
}

/// Lies about what it has heard.
pub struct Hears<F>(pub F);

impl<F: FnMut(&mut Desk, PeerId, ToRelay) -> Option<ToRelay> + Send> Lie for Hears<F> {
    fn hears(&mut self, desk: &mut Desk, from: PeerId, record: ToRelay) -> Option<ToRelay> {
        (self.0)(desk, from, record)
    }
}

/// Hears nothing: after the handshake of the hop it stalls.
pub fn stall() -> impl Lie {
    Hears(|_: &mut Desk, _, _| None)
}

/// Turns each envelope, on its way to somebody, into others: none, several, or something else.
pub fn on_envelopes(mut turn: impl FnMut(PeerId, Envelope) -> Vec<Envelope> + Send) -> impl Lie {
    Says(move |_: &mut Desk, to, record| match record {
        FromRelay::Deliver { items } => {
            let mut turned = Vec::new();
            for Delivery { n, envelope } in items {
                turned.extend(turn(to, envelope).into_iter().map(|envelope| Delivery { n, envelope }));
            }
            if turned.is_empty() { Vec::new() } else { vec![FromRelay::Deliver { items: turned }] }
        }
        other => vec![other],
    })
}

/// Drops envelopes.
pub fn drop_envelopes(mut which: impl FnMut(PeerId, &Envelope) -> bool + Send) -> impl Lie {
    on_envelopes(move |to, envelope| if which(to, &envelope) { Vec::new() } else { vec![envelope] })
}

/// Delivers each envelope so many times.
pub fn repeat_envelopes(times: usize) -> impl Lie {
    on_envelopes(move |_, envelope| vec![envelope; times])
}

/// Keeps envelopes back, until somebody gives them out.
pub fn hold_envelopes(mut which: impl FnMut(PeerId, &Envelope) -> bool + Send) -> (Held, impl Lie) {
    let held = Held::default();
    let keep = held.clone();
    let lie = on_envelopes(move |to, envelope| {
        if which(to, &envelope) {
            keep.push(to, envelope);
            return Vec::new();
        }
        vec![envelope]
    });
    (held, lie)
}

/// What a relay keeps back.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<Vec<(PeerId, Envelope)>>>);

impl Held {
    fn push(&self, to: PeerId, envelope: Envelope) {
        self.0.lock().expect("nobody has panicked").push((to, envelope));
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.lock().expect("nobody has panicked").len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, oldest first; none is left.
    pub fn take(&self) -> Vec<(PeerId, Envelope)> {
        std::mem::take(&mut *self.0.lock().expect("nobody has panicked"))
    }
}

/// Tells each client another roster.
pub fn on_rosters(mut turn: impl FnMut(PeerId, Vec<PeerId>) -> Vec<PeerId> + Send) -> impl Lie {
    Says(move |_: &mut Desk, to, record| match record {
        FromRelay::Room { room, members } => vec![FromRelay::Room { room, members: turn(to, members) }],
        other => vec![other],
    })
}

/// Hides somebody from everybody else: in rosters, in the directory and in presence.
pub fn hide(hidden: PeerId) -> impl Lie {
    Says(move |desk: &mut Desk, to, record| match record {
        _ if to == hidden => vec![record],
        FromRelay::Room { room, members } => {
            let members = members.into_iter().filter(|member| *member != hidden).collect();
            vec![FromRelay::Room { room, members }]
        }
        FromRelay::Peer { ref bundle, .. } if Some(bundle.as_slice()) == desk.bundle(hidden) => Vec::new(),
        FromRelay::Presence { peer, .. } if peer == hidden => Vec::new(),
        other => vec![other],
    })
}

/// Gives other bundles than those that were published.
pub fn on_bundles(mut turn: impl FnMut(PeerId, Vec<u8>) -> Vec<Vec<u8>> + Send) -> impl Lie {
    Says(move |_: &mut Desk, to, record| match record {
        FromRelay::Peer { bundle, online } => {
            turn(to, bundle).into_iter().map(|bundle| FromRelay::Peer { bundle, online }).collect()
        }
        other => vec![other],
    })
}

/// Gives other one-time keys than those that were published; the first argument of `turn` is whose is asked for.
pub fn on_one_time_keys(mut turn: impl FnMut(PeerId, Option<Vec<u8>>) -> Option<Vec<u8>> + Send) -> impl Lie {
    Says(move |_: &mut Desk, _, record| match record {
        FromRelay::OneTimeKey { peer, key } => vec![FromRelay::OneTimeKey { peer, key: turn(peer, key) }],
        other => vec![other],
    })
}

/// Answers everything submitted with `Stored`, and keeps none of what somebody submits.
pub fn store_nothing(of: PeerId) -> impl Lie {
    Hears(move |desk: &mut Desk, from, record| match record {
        ToRelay::Submit { envelopes } if from == of => {
            let ids: Vec<EnvelopeId> = envelopes.iter().map(|envelope| envelope.id).collect();
            desk.say(from, &FromRelay::Stored { ids });
            None
        }
        other => Some(other),
    })
}
