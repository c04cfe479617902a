//! Whether the other end of a link is still there: noticed within two seconds, which is worth its pings only if there is
//! another transport to go to. The clock is handed in.

use std::time::Duration;

use tokio::time::Instant;

/// Quiet for so long, the other end is asked. A radio that never sleeps is the price of a takeover within three seconds.
const ASK_AFTER: Duration = Duration::from_millis(700);
/// An answer takes no longer than this on a path whose round trip is not known to be long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nor than so many of its round trips.
const ROUND_TRIPS: u32 = 4;
/// How much longer it may take for what was sent before the question and has to pass first, in bytes a second: slower
/// paths are taken for silent until they have been taken so for too often.
const RATE: u64 = 256 << 10;
/// Below it no path is of use.
const MIN_RATE: u64 = 1 << 10;
/// Less than this under way explains no silence on any path of use.
const SMALL: u64 = 4 << 10;
/// A link that lived so long says nothing against paths any more.
const STEADY: Duration = Duration::from_secs(60);
/// The longest an answer may take, whatever is under way; the same as without another transport.
const LONGEST: Duration = Duration::from_secs(60);

/// What is known of one link.
#[derive(Debug)]
pub(super) struct Pulse {
    began: Instant,
    heard: Instant,
    asked: Option<Asked>,
    questions: u64,
    /// Smoothed as in RFC 6298 §2.
    srtt: Option<Duration>,
    /// Bytes sent since the other end has last confirmed all that came before a question.
    under_way: u64,
    received: Option<u64>,
    rate: u64,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    n: u64,
    /// When.
    at: Instant,
    /// From when on the answer is waited for: since then nothing has come.
    since: Instant,
    /// Of what was under way then, how much came before the question.
    before: u64,
}

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is to be done until then.
    Well(Instant),
    /// It is to be asked.
    Quiet,
    /// The answer is late: another transport should be looked for.
    Late,
    /// It is silent.
    Silent,
}

impl Pulse {
    /// A link that is there since now. `rate` is what [`Pulse::given_up`] said of the one before.
    pub(super) fn new(now: Instant, rate: u64) -> Self {
        Self {
            began: now,
            heard: now,
            asked: None,
            questions: 0,
            srtt: None,
            under_way: 0,
            received: None,
            rate,
        }
    }

    /// The rate that paths are trusted to have at first.
    pub(super) fn first_rate() -> u64 {
        RATE
    }

