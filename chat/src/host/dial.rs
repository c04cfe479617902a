//! Links to the relay, by whichever way works.

use std::sync::Arc;
use std::time::Duration;

use chat_core::transport::Peer;
use chat_core::{Address, Link, LinkError, PeerId};
use client::{Choice, ConnectError, Connected, News};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::race::{Attempt, Finish, is_impostor, race};
use super::{Hosted, Hosting, Obstacle, Shared, Way};

/// How long after the link the ways before it are tried for the first time; half as long again each time.
const FIRST_PROBE: Duration = Duration::from_secs(2);
const LONGEST_PROBE: Duration = Duration::from_secs(15);
/// Longest time for a way to answer a probe.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// Most impostors of whom the user is told in one run.
const MAX_IMPOSTORS: usize = 32;

impl Shared {
    async fn dial(&self, way: &Way, address: &Address) -> Result<Link, LinkError> {
        let (identity, entropy) = (&self.place.identity, self.place.environment.entropy());
        transport_noise::dial_with(&*way.transport, address, identity, entropy).await
    }

    /// Dials these ways in this order.
    async fn race(&self, order: &[usize]) -> Finish<Link> {
        let attempt = |number: usize| -> Attempt<'_, Link> {
            Box::pin(async move {
                let way = self.way(number).map_err(|error| LinkError::Io(std::io::Error::other(error)))?;
                self.dial(way, &way.address).await
            })
        };
        race(order, attempt).await
    }

    /// A link to the relay, or to this program's own.
    pub(super) async fn connect(self: Arc<Self>) -> Result<Connected, ConnectError> {
        let hosting = match self.try_host().await {
            // Nobody else is to be found there either.
            Err(obstacle @ (Obstacle::Mailbox { .. } | Obstacle::Listen(LinkError::Resolve { .. }))) => {
                return Err(self.judge_obstacle(obstacle));
            }
            Ok(Hosting::Yes(hosted)) => return self.connect_to_own(&hosted).await,
            hosting => hosting,
        };
        let taken = matches!(hosting, Ok(Hosting::Taken));
        let order = {
            let mut state = self.state();
            state.may_follow = taken || hosting.is_err();
            let now = Instant::now();
            if let Some(lost) = state.links.way.take() {
                state.links.standing.lost(lost, now);
            }
            state.links.standing.order(self.place.ways.len(), now)
        };
        match self.race(&order).await {
            Finish::Link { way, link, failed } => {
                let reason = self.why_not_before(way, &failed);
                Ok(self.connected(way, link, reason, None)?)
            }
            Finish::Impostor(number, error) => {
                let told = self.about_impostor(number, &error);
                match self.judge(self.way(number)?, error, taken) {
                    ConnectError::Retry(_) => Err(ConnectError::Retry(told)),
                    fatal => Err(fatal),
                }
            }
            Finish::None(failed) => {
                let unreachable =
                    |(_, error): &(usize, LinkError)| matches!(error, LinkError::Unreachable { .. });
                match hosting {
                    Err(obstacle) if failed.iter().all(unreachable) => Err(self.judge_obstacle(obstacle)),
                    _ => Err(self.judge_all(failed, taken)),
                }
            }
        }
    }

    async fn connect_to_own(&self, hosted: &Hosted) -> Result<Connected, ConnectError> {
        let way = self.way(0)?;
        let address = hosted.addresses.first().unwrap_or(&way.address);
        let link = self.dial(way, address).await.map_err(|error| self.judge(way, error, false))?;
        let mut state = self.state();
        state.connected = true;
        state.links.way = None;
        let listen = self.listen_lines(hosted);
        let relay = way.line_at(address);
        Ok(Connected { link, relay, hosting: true, listen, superseded: None, choice: None })
    }

    /// A link by another way than the one in use, which does not answer.
    pub(super) async fn another(self: Arc<Self>) -> Result<Connected, ConnectError> {
        let silent = self.state().links.way;
        let order: Vec<usize> = {
            let state = self.state();
            let order = state.links.standing.order(self.place.ways.len(), Instant::now());
            order.into_iter().filter(|way| Some(*way) != silent).collect()
        };
        match self.race(&order).await {
            Finish::Link { way, link, failed } => {
                let mut reasons = Vec::new();
                if let Some(silent) = silent {
                    reasons.push(format!("{} gives no answer", self.way(silent)?.line()));
                }
                reasons
                    .extend(self.why_not_before(way, &failed).filter(|_| silent.is_some_and(|it| it < way)));
                reasons.dedup();
                let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
                Ok(self.connected(way, link, reason, silent)?)
            }
            Finish::Impostor(way, error) => {
                let told = self.tell_impostor(way, &error);
                Err(ConnectError::Retry(told))
            }
            Finish::None(failed) => Err(ConnectError::Retry(self.all_reasons(&failed))),
        }
    }

    /// What is known against the ways that stand before this one.
    fn why_not_before(&self, way: usize, failed: &[(usize, LinkError)]) -> Option<String> {
        let reason = |(number, way): (usize, &Way)| match failed.iter().find(|(other, _)| *other == number) {
            Some((_, error)) => format!("{}: {error}", way.line()),
            None => format!("{} gives no answer", way.line()),
        };
        let reasons: Vec<String> = self.place.ways.iter().enumerate().take(way).map(reason).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// What is known against all ways that were tried.
    pub(super) fn all_reasons(&self, failed: &[(usize, LinkError)]) -> String {
        let reason = |(number, error): &(usize, LinkError)| {
            let line = self.place.ways.get(*number).map(Way::line).unwrap_or_default();
            if self.place.ways.len() > 1 { format!("{line}: {error}") } else { error.to_string() }
        };
        failed.iter().map(reason).collect::<Vec<_>>().join("; ")
    }

    /// A link that was made, to be taken into use, in place of one over the way `silent` if there is one. Runs on the
    /// network.
    fn connected(
        self: &Arc<Self>,
        number: usize,
        link: Link,
        reason: Option<String>,
        silent: Option<usize>,
    ) -> Result<Connected, ConnectError> {
        let way = self.way(number)?;
        let (before, may_follow) = {
            let mut state = self.state();
            state.connected = true;
            (state.links.relay, state.may_follow)
        };
        let superseded = may_follow.then(|| {
            let (sender, receiver) = oneshot::channel();
            tokio::spawn(Arc::clone(self).watch(sender));
            receiver
        });
        let relay_key = match &link.peer {
            Peer::Key(key) => Some(key.peer_id()),
            Peer::Name(_) => None,
        };
        let choice = (self.place.ways.len() > 1).then(|| {
            let another = before.zip(relay_key).filter(|(before, now)| before != now).map(|(before, now)| {
                format!("the relay there is {now}, and was {before}: the profile pins neither")
            });
            let reasons: Vec<String> = reason.into_iter().chain(another).collect();
            let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
            let (sender, news) = mpsc::channel(1);
            if number > 0 {
                tokio::spawn(Arc::clone(self).look_for_better(number, sender.clone()));
            }
            let shared = Arc::clone(self);
            let taken = Box::new(move || shared.taken(number, relay_key, silent, sender));
            Choice { number, reason, news, taken }
        });
        Ok(Connected { link, relay: way.line(), hosting: false, listen: Vec::new(), superseded, choice })
    }

    /// A link is in use now, over this way and to this relay, in place of one over the way `silent`.
    fn taken(&self, number: usize, relay: Option<PeerId>, silent: Option<usize>, news: mpsc::Sender<News>) {
        let (links, now) = (&mut self.state().links, Instant::now());
        if let Some(silent) = silent {
            links.standing.lost(silent, now);
        }
        links.standing.up(number, now);
        links.way = Some(number);
        links.relay = relay.or(links.relay);
        links.news = Some(news);
    }

    /// Tries the ways before the one in use again and again, and hands over the first link that comes of it.
    async fn look_for_better(self: Arc<Self>, in_use: usize, news: mpsc::Sender<News>) {
        let mut wait = FIRST_PROBE;
        loop {
            tokio::select! {
                biased;
                () = news.closed() => return,
                () = sleep(self.jittered(wait)) => {}
            }
            wait = (wait * 3 / 2).min(LONGEST_PROBE);
            for number in 0..in_use {
                if self.state().links.standing.rests(number, Instant::now()) {
                    continue;
                }
                let Ok(way) = self.way(number) else { return };
                let dialed = tokio::select! {
                    biased;
                    () = news.closed() => return,
                    dialed = timeout(PROBE_DEADLINE, self.dial(way, &way.address)) => dialed,
                };
                match dialed {
                    Ok(Ok(link)) => return self.hand_over(number, link, &news).await,
                    Ok(Err(error)) if is_impostor(&error) => {
                        self.tell_impostor(number, &error);
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(way = way.name, %error, "a better way does not work yet")
                    }
                    Err(_) => tracing::debug!(way = way.name, "a better way gives no answer yet"),
                }
            }
        }
    }

    async fn hand_over(self: &Arc<Self>, number: usize, link: Link, news: &mpsc::Sender<News>) {
        let reason = self.way(number).map(|way| format!("{} works again", way.line())).ok();
        let Ok(connected) = self.connected(number, link, reason, None) else { return };
        if news.send(News::Better(Box::new(connected))).await.is_err() {
            tracing::debug!("the link in use had ended by itself");
        }
    }

    /// Tells the user of somebody who is not the relay, once; what is told.
    fn tell_impostor(&self, number: usize, error: &LinkError) -> String {
        let told = self.about_impostor(number, error);
        let news = {
            let links = &mut self.state().links;
            let is_new = links.impostors.len() < MAX_IMPOSTORS && links.impostors.insert(told.clone());
            links.news.clone().filter(|_| is_new)
        };
        // Full: the link is about to be given up for another one, which tells by itself what it is.
        if news.is_some_and(|news| news.try_send(News::Impostor(told.clone())).is_err()) {
            tracing::warn!(told, "the user could not be told");
        }
        told
    }

    fn about_impostor(&self, number: usize, error: &LinkError) -> String {
        let line = self.place.ways.get(number).map(Way::line).unwrap_or_default();
        format!("whoever answers at {line} is not the relay, and is not used: {error}")
    }

    fn jittered(&self, wait: Duration) -> Duration {
        let byte = self.place.environment.entropy().bytes::<1>().map_or(255, |[byte]| byte);
        wait.mul_f64(0.5 + 0.5 * f64::from(byte) / 255.0)
    }
}
