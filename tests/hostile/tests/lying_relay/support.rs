//! Catching envelopes on their way.

use chat_core::api::MessageState;
use chat_core::wire::Envelope;
use chat_core::{EnvelopeId, MessageId};
use chat_hostile::Scene;
use chat_hostile::forge::fresh;
use chat_hostile::lie;
use chat_hostile::person::PATIENCE;

/// Runs a scenario with each key exchange.
macro_rules! with_each_key_exchange {
    ($($scenario:ident),+ $(,)?) => {
        mod x25519 {
            $(#[tokio::test(start_paused = true)] async fn $scenario() { super::$scenario(chat_hostile::X25519).await; })+
        }
        mod ratchet {
            $(#[tokio::test(start_paused = true)] async fn $scenario() { super::$scenario(chat_hostile::RATCHET).await; })+
        }
        mod rsa {
            $(#[tokio::test(start_paused = true)] async fn $scenario() { super::$scenario(chat_hostile::RSA).await; })+
        }
    };
}
pub(crate) use with_each_key_exchange;

/// Somebody sends a text; the relay says it has stored it, and keeps the envelope from its recipient.
pub(crate) async fn caught(scene: &mut Scene, who: &str, to: &str, text: &str) -> (MessageId, Envelope) {
    let (held, lie) = lie::hold_envelopes(|_, _| true);
    scene.relay.lie(lie);
    let id = scene[who].send(to, text).await;
    scene[who].wait_state(id, MessageState::Stored).await;
    scene.relay.be_honest();
    let caught = held.take().into_iter().map(|(_, envelope)| envelope).find(|it| it.message == id);
    (id, caught.expect("the text's envelope was kept back"))
}

/// The envelope in which a message went, as it was submitted.
pub(crate) fn sent(scene: &Scene, id: MessageId) -> Envelope {
    let found = scene.relay.with(|desk| desk.submitted().iter().find(|it| it.message == id).cloned());
    found.expect("it was submitted")
}

/// An envelope id that nobody has seen.
pub(crate) fn fresh_id() -> EnvelopeId {
    EnvelopeId(fresh())
}

/// Looks again and again until what is seen is as wished: for what nobody tells of.
pub(crate) async fn poll<T>(look: impl Fn() -> T, wished: impl Fn(&T) -> bool) -> T {
    let patient = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(10));
        loop {
            let seen = look();
            if wished(&seen) {
                return seen;
            }
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, patient).await.expect("it never came")
}
