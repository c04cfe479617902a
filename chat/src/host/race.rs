//! Dialing several ways at once, the preferred one first (as RFC 8305 does with addresses). Knows no network.

use std::pin::Pin;
use std::time::Duration;

use chat_core::LinkError;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// Without a link for so long, the next way is dialed beside those before it.
pub(super) const STAGGER: Duration = Duration::from_millis(750);
/// How long a link waits for one by a better way that is being dialed.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// An attempt at one way.
pub(super) type Attempt<'a, T> = Pin<Box<dyn Future<Output = Result<T, LinkError>> + Send + 'a>>;

/// How a race ends.
#[derive(Debug)]
pub(super) enum Finish<T> {
    /// There is a link.
    Link {
        way: usize,
        link: T,
        /// Of the ways that were tried as well.
        failed: Vec<(usize, LinkError)>,
    },
    /// No way works.
    None(Vec<(usize, LinkError)>),
    /// Somebody who is not the relay answers on this way, and no link had been taken yet. Whoever can put himself there
    /// does not decide by which way it goes on: the whole attempt is refused.
    Impostor(usize, LinkError),
}

/// Whether whoever answers has failed to prove that he is the relay.
pub(super) fn is_impostor(error: &LinkError) -> bool {
    matches!(error, LinkError::WrongPeer { .. } | LinkError::NotAuthenticated(_))
}

/// Dials the ways in this order, each a while after the one before, or at once if all before it have failed. The first
/// link wins, unless one by a better way comes within [`GRACE`]. Cancel safe: dropping it drops all attempts.
pub(super) async fn race<'a, T: 'a>(order: &[usize], dial: impl Fn(usize) -> Attempt<'a, T>) -> Finish<T> {
    let mut waiting = order.iter().copied().enumerate();
    let mut running = FuturesUnordered::new();
    let mut ranks: Vec<usize> = Vec::new();
    let mut failed = Vec::new();
    let mut found: Option<(usize, usize, T)> = None;
    // When the next way is dialed; once there is a link, until when a better one may come.
    let mut until = Instant::now();
    loop {
        if found.is_none()
            && Instant::now() >= until
            && let Some((rank, way)) = waiting.next()
        {
            let attempt = dial(way);
            running.push(async move { (rank, way, attempt.await) });
            ranks.push(rank);
            until = Instant::now() + STAGGER;
        }
        let is_worth_waiting = |rank: usize| ranks.iter().any(|other| *other < rank);
        if let Some((rank, way, link)) = found.take() {
            if !is_worth_waiting(rank) || Instant::now() >= until {
                return Finish::Link { way, link, failed };
            }
            found = Some((rank, way, link));
        }
        if ranks.is_empty() && waiting.len() == 0 {
            return Finish::None(failed);
        }
        let has_next = found.is_some() || waiting.len() > 0;
        tokio::select! {
            biased;
            Some((rank, way, result)) = running.next() => {
                ranks.retain(|other| *other != rank);
                match result {
                    Ok(link) if found.as_ref().is_none_or(|(best, ..)| rank < *best) => {
                        if found.is_none() {
                            until = Instant::now() + GRACE;
                        }
                        found = Some((rank, way, link));
                    }
                    Ok(_) => {}
                    Err(error) if is_impostor(&error) => return Finish::Impostor(way, error),
                    Err(error) => {
                        failed.push((way, error));
                        if found.is_none() && ranks.is_empty() {
                            until = Instant::now();
                        }
                    }
                }
            }
            () = sleep_until(until), if has_next => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What becomes of a way that is dialed, and after how many milliseconds.
    #[derive(Clone, Copy)]
    enum Does {
        Links(u64),
        Fails(u64),
        Lies(u64),
        Nothing,
    }
    use Does::{Fails, Lies, Links, Nothing};

    struct Raced {
        finish: Finish<()>,
        took: u64,
        /// When each way was dialed.
        dialed: Vec<(usize, u64)>,
    }

    async fn raced(ways: &[Does]) -> Raced {
        let order: Vec<usize> = (0..ways.len()).collect();
        let (start, dialed) = (Instant::now(), Mutex::new(Vec::new()));
        let ms = || u64::try_from(start.elapsed().as_millis()).unwrap();
        let finish = race(&order, |way| {
            dialed.lock().unwrap().push((way, ms()));
            let does = ways[way];
            Box::pin(async move {
                let (after, result) = match does {
                    Links(after) => (after, Ok(())),
                    Fails(after) => (after, Err(LinkError::Closed)),
                    Lies(after) => (after, Err(LinkError::NotAuthenticated("forged"))),
                    Nothing => return std::future::pending().await,
                };
                tokio::time::sleep(Duration::from_millis(after)).await;
                result
            })
        })
        .await;
        Raced { finish, took: ms(), dialed: dialed.into_inner().unwrap() }
    }

    #[track_caller]
    fn linked(raced: &Raced) -> (usize, u64, usize) {
        match &raced.finish {
            Finish::Link { way, failed, .. } => (*way, raced.took, failed.len()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_alone_is_dialed_while_it_may_answer() {
        let first = raced(&[Links(700), Links(1)]).await;
        assert_eq!((linked(&first), first.dialed.len()), ((0, 700, 0), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_fails_is_followed_by_the_next_at_once() {
        let second = raced(&[Fails(20), Fails(5), Links(10)]).await;
        assert_eq!(linked(&second), (2, 35, 2));
        assert_eq!(second.dialed, [(0, 0), (1, 20), (2, 25)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_swallows_everything_costs_less_than_a_second() {
        let second = raced(&[Nothing, Links(50)]).await;
        // Nobody knows that the first will never answer.
        assert_eq!(linked(&second), (1, 750 + 50 + 250, 0));
        let third = raced(&[Nothing, Nothing, Links(50)]).await;
        assert_eq!(linked(&third), (2, 1500 + 50 + 250, 0));
        // One that fails is no reason to begin the next while another may still answer.
        let third = raced(&[Nothing, Fails(1), Links(1)]).await;
        assert_eq!(third.dialed, [(0, 0), (1, 750), (2, 1500)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_better_one_wins_if_it_is_not_much_later() {
        assert_eq!(linked(&raced(&[Links(900), Links(1)]).await), (0, 900, 0));
        assert_eq!(linked(&raced(&[Links(1100), Links(1)]).await), (1, 1001, 0));
        assert_eq!(linked(&raced(&[Fails(900), Links(1)]).await), (1, 900, 1));
        // The better of two that came meanwhile.
        assert_eq!(linked(&raced(&[Nothing, Links(900), Links(10)]).await), (1, 1760, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_answers() {
        let none = raced(&[Fails(10), Fails(900)]).await;
        let Finish::None(failed) = none.finish else { panic!("{:?}", none.finish) };
        assert_eq!((failed.len(), none.took), (2, 910));
        assert!(matches!(race::<()>(&[], |_| Box::pin(std::future::pending())).await, Finish::None(_)));
    }

    /// P8: the next way is not taken because of somebody who only claims to be the relay.
    #[tokio::test(start_paused = true)]
    async fn an_impostor_ends_the_race() {
        let first = raced(&[Lies(10), Links(1)]).await;
        assert!(matches!(first.finish, Finish::Impostor(0, _)));
        assert_eq!(first.dialed.len(), 1);
        let late = raced(&[Lies(900), Links(1)]).await;
        assert!(matches!(late.finish, Finish::Impostor(0, _)), "{:?}", late.finish);
        let second = raced(&[Fails(1), Lies(1), Links(1)]).await;
        assert!(matches!(second.finish, Finish::Impostor(1, _)), "{:?}", second.finish);
    }
}