    /// Something was handed to the link.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.under_way = self.under_way.saturating_add(bytes as u64);
    }

    /// Something has come. Whatever it is, the other end is there.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = self.asked.map(|asked| Asked { since: now, ..asked });
    }

    /// The answer to a question: everything before it has arrived.
    pub(super) fn answered(&mut self, n: u64, now: Instant) {
        self.heard(now);
        let Some(asked) = self.asked.take_if(|asked| asked.n == n) else { return };
        self.under_way = self.under_way.saturating_sub(asked.before);
        let sample = now.saturating_duration_since(asked.at);
        self.srtt = Some(self.srtt.map_or(sample, |srtt| (srtt * 7 + sample) / 8));
    }

    /// Bytes that the link has taken from the network so far: a part of a long record is a sign of life too.
    pub(super) fn received(&mut self, bytes: Option<u64>, now: Instant) {
        let is_first = self.received.is_none();
        if bytes > self.received {
            self.received = bytes;
            if !is_first {
                self.heard(now);
            }
        }
    }

    /// Asks; the number of the question.
    pub(super) fn ask(&mut self, now: Instant) -> u64 {
        self.questions += 1;
        self.asked = Some(Asked { n: self.questions, at: now, since: now, before: self.under_way });
        self.questions
    }

    /// How it is.
    pub(super) fn state(&self, now: Instant) -> State {
        let Some(asked) = self.asked else {
            let ask_at = self.heard + ASK_AFTER;
            return if now < ask_at { State::Well(ask_at) } else { State::Quiet };
        };
        let patience = self.patience(asked);
        let late_at = asked.since + patience / 2;
        match now {
            now if now >= asked.since + patience => State::Silent,
            now if now >= late_at => State::Late,
            _ => State::Well(late_at),
        }
    }

    fn patience(&self, asked: Asked) -> Duration {
        let round_trips = self.srtt.map_or(Duration::ZERO, |srtt| srtt * ROUND_TRIPS);
        // Half of the patience there is anyhow is enough for what passes in it.
        let queued = asked.before.saturating_sub(self.rate / 2);
        let queued = Duration::from_millis(queued.saturating_mul(1000) / self.rate.max(1));
        PATIENCE.max(round_trips).saturating_add(queued).min(LONGEST)
    }

    /// The link was given up for its silence: what rate the next one is trusted to have. If much was under way, the path
    /// may just be slow, and asking less of the next keeps a long text from being begun for ever.
    pub(super) fn given_up(&self, now: Instant) -> u64 {
        let lived = now.saturating_duration_since(self.began);
        let rate = if lived >= STEADY { RATE } else { self.rate };
        if self.under_way < SMALL { rate } else { (rate / 2).max(MIN_RATE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn begin() -> (Instant, Pulse) {
        let now = Instant::now();
        (now, Pulse::new(now, Pulse::first_rate()))
    }

    /// When a link on which nothing comes any more after `quiet_from` is taken for silent.
    fn silent_at(pulse: &mut Pulse, mut now: Instant) -> Instant {
        loop {
            match pulse.state(now) {
                State::Well(until) => now = until,
                State::Quiet => {
                    pulse.ask(now);
                }
                State::Late => now += ms(1),
                State::Silent => return now,
            }
        }
    }

    #[test]
    fn silence_is_noticed_within_two_seconds_of_the_last_sign() {
        let (start, mut pulse) = begin();
        assert_eq!(silent_at(&mut pulse, start) - start, ms(1700));
        let (start, mut pulse) = begin();
        assert_eq!(pulse.state(start + ms(1000)), State::Quiet);
        let n = pulse.ask(start + ms(1000));
        pulse.answered(n, start + ms(1020));
        let silent = silent_at(&mut pulse, start + ms(1020));
        assert_eq!(silent - start, ms(2720));
    }

    #[test]
    fn whatever_comes_is_a_sign_also_a_part_of_a_record() {
        let (start, mut pulse) = begin();
        pulse.received(Some(100), start);
        pulse.ask(start + ms(1000));
        assert_eq!(pulse.state(start + ms(1600)), State::Late);
        pulse.received(Some(101), start + ms(1600));
        assert!(matches!(pulse.state(start + ms(1700)), State::Well(_)));
        pulse.received(Some(101), start + ms(2000));
        assert_eq!(pulse.state(start + ms(2600)), State::Silent);
        pulse.heard(start + ms(2600));
        assert!(matches!(pulse.state(start + ms(2600)), State::Well(_)));
    }

    #[test]
    fn a_long_round_trip_is_no_silence() {
        let (start, mut pulse) = begin();
        let n = pulse.ask(start);
        pulse.answered(n, start + ms(900));
        pulse.ask(start + ms(2000));
        assert!(matches!(pulse.state(start + ms(3700)), State::Well(_)), "{pulse:?}");
        assert_eq!(pulse.state(start + ms(5600)), State::Silent);
    }

    #[test]
    fn what_has_to_pass_first_takes_its_time_and_a_slow_path_is_trusted_more_each_time() {
        let (start, mut pulse) = begin();
        pulse.sent(1 << 20);
        assert_eq!(silent_at(&mut pulse, start) - start, ms(5200));
        let rate = pulse.given_up(start + ms(5200));
        assert_eq!(rate, RATE / 2);
        let mut next = Pulse::new(start, rate);
        next.sent(1 << 20);
        assert_eq!(silent_at(&mut next, start) - start, ms(9200));
        assert_eq!(next.given_up(start + ms(9200)), RATE / 4);
        assert_eq!(next.given_up(start + STEADY), RATE / 2, "one that lived long begins anew");
        // What a chat says in a moment makes nobody patient.
        let (start, mut chat) = begin();
        chat.sent(100 << 10);
        assert_eq!(silent_at(&mut chat, start) - start, ms(1700));
        // Confirmed, it explains nothing any more.
        let (start, mut pulse) = begin();
        pulse.sent(1 << 20);
        let n = pulse.ask(start);
        pulse.sent(100);
        pulse.answered(n, start + ms(10));
        assert_eq!(silent_at(&mut pulse, start + ms(10)) - start, ms(1710));
        assert_eq!(pulse.given_up(start), RATE);
        let mut slow = Pulse::new(start, MIN_RATE);
        slow.sent(1 << 30);
        assert_eq!(silent_at(&mut slow, start) - start, ASK_AFTER + LONGEST);
        assert_eq!(slow.given_up(start), MIN_RATE);
    }

    #[test]
    fn an_answer_to_another_question_is_a_sign_only() {
        let (start, mut pulse) = begin();
        pulse.ask(start);
        let n = pulse.ask(start + ms(10));
        pulse.answered(n - 1, start + ms(20));
        assert_eq!(pulse.srtt, None);
        pulse.answered(n, start + ms(30));
        assert_eq!(pulse.srtt, Some(ms(20)));
    }
}
