//! Looks after a link that has an alternative: asks whether the relay is there, and finds another transport if it is not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::transport::LinkStats;
use chat_core::wire::FromRelay;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::pulse::{Pulse, State};
use crate::connect::{Connected, Connector};

/// How often the bytes that have come are read: they tell nobody by themselves.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longest time for one attempt at another transport.
const ANOTHER_DEADLINE: Duration = Duration::from_secs(10);
/// After one that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What is known of the life of one link.
pub(super) struct Life {
    /// None if there is no alternative: then nothing is asked.
    pulse: Option<Mutex<Pulse>>,
    stats: Arc<dyn LinkStats>,
    sign: Notify,
}

impl Life {
    pub(super) fn new(has_choice: bool, stats: Arc<dyn LinkStats>, rate: u64) -> Self {
        let pulse = has_choice.then(|| Mutex::new(Pulse::new(Instant::now(), rate)));
        Self { pulse, stats, sign: Notify::new() }
    }

    fn pulse(&self) -> Option<MutexGuard<'_, Pulse>> {
        self.pulse.as_ref().map(|pulse| pulse.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something was handed to the link.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some(mut pulse) = self.pulse() {
            pulse.sent(bytes);
        }
    }

    /// A record has come.
    pub(super) fn heard(&self, record: &FromRelay) {
        let Some(mut pulse) = self.pulse() else { return };
        let now = Instant::now();
        match record {
            FromRelay::Pong { n } => pulse.answered(*n, now),
            _ => pulse.heard(now),
        }
        self.sign.notify_one();
    }

    /// What rate the next link is trusted to have, if this one was given up for its silence.
    pub(super) fn next_rate(&self) -> u64 {
        self.pulse().map_or_else(Pulse::first_rate, |pulse| pulse.given_up(Instant::now()))
    }

    /// Asks through `questions`, and waits until the link is silent and there is another one. Cancel safe.
    pub(super) async fn look_after(
        &self,
        questions: mpsc::Sender<u64>,
        connector: &dyn Connector,
    ) -> Connected {
        loop {
            match self.look() {
                None => std::future::pending::<()>().await,
                Some(State::Well(until)) => self.rest_until(until).await,
                Some(State::Quiet) => {
                    let n = self.pulse().map_or(0, |mut pulse| pulse.ask(Instant::now()));
                    if questions.try_send(n).is_err() {
                        tracing::trace!("the link has not taken the question before yet");
                    }
                }
                Some(State::Late | State::Silent) => {
                    if let Some(connected) = self.find_another(connector).await {
                        return connected;
                    }
                }
            }
        }
    }

    /// Another link, once this one is silent; none if it has spoken meanwhile, or there is none.
    async fn find_another(&self, connector: &dyn Connector) -> Option<Connected> {
        let found = tokio::select! {
            biased;
            () = self.until(|state| matches!(state, State::Well(_) | State::Quiet)) => return None,
            found = timeout(ANOTHER_DEADLINE, connector.another()) => found,
        };
        let connected = match found {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the link does not answer, and there is no other");
                sleep(AGAIN_AFTER).await;
                return None;
            }
            Err(_) => return None,
        };
        self.until(|state| !matches!(state, State::Late)).await;
        matches!(self.look(), Some(State::Silent)).then_some(connected)
    }

    async fn until(&self, is_so: impl Fn(State) -> bool) {
        while self.look().is_some_and(|state| !is_so(state)) {
            self.rest_until(Instant::now() + LOOK_EVERY / 5).await;
        }
    }

    async fn rest_until(&self, until: Instant) {
        let rest = until.saturating_duration_since(Instant::now()).min(LOOK_EVERY);
        tokio::select! {
            biased;
            () = self.sign.notified() => {}
            () = sleep(rest) => {}
        }
    }

    fn look(&self) -> Option<State> {
        self.pulse.as_ref()?;
        // A transport that panics over its figures has none.
        let figures = catch_unwind(AssertUnwindSafe(|| self.stats.figures()));
        let received = figures.ok().and_then(|figures| figures.received_bytes);
        let now = Instant::now();
        let mut pulse = self.pulse()?;
        pulse.received(received, now);
        Some(pulse.state(now))
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use chat_core::transport::NoStats;

    use super::*;
    use crate::connect::ConnectError;
    use crate::driver::tests::{connected, link};

    /// Finds another link after a while, or none.
    struct Another(Option<Duration>);

    #[async_trait]
    impl Connector for Another {
        fn relay(&self) -> String {
            "memory://nowhere".to_owned()
        }
        async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
            Ok(Vec::new())
        }
        async fn connect(&self) -> Result<Connected, ConnectError> {
            std::future::pending().await
        }
        async fn another(&self) -> Result<Connected, ConnectError> {
            let Some(after) = self.0 else { return Err(ConnectError::Retry("none works".to_owned())) };
            sleep(after).await;
            Ok(connected(link(Vec::new())))
        }
    }

    /// How long a link that says nothing is looked after, if each of its first questions is answered.
    async fn lasts(life: Arc<Life>, another: Another, answers: u64) -> Duration {
        let (questions, mut asked) = mpsc::channel(1);
        let answering = Arc::clone(&life);
        tokio::spawn(async move {
            while let Some(n) = asked.recv().await {
                if n <= answers {
                    answering.heard(&FromRelay::Pong { n });
                }
            }
        });
        let began = Instant::now();
        life.look_after(questions, &another).await;
        began.elapsed()
    }

    fn life(has_choice: bool) -> Arc<Life> {
        Arc::new(Life::new(has_choice, Arc::new(NoStats), Pulse::first_rate()))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_link_is_left_for_another_within_two_seconds() {
        let took = lasts(life(true), Another(Some(ms(100))), 0).await;
        assert!(ms(1700) <= took && took < ms(2000), "{took:?}");
        let took = lasts(life(true), Another(Some(ms(100))), 3).await;
        assert!(ms(3800) <= took && took < ms(4100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_answers_is_kept_and_one_without_choice_is_not_asked() {
        for (life, answers) in [(life(true), u64::MAX), (life(false), 0)] {
            assert!(timeout(ms(60_000), lasts(life, Another(Some(ms(0))), answers)).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_another_it_is_kept_and_a_late_sign_ends_the_search() {
        assert!(timeout(ms(60_000), lasts(life(true), Another(None), 0)).await.is_err());
        let late = life(true);
        let speaking = Arc::clone(&late);
        tokio::spawn(async move {
            sleep(ms(2500)).await;
            speaking.heard(&FromRelay::Moving);
        });
        // Another one comes after 5 s of looking, which begins anew.
        let took = lasts(late, Another(Some(ms(5000))), 0).await;
        assert!(ms(2500 + 500 + 5000) <= took && took < ms(9500), "{took:?}");
    }
}
