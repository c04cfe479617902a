//! What became of submitted envelopes.

use chat_core::EnvelopeId;
use chat_core::wire::FromRelay;
use chat_core::wire::relay::Refusal;

use crate::mailbox::{MailboxError, NewEnvelope, Outcome};
use crate::outgoing::Client;
use crate::server::Inner;

pub(crate) fn refuse(relay: &Inner, client: &Client, id: EnvelopeId, why: Refusal) {
    relay.counters.refused.one();
    if why == Refusal::Storage {
        relay.counters.refused_storage.one();
    }
    client.answer(&FromRelay::Refused { id, why });
}

/// After the commit, on the mailbox's thread: routes what is stored and answers its sender.
pub(crate) fn settle(
    relay: &Inner,
    client: &Client,
    envelopes: &[NewEnvelope],
    result: Result<Vec<Outcome>, MailboxError>,
) {
    let Ok(outcomes) = result else {
        return envelopes.iter().for_each(|envelope| refuse(relay, client, envelope.id, Refusal::Storage));
    };
    let settled = || envelopes.iter().zip(&outcomes);
    let routed = settled().filter_map(|(envelope, outcome)| match outcome {
        Outcome::Stored(n) => Some((*n, &envelope.to, &envelope.bytes)),
        Outcome::Known | Outcome::Refused(_) => None,
    });
    relay.hub.route(client.peer, routed);
    let mut ids = Vec::with_capacity(envelopes.len());
    for (envelope, outcome) in settled() {
        match outcome {
            Outcome::Stored(_) => relay.counters.stored.one(),
            Outcome::Known => relay.counters.known.one(),
            Outcome::Refused(why) => {
                refuse(relay, client, envelope.id, *why);
                continue;
            }
        }
        ids.push(envelope.id);
    }
    if !ids.is_empty() {
        client.answer(&FromRelay::Stored { ids });
    }
}
